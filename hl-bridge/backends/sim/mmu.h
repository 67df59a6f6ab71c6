// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>

namespace hl::sim {

// The table every DMA of the simulator goes through: device address to byte. An address that is not mapped, or a range
// that leaves its mapping, faults. HBM that a chip reaches by physical address is one mapping from the start. Not
// thread safe.
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
