// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/hbm.h"
#include "chip/registers.h"

#include <cstring>

namespace gaudiemu::chip {

using namespace gaudi2;

namespace {

constexpr uint64_t low_mask = 0xFFFFFFFFFFFF; // DRAM_VA_HINT_MASK
constexpr uint64_t raw_unit = hbm_stacks * 8 * MiB;
constexpr unsigned scrambled_shift = 26;
constexpr uint64_t scrambled_unit = uint64_t{1} << scrambled_shift;

} // namespace

std::expected<std::unique_ptr<Hbm>, std::string> Hbm::make()
{
    auto memory = SharedMemory::make("gaudi-hbm", dram_size);
    if (!memory)
        return std::unexpected(memory.error());
    return std::unique_ptr<Hbm>(new Hbm(std::move(*memory)));
}

bool Hbm::holds(uint64_t device_address, uint64_t size) noexcept
{
    return device_address >= dram_base && size <= dram_size && device_address - dram_base <= dram_size - size;
}

std::byte *Hbm::at(uint64_t device_address, uint64_t size) const noexcept
{
    return holds(device_address, size) ? memory_.data() + (device_address - dram_base) : nullptr;
}

void Hbm::fill(uint64_t device_address, uint64_t size, uint32_t word) const
{
    std::byte *const memory = at(device_address, size);
    if (!memory)
        return;
    if (word == 0) {
        memory_.clear(device_address - dram_base, size);
        return;
    }
    for (uint64_t i = 0; i < size; i += sizeof word)
        std::memcpy(memory + i, &word, std::min<uint64_t>(sizeof word, size - i));
}

uint64_t Hbm::scramble(uint64_t raw) noexcept
{
    const uint64_t low = raw & low_mask;
    return (raw & ~low_mask) | (low / raw_unit) << scrambled_shift | low % raw_unit;
}

uint64_t Hbm::descramble(uint64_t scrambled) noexcept
{
    const uint64_t low = scrambled & low_mask;
    return (scrambled & ~low_mask) | (low / scrambled_unit * raw_unit + low % scrambled_unit);
}

} // namespace gaudiemu::chip
