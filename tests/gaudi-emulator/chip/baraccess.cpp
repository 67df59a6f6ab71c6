// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/baraccess.h"

#include <cstring>
#include <format>

namespace gaudiemu::chip {

uint64_t BarAccess::read(unsigned bar, uint64_t offset, unsigned size) const
{
    if (bus_.lost())
        return UINT64_MAX;
    if (trapped(bar, offset)) {
        const auto reg = static_cast<uint32_t>(offset - registers_.layout().cfg_in_bar);
        if (size == 8)
            return static_cast<uint64_t>(router_.read(reg + 4)) << 32 | router_.read(reg);
        return router_.read(reg) >> (reg % 4 * 8);
    }
    const std::byte *const from = memory(bar, offset, size);
    if (!from)
        return UINT64_MAX;
    uint64_t value = 0;
    std::memcpy(&value, from, size);
    return value;
}

void BarAccess::write(unsigned bar, uint64_t offset, unsigned size, uint64_t value)
{
    if (bus_.lost())
        return;
    if (trapped(bar, offset)) {
        const auto reg = static_cast<uint32_t>(offset - registers_.layout().cfg_in_bar);
        if (size < 4) {
            journal_.fault(std::format("a write of {} bytes to register {:#x}", size, reg));
            return;
        }
        router_.write(reg, static_cast<uint32_t>(value), Origin::Host);
        if (size == 8)
            router_.write(reg + 4, static_cast<uint32_t>(value >> 32), Origin::Host);
    } else if (std::byte *const to = memory(bar, offset, size)) {
        std::memcpy(to, &value, size);
    }
}

bool BarAccess::trapped(unsigned bar, uint64_t offset) const
{
    const auto &layout = registers_.layout();
    return bar == numbers_.registers && offset >= layout.cfg_in_bar && offset - layout.cfg_in_bar < layout.cfg_size &&
           router_.trapped(static_cast<uint32_t>(offset - layout.cfg_in_bar));
}

// A page that the guest may also map: the same bytes.
std::byte *BarAccess::memory(unsigned bar, uint64_t offset, unsigned size) const
{
    if (bar == numbers_.hbm)
        return hbm_.at(hbm_.layout().base + offset, size);
    if (bar != numbers_.registers && bar != numbers_.sram)
        return nullptr;
    const auto &backing = bar == numbers_.registers ? registers_.bar() : registers_.sram_bar();
    return offset + size <= backing.size() ? backing.data() + offset : nullptr;
}

} // namespace gaudiemu::chip
