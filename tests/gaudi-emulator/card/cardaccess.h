// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace gaudiemu {

// Accesses of any size to registers of 32 bits. A smaller write changes nothing: there is no such register.
template <typename Read>
uint64_t read_words(uint64_t offset, unsigned size, const Read &read_word)
{
    const auto word = static_cast<uint32_t>(offset & ~uint64_t{3});
    uint64_t value = read_word(word);
    if (size == 8) {
        value |= uint64_t{read_word(word + 4)} << 32;
    }
    return value >> (8 * (offset & 3));
}

template <typename Write>
void write_words(uint64_t offset, unsigned size, uint64_t value, const Write &write_word)
{
    if (size < 4) {
        return;
    }
    write_word(static_cast<uint32_t>(offset), static_cast<uint32_t>(value));
    if (size == 8) {
        write_word(static_cast<uint32_t>(offset + 4), static_cast<uint32_t>(value >> 32));
    }
}

} // namespace gaudiemu
