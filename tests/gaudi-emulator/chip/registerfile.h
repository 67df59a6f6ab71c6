// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/sharedmemory.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <string>

namespace gaudiemu::chip {

// The memory behind BAR 0: registers and SRAM. The guest reaches most of it without a trap, so each register is read
// and written as one atomic word.
class RegisterFile {
public:
    [[nodiscard]] static std::expected<std::unique_ptr<RegisterFile>, std::string> make();

    [[nodiscard]] uint32_t load(uint32_t reg) const noexcept;
    void store(uint32_t reg, uint32_t value) noexcept;
    // Two registers that make an address.
    [[nodiscard]] uint64_t load_pair(uint32_t lo, uint32_t hi) const noexcept
    {
        return static_cast<uint64_t>(load(hi)) << 32 | load(lo);
    }

    // Memory of a device address in the register space or SRAM; nullptr outside.
    [[nodiscard]] std::byte *at(uint64_t device_address, uint64_t size) const noexcept;

    void clear_page(uint32_t reg) const;
    void clear() const { memory_.clear(0, memory_.size()); }
    [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
    [[nodiscard]] std::byte *bar() const noexcept { return memory_.data(); }

private:
    explicit RegisterFile(SharedMemory memory) : memory_(std::move(memory)) {}
    [[nodiscard]] uint32_t *word(uint32_t reg) const noexcept;

    SharedMemory memory_;
};

} // namespace gaudiemu::chip
