// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi1mmu.h"
#include "chip/gaudi1layout.h"
#include "chip/pagewalk.h"

#include <array>
#include <cstring>
#include <format>
#include <optional>

namespace gaudiemu::chip {

using namespace gaudi1;

namespace {

constexpr std::array<unsigned, 5> shifts{48, 39, 30, 21, 12}; // include/hw_ip/mmu/mmu_v1_1.h

} // namespace

Gaudi1Mmu::Gaudi1Mmu(const Hbm &hbm, RegisterFile &registers, RegisterRouter &router)
    : hbm_(hbm), registers_(registers), stlb_(registers, stlb::page, stlb_layout)
{
    router.trap(stlb::page, stlb_);
}

std::expected<Translation, PageFault> Gaudi1Mmu::translate(uint64_t va, unsigned asid) const
{
    const auto fault = [&](std::string reason) {
        return std::unexpected(PageFault{MmuKind::Pmmu, va, std::move(reason)});
    };
    const auto hop0 = stlb_.hop0(asid);
    if (!hop0)
        return fault(std::format("ASID {} has no tables", asid));
    const auto leaf = walk_pages(*hop0, va, shifts, [&](uint64_t address) -> std::optional<uint64_t> {
        uint64_t entry = 0;
        const std::byte *const memory = hbm_.at(address, sizeof entry);
        if (!memory)
            return std::nullopt;
        std::memcpy(&entry, memory, sizeof entry);
        return entry;
    });
    if (!leaf)
        return fault(leaf.error());
    const uint64_t page = uint64_t{1} << leaf->shift;
    const uint64_t offset = va & (page - 1);
    return Translation{leaf->address + offset, page - offset};
}

// gaudi.c gaudi_print_and_get_mmu_error_info() reads these and clears them.
uint16_t Gaudi1Mmu::capture(const PageFault &fault)
{
    const std::lock_guard lock(capturing_);
    if (!(registers_.load(mmu::page_error_capture) & mmu::entry_valid)) { // the first one is kept
        registers_.store(mmu::page_error_capture_va, static_cast<uint32_t>(fault.captured));
        registers_.store(mmu::page_error_capture,
                         mmu::entry_valid | (static_cast<uint32_t>(fault.captured >> 32) & (mmu::entry_valid - 1)));
    }
    return event_mmu_page_fault;
}

} // namespace gaudiemu::chip
