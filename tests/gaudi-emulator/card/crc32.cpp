// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crc32.h"

#include <array>
#include <bit>
#include <cstring>

namespace gaudiemu {

namespace {

constexpr size_t step = 8; // bytes at a time
using Tables = std::array<std::array<uint32_t, 256>, step>;

// tables[n][b]: the CRC's change by byte b with n bytes of zero after it.
constexpr Tables make_tables()
{
    Tables tables{};
    for (uint32_t byte = 0; byte < 256; ++byte) {
        uint32_t value = byte;
        for (int bit = 0; bit < 8; ++bit) {
            value = (value >> 1) ^ ((value & 1) != 0 ? 0xedb88320u : 0u);
        }
        tables[0][byte] = value;
    }
    for (size_t zeros = 1; zeros < step; ++zeros) {
        for (size_t byte = 0; byte < 256; ++byte) {
            const uint32_t before = tables[zeros - 1][byte];
            tables[zeros][byte] = (before >> 8) ^ tables[0][before & 0xff];
        }
    }
    return tables;
}

constexpr Tables tables = make_tables();

} // namespace

void Crc32::add(std::span<const std::byte> bytes)
{
    static_assert(std::endian::native == std::endian::little);
    uint32_t state = state_;
    const std::byte *at = bytes.data();
    size_t left = bytes.size();
    for (; left >= step; at += step, left -= step) {
        uint64_t word = 0;
        std::memcpy(&word, at, step);
        word ^= state;
        state = 0;
        for (size_t i = 0; i < step; ++i) {
            state ^= tables[step - 1 - i][(word >> (8 * i)) & 0xff];
        }
    }
    for (; left > 0; ++at, --left) {
        state = (state >> 8) ^ tables[0][(state ^ std::to_integer<uint32_t>(*at)) & 0xff];
    }
    state_ = state;
}

} // namespace gaudiemu
