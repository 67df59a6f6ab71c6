// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi2mmu.h"
#include "chip/gaudi2layout.h"
#include "chip/pagewalk.h"
#include "chip/scramble.h"

#include <array>
#include <cstring>
#include <format>
#include <optional>
#include <span>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

// include/hw_ip/mmu/mmu_v2_0.h.
constexpr std::array<unsigned, 6> host_shifts{57, 48, 39, 30, 21, 12};
constexpr std::array<unsigned, 4> hbm_shifts{57, 48, 39, 30};
constexpr uint64_t hbm_page = hbm_stacks * 8 * MiB * 16; // one leaf of 1 GiB, descrambled

} // namespace

Gaudi2Mmu::Gaudi2Mmu(HostBus &bus, const Hbm &hbm, RegisterFile &registers, RegisterRouter &router)
    : bus_(bus), hbm_(hbm), registers_(registers)
{
    const auto add = [&](uint32_t page) {
        stlbs_.push_back(std::make_unique<Stlb>(registers, page, stlb_layout));
        router.trap(page, *stlbs_.back());
    };
    add(stlb::pmmu);
    for (unsigned dcore = 0; dcore < dcores; ++dcore)
        for (unsigned i = 0; i < stlb::hmmus_per_dcore; ++i)
            add(stlb::hmmu0 + dcore * dcore_offset + i * stlb::hmmu_offset);
}

std::expected<Translation, PageFault> Gaudi2Mmu::translate_host(uint64_t va, unsigned asid)
{
    const auto fault = [&](std::string reason) {
        return std::unexpected(PageFault{MmuKind::Pmmu, va, std::move(reason)});
    };
    const auto hop0 = pmmu().hop0(asid);
    if (!hop0)
        return fault(std::format("ASID {} has no tables", asid));
    const auto leaf = walk_pages(*hop0, va, host_shifts, [&](uint64_t address) -> std::optional<uint64_t> {
        uint64_t entry = 0;
        if (!bus_.read(address, std::as_writable_bytes(std::span(&entry, 1))))
            return std::nullopt;
        return entry;
    });
    if (!leaf)
        return fault(leaf.error());
    const uint64_t page = uint64_t{1} << leaf->shift;
    const uint64_t offset = va & (page - 1);
    return Translation{leaf->address + offset, page - offset};
}

std::expected<Translation, PageFault> Gaudi2Mmu::translate_hbm(uint64_t va, unsigned asid)
{
    const uint64_t scrambled = scramble(va);
    const auto fault = [&](std::string reason) {
        return std::unexpected(PageFault{MmuKind::Hmmu, scrambled, std::move(reason)});
    };
    const auto hop0 = hmmu().hop0(asid);
    if (!hop0)
        return fault(std::format("ASID {} has no tables", asid));
    const auto leaf = walk_pages(*hop0, scrambled, hbm_shifts, [&](uint64_t address) -> std::optional<uint64_t> {
        uint64_t entry = 0;
        const std::byte *const memory = hbm_.at(address, sizeof entry);
        if (!memory)
            return std::nullopt;
        std::memcpy(&entry, memory, sizeof entry);
        return entry;
    });
    if (!leaf)
        return fault(leaf.error());
    if (leaf->shift != hbm_shifts.back())
        return fault(std::format("a leaf at shift {}", leaf->shift));
    const uint64_t first = descramble(leaf->address);
    const uint64_t offset = va - descramble(scrambled & ~((uint64_t{1} << leaf->shift) - 1));
    return Translation{first + offset, hbm_page - offset};
}

// gaudi2.c gaudi2_handle_mmu_spi_sei_generic() and gaudi2_handle_page_error() read these and clear them.
uint16_t Gaudi2Mmu::capture(const PageFault &fault)
{
    const bool host = fault.mmu == MmuKind::Pmmu;
    const uint32_t base = host ? mmu::pmmu : mmu::hmmu0;
    const std::lock_guard lock(capturing_);
    if (!(registers_.load(base + mmu::access_page_error_valid) & 1)) { // the first one is kept
        registers_.store(base + mmu::page_error_capture, static_cast<uint32_t>(fault.captured >> 32));
        registers_.store(base + mmu::page_error_capture_va, static_cast<uint32_t>(fault.captured));
        registers_.store(base + mmu::access_page_error_valid, 1);
        registers_.store(base + mmu::spi_sei_cause, registers_.load(base + mmu::spi_sei_cause) | 1);
    }
    return host ? event_pmmu_page_fault : event_hmmu0_page_fault;
}

void Gaudi2Mmu::reset()
{
    for (const auto &stlb : stlbs_)
        stlb->reset();
}

} // namespace gaudiemu::chip
