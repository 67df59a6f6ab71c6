// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/sharedmemory.h"

#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <string>

namespace gaudiemu::chip {

// The high bandwidth memory: a sparse memfd that is also BAR 4.
//
// The device's address space knows it by raw and by scrambled addresses: the HMMU maps pages of 1 GiB onto DRAM pages
// of 768 MiB (16 x 6 stacks x 8 MiB, gaudi2.c gaudi2_set_dram_properties()), so both sides of a mapping are spread out
// from units of 48 MiB to units of 64 MiB (gaudi2.c gaudi2_mmu_scramble_addr()). The BAR, and everything else, is raw.
class Hbm {
public:
    [[nodiscard]] static std::expected<std::unique_ptr<Hbm>, std::string> make();

    [[nodiscard]] static bool holds(uint64_t device_address, uint64_t size) noexcept;
    // Memory of a raw device address; nullptr outside.
    [[nodiscard]] std::byte *at(uint64_t device_address, uint64_t size) const noexcept;
    // Repeats a 32-bit word. 0 gives the pages back.
    void fill(uint64_t device_address, uint64_t size, uint32_t word) const;
    void clear() const { memory_.clear(0, memory_.size()); }

    [[nodiscard]] static uint64_t scramble(uint64_t raw) noexcept;
    [[nodiscard]] static uint64_t descramble(uint64_t scrambled) noexcept;

    [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
    [[nodiscard]] uint64_t resident() const { return memory_.resident(); }

private:
    explicit Hbm(SharedMemory memory) : memory_(std::move(memory)) {}

    SharedMemory memory_;
};

} // namespace gaudiemu::chip
