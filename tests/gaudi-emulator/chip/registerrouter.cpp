// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/registerrouter.h"
#include "chip/units.h"

namespace gaudiemu::chip {

void RegisterRouter::trap(uint32_t page, RegisterBlock &block)
{
    pages_[page / page_size * page_size] = {&block, true};
}

void RegisterRouter::watch(uint32_t first_page, uint32_t size, RegisterBlock &block)
{
    for (uint32_t page = first_page; page < first_page + size; page += page_size)
        pages_[page] = {&block, false};
}

uint32_t RegisterRouter::read(uint32_t reg) const
{
    const auto *entry = find(reg);
    return entry && entry->trapped ? entry->block->read(reg & ~3u) : registers_.load(reg);
}

void RegisterRouter::write(uint32_t reg, uint32_t value, Origin origin) const
{
    const auto *entry = find(reg);
    if (entry && (entry->trapped || origin == Origin::Device))
        entry->block->write(reg & ~3u, value, origin);
    else
        registers_.store(reg, value);
}

bool RegisterRouter::trapped(uint32_t reg) const
{
    const auto *entry = find(reg);
    return entry && entry->trapped;
}

bool RegisterRouter::plain(uint32_t reg, uint64_t size) const
{
    for (auto it = pages_.lower_bound(reg / page_size * page_size); it != pages_.end() && it->first < reg + size; ++it)
        if (it->second.trapped)
            return false;
    return true;
}

std::vector<Area> RegisterRouter::mapped_areas() const
{
    const uint64_t first = registers_.layout().cfg_in_bar;
    std::vector<Area> areas;
    uint64_t from = 0;
    const auto until = [&](uint64_t end) {
        if (end > from)
            areas.push_back({from, end - from});
    };
    for (const auto &[page, entry] : pages_) {
        if (!entry.trapped)
            continue;
        until(first + page);
        from = first + page + page_size;
    }
    until(registers_.layout().bar_size);
    return areas;
}

const RegisterRouter::Entry *RegisterRouter::find(uint32_t reg) const
{
    const auto it = pages_.find(reg / page_size * page_size);
    return it == pages_.end() ? nullptr : &it->second;
}

} // namespace gaudiemu::chip
