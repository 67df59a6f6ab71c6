// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/hbm.h"

#include <algorithm>
#include <cstring>

namespace gaudiemu::chip {

std::expected<std::unique_ptr<Hbm>, std::string> Hbm::make(const Layout &layout)
{
    auto memory = SharedMemory::make("gaudi-hbm", layout.size);
    if (!memory)
        return std::unexpected(memory.error());
    return std::unique_ptr<Hbm>(new Hbm(layout, std::move(*memory)));
}

bool Hbm::holds(uint64_t device_address, uint64_t size) const noexcept
{
    return device_address >= layout_.base && size <= layout_.size &&
           device_address - layout_.base <= layout_.size - size;
}

std::byte *Hbm::at(uint64_t device_address, uint64_t size) const noexcept
{
    return holds(device_address, size) ? memory_.data() + (device_address - layout_.base) : nullptr;
}

void Hbm::fill(uint64_t device_address, uint64_t size, uint32_t word) const
{
    std::byte *const memory = at(device_address, size);
    if (!memory)
        return;
    if (word == 0) {
        memory_.clear(device_address - layout_.base, size);
        return;
    }
    for (uint64_t i = 0; i < size; i += sizeof word)
        std::memcpy(memory + i, &word, std::min<uint64_t>(sizeof word, size - i));
}

} // namespace gaudiemu::chip
