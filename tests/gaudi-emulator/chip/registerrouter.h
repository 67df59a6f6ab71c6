// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/registerblock.h"
#include "chip/registerfile.h"
#include "pcifunction.h"

#include <cstdint>
#include <map>
#include <vector>

namespace gaudiemu::chip {

// Sends each register access to the block that it belongs to; what belongs to none is plain memory.
class RegisterRouter {
public:
    explicit RegisterRouter(RegisterFile &registers) : registers_(registers) {}

    // The guest's accesses to the page trap, so that the block sees all of them.
    void trap(uint32_t page, RegisterBlock &block);
    // The guest reaches these pages without a trap; the block sees only what the chip's own engines write.
    void watch(uint32_t first_page, uint32_t size, RegisterBlock &block);

    [[nodiscard]] uint32_t read(uint32_t reg) const;
    void write(uint32_t reg, uint32_t value, Origin origin) const;
    [[nodiscard]] bool trapped(uint32_t reg) const;
    // A range without a trapped page: what a DMA may touch.
    [[nodiscard]] bool plain(uint32_t reg, uint64_t size) const;

    // The registers' BAR but for the trapped pages.
    [[nodiscard]] std::vector<Area> mapped_areas() const;

private:
    struct Entry {
        RegisterBlock *block = nullptr;
        bool trapped = false;
    };
    [[nodiscard]] const Entry *find(uint32_t reg) const;

    RegisterFile &registers_;
    std::map<uint32_t, Entry> pages_;
};

} // namespace gaudiemu::chip
