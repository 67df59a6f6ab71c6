// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/registerfile.h"
#include "chip/registers.h"

#include <atomic>

namespace gaudiemu::chip {

using namespace gaudi2;

std::expected<std::unique_ptr<RegisterFile>, std::string> RegisterFile::make()
{
    auto memory = SharedMemory::make("gaudi-registers", cfg_bar_size);
    if (!memory)
        return std::unexpected(memory.error());
    return std::unique_ptr<RegisterFile>(new RegisterFile(std::move(*memory)));
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
    if (inside(cfg_base, cfg_size))
        return memory_.data() + cfg_in_bar + (device_address - cfg_base);
    if (inside(sram_base, sram_size))
        return memory_.data() + sram_in_bar + (device_address - sram_base);
    return nullptr;
}

void RegisterFile::clear_page(uint32_t reg) const
{
    memory_.clear(cfg_in_bar + reg / page_size * page_size, page_size);
}

uint32_t *RegisterFile::word(uint32_t reg) const noexcept
{
    return reinterpret_cast<uint32_t *>(memory_.data() + cfg_in_bar + (reg & ~3u));
}

} // namespace gaudiemu::chip
