// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/sharedmemory.h"

#include <cstdint>
#include <expected>
#include <memory>
#include <optional>
#include <string>

namespace gaudiemu::chip {

// Registers and SRAM, the memory behind one BAR or two. The guest reaches most of it without a trap, so each register
// is read and written as one atomic word.
class RegisterFile {
public:
    struct Layout {
        uint64_t cfg_base; // of the registers, as the chip's engines see them
        uint32_t cfg_size;
        uint64_t cfg_in_bar;
        uint64_t bar_size;
        uint64_t sram_base;
        uint64_t sram_size;
        uint64_t sram_in_bar;
        uint64_t sram_bar_size; // 0: SRAM lies in the registers' BAR
    };

    [[nodiscard]] static std::expected<std::unique_ptr<RegisterFile>, std::string> make(const Layout &layout);

    [[nodiscard]] const Layout &layout() const noexcept { return layout_; }
    [[nodiscard]] bool is_register(uint64_t device_address) const noexcept
    {
        return device_address >= layout_.cfg_base && device_address - layout_.cfg_base < layout_.cfg_size;
    }
    [[nodiscard]] bool is_sram(uint64_t device_address) const noexcept
    {
        return device_address >= layout_.sram_base && device_address - layout_.sram_base < layout_.sram_size;
    }

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
    void clear() const;
    [[nodiscard]] const SharedMemory &bar() const noexcept { return memory_; }
    [[nodiscard]] const SharedMemory &sram_bar() const noexcept { return sram_ ? *sram_ : memory_; }

private:
    RegisterFile(const Layout &layout, SharedMemory memory, std::optional<SharedMemory> sram)
        : layout_(layout), memory_(std::move(memory)), sram_(std::move(sram))
    {}
    [[nodiscard]] uint32_t *word(uint32_t reg) const noexcept;

    const Layout layout_;
    SharedMemory memory_;
    std::optional<SharedMemory> sram_; // with a BAR of its own
};

} // namespace gaudiemu::chip
