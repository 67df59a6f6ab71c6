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
class Hbm {
public:
    struct Layout {
        uint64_t base; // a device address
        uint64_t size;
    };

    [[nodiscard]] static std::expected<std::unique_ptr<Hbm>, std::string> make(const Layout &layout);

    [[nodiscard]] const Layout &layout() const noexcept { return layout_; }
    [[nodiscard]] bool holds(uint64_t device_address, uint64_t size) const noexcept;
    // Memory of a device address; nullptr outside.
    [[nodiscard]] std::byte *at(uint64_t device_address, uint64_t size) const noexcept;
    // Repeats a 32-bit word. 0 gives the pages back.
    void fill(uint64_t device_address, uint64_t size, uint32_t word) const;
    void clear() const { memory_.clear(0, memory_.size()); }

    [[nodiscard]] int fd() const noexcept { return memory_.fd(); }
    [[nodiscard]] uint64_t resident() const { return memory_.resident(); }

private:
    Hbm(const Layout &layout, SharedMemory memory) : layout_(layout), memory_(std::move(memory)) {}

    const Layout layout_;
    SharedMemory memory_;
};

} // namespace gaudiemu::chip
