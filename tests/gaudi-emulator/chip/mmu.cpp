// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/mmu.h"
#include "chip/registers.h"

#include <array>
#include <cstring>
#include <format>
#include <optional>
#include <span>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

// include/hw_ip/mmu/mmu_general.h and mmu_v2_0.h.
constexpr uint64_t pte_present = 0x1;
constexpr uint64_t pte_last = 0x800;
constexpr uint64_t pte_address = ~uint64_t{0xfff};
constexpr std::array<unsigned, 6> host_shifts{57, 48, 39, 30, 21, 12};
constexpr std::array<unsigned, 4> hbm_shifts{57, 48, 39, 30};
constexpr uint64_t hbm_page = hbm_stacks * 8 * MiB * 16; // one leaf of 1 GiB, descrambled

struct Leaf {
    uint64_t address = 0;
    unsigned shift = 0;
};

// Follows the tables from hop0 on. `read` gets an entry's address.
template <typename Read>
std::expected<Leaf, std::string> walk(uint64_t hop0, uint64_t va, std::span<const unsigned> shifts, Read read)
{
    uint64_t table = hop0;
    for (size_t hop = 0; hop < shifts.size(); ++hop) {
        const uint64_t index = va >> shifts[hop] & 0x1ff;
        const std::optional<uint64_t> entry = read(table + index * 8);
        if (!entry)
            return std::unexpected(std::format("the table of hop {} at {:#x} cannot be read", hop, table));
        if (!(*entry & pte_present))
            return std::unexpected(std::format("not present at hop {}", hop));
        if ((*entry & pte_last) || hop + 1 == shifts.size())
            return Leaf{*entry & pte_address, shifts[hop]};
        table = *entry & pte_address;
    }
    return std::unexpected(std::string("no leaf"));
}

} // namespace

Mmu::Mmu(HostBus &bus, const Hbm &hbm, RegisterFile &registers, RegisterRouter &router) : bus_(bus), hbm_(hbm)
{
    const auto add = [&](uint32_t page) {
        stlbs_.push_back(std::make_unique<Stlb>(registers, page));
        router.trap(page, *stlbs_.back());
    };
    add(stlb::pmmu);
    for (unsigned dcore = 0; dcore < dcores; ++dcore)
        for (unsigned i = 0; i < stlb::hmmus_per_dcore; ++i)
            add(stlb::hmmu0 + dcore * dcore_offset + i * stlb::hmmu_offset);
}

std::expected<Translation, PageFault> Mmu::translate_host(uint64_t va, unsigned asid)
{
    const auto fault = [&](std::string reason) {
        return std::unexpected(PageFault{MmuKind::Pmmu, va, std::move(reason)});
    };
    const auto hop0 = pmmu().hop0(asid);
    if (!hop0)
        return fault(std::format("ASID {} has no tables", asid));
    const auto leaf = walk(*hop0, va, host_shifts, [&](uint64_t address) -> std::optional<uint64_t> {
        uint64_t entry = 0;
        if (!bus_.read(address, std::as_writable_bytes(std::span(&entry, 1))))
            return std::nullopt;
        return entry;
    });
    if (!leaf)
        return fault(leaf.error());
    const uint64_t page = uint64_t{1} << leaf->shift;
    const uint64_t offset = va & (page - 1);
    return Translation{(leaf->address & ~(page - 1)) + offset, page - offset};
}

std::expected<Translation, PageFault> Mmu::translate_hbm(uint64_t va, unsigned asid)
{
    const uint64_t scrambled = Hbm::scramble(va);
    const auto fault = [&](std::string reason) {
        return std::unexpected(PageFault{MmuKind::Hmmu, scrambled, std::move(reason)});
    };
    const auto hop0 = hmmu().hop0(asid);
    if (!hop0)
        return fault(std::format("ASID {} has no tables", asid));
    const auto leaf = walk(*hop0, scrambled, hbm_shifts, [&](uint64_t address) -> std::optional<uint64_t> {
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
    const uint64_t first = Hbm::descramble(leaf->address & ~((uint64_t{1} << leaf->shift) - 1));
    const uint64_t offset = va - Hbm::descramble(scrambled & ~((uint64_t{1} << leaf->shift) - 1));
    return Translation{first + offset, hbm_page - offset};
}

void Mmu::reset()
{
    for (const auto &stlb : stlbs_)
        stlb->reset();
}

} // namespace gaudiemu::chip
