// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/gaudi2registers.h"

#include <cstdint>

namespace gaudiemu::gaudi2 {

// The device's address space knows HBM by raw and by scrambled addresses: the HMMU maps pages of 1 GiB onto DRAM pages
// of 768 MiB (16 x 6 stacks x 8 MiB, gaudi2.c gaudi2_set_dram_properties()), so both sides of a mapping are spread out
// from units of 48 MiB to units of 64 MiB (gaudi2.c gaudi2_mmu_scramble_addr()). The BAR, and everything else, is raw.
inline constexpr uint64_t scrambled_low_mask = 0xFFFFFFFFFFFF; // DRAM_VA_HINT_MASK
inline constexpr uint64_t raw_unit = hbm_stacks * 8 * MiB;
inline constexpr unsigned scrambled_shift = 26;
inline constexpr uint64_t scrambled_unit = uint64_t{1} << scrambled_shift;

[[nodiscard]] constexpr uint64_t scramble(uint64_t raw) noexcept
{
    const uint64_t low = raw & scrambled_low_mask;
    return (raw & ~scrambled_low_mask) | (low / raw_unit) << scrambled_shift | low % raw_unit;
}

[[nodiscard]] constexpr uint64_t descramble(uint64_t scrambled) noexcept
{
    const uint64_t low = scrambled & scrambled_low_mask;
    return (scrambled & ~scrambled_low_mask) | (low / scrambled_unit * raw_unit + low % scrambled_unit);
}

} // namespace gaudiemu::gaudi2
