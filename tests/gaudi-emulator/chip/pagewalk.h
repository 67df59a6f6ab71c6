// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <expected>
#include <format>
#include <optional>
#include <span>
#include <string>

namespace gaudiemu::chip {

struct PageTableLeaf {
    uint64_t address = 0; // of the page
    unsigned shift = 0;   // its size, as a power of two
};

// Follows page tables from hop0 on (include/hw_ip/mmu/mmu_general.h): each hop looks nine bits of the address up, from
// its shift on. `read` gets an entry's address and gives the entry, or nullopt if there is no memory.
template <typename Read>
std::expected<PageTableLeaf, std::string> walk_pages(uint64_t hop0, uint64_t va, std::span<const unsigned> shifts,
                                                     Read read)
{
    constexpr uint64_t present = 0x1;
    constexpr uint64_t last = 0x800;
    constexpr uint64_t address = ~uint64_t{0xfff};
    uint64_t table = hop0;
    for (size_t hop = 0; hop < shifts.size(); ++hop) {
        const uint64_t index = va >> shifts[hop] & 0x1ff;
        const std::optional<uint64_t> entry = read(table + index * 8);
        if (!entry)
            return std::unexpected(std::format("the table of hop {} at {:#x} cannot be read", hop, table));
        if (!(*entry & present))
            return std::unexpected(std::format("not present at hop {}", hop));
        if ((*entry & last) || hop + 1 == shifts.size()) {
            const uint64_t page = uint64_t{1} << shifts[hop];
            return PageTableLeaf{*entry & address & ~(page - 1), shifts[hop]};
        }
        table = *entry & address;
    }
    return std::unexpected(std::string("no leaf"));
}

} // namespace gaudiemu::chip
