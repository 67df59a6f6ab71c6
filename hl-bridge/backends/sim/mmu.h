// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace hl::sim {

// Gaudi2's address map (drivers/accel/habanalabs/gaudi2/gaudi2.c, include/gaudi2/gaudi2.h).
inline constexpr uint64_t hbm_stacks = 6;
inline constexpr uint64_t hbm_bytes = hbm_stacks * (uint64_t{16} << 30);
inline constexpr uint64_t device_page = hbm_stacks * 16 * (uint64_t{8} << 20); // 768 MiB, the first one is reserved
inline constexpr uint64_t dram_physical_base = 0x1001000000000000;
inline constexpr uint64_t dram_virtual_base = dram_physical_base + hbm_bytes; // gaudi2.c: after the physical range
inline constexpr uint64_t host_virtual_base = 0xFFF0000000000000;             // 4 KiB class pages
inline constexpr uint64_t host_virtual_end = 0xFFF0800000000000;              // from here huge pages

// The table every DMA of the simulator goes through: device address to byte. An address that is not mapped, or a range
// that leaves its mapping, faults. Not thread safe.
class Mmu {
public:
    // Maps [address, address + size). The caller keeps ranges apart.
    void map(uint64_t address, uint64_t size, std::byte *bytes);
    // False if nothing is mapped there (the driver: EINVAL).
    bool unmap(uint64_t address);
    // Where the range lies, nullptr on a fault.
    [[nodiscard]] std::byte *translate(uint64_t address, uint64_t length) const noexcept;
    [[nodiscard]] size_t mappings() const noexcept { return table_.size(); }

private:
    struct Mapping {
        uint64_t size;
        std::byte *bytes;
    };
    std::map<uint64_t, Mapping> table_;
};

} // namespace hl::sim
