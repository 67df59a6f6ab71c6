// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/registerfile.h"
#include "chip/units.h"

#include <atomic>

namespace gaudiemu::chip {

std::expected<std::unique_ptr<RegisterFile>, std::string> RegisterFile::make(const Layout &layout)
{
    auto memory = SharedMemory::make("gaudi-registers", layout.bar_size);
    if (!memory)
        return std::unexpected(memory.error());
    std::optional<SharedMemory> sram;
    if (layout.sram_bar_size) {
        auto made = SharedMemory::make("gaudi-sram", layout.sram_bar_size);
        if (!made)
            return std::unexpected(made.error());
        sram.emplace(std::move(*made));
    }
    return std::unique_ptr<RegisterFile>(new RegisterFile(layout, std::move(*memory), std::move(sram)));
}

uint32_t RegisterFile::load(uint32_t reg) const noexcept
{
    return std::atomic_ref(*word(reg)).load(std::memory_order_acquire);
}

void RegisterFile::store(uint32_t reg, uint32_t value) noexcept
{
    std::atomic_ref(*word(reg)).store(value, std::memory_order_release);
}

std::byte *RegisterFile::at(uint64_t device_address, uint64_t size) const noexcept
{
    const auto inside = [&](uint64_t base, uint64_t length) {
        return device_address >= base && size <= length && device_address - base <= length - size;
    };
    if (inside(layout_.cfg_base, layout_.cfg_size))
        return memory_.data() + layout_.cfg_in_bar + (device_address - layout_.cfg_base);
    if (inside(layout_.sram_base, layout_.sram_size))
        return sram_bar().data() + layout_.sram_in_bar + (device_address - layout_.sram_base);
    return nullptr;
}

void RegisterFile::clear_page(uint32_t reg) const
{
    memory_.clear(layout_.cfg_in_bar + reg / page_size * page_size, page_size);
}

void RegisterFile::clear() const
{
    memory_.clear(0, memory_.size());
    if (sram_)
        sram_->clear(0, sram_->size());
}

uint32_t *RegisterFile::word(uint32_t reg) const noexcept
{
    return reinterpret_cast<uint32_t *>(memory_.data() + layout_.cfg_in_bar + (reg & ~3u));
}

} // namespace gaudiemu::chip
