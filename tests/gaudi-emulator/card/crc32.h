// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

namespace gaudiemu {

// CRC-32 of IEEE 802.3, the one of zlib's crc32(), of bytes that come in pieces.
class Crc32 {
public:
    void add(std::span<const std::byte> bytes);
    [[nodiscard]] uint32_t value() const { return ~state_; }

private:
    uint32_t state_ = ~uint32_t{0};
};

} // namespace gaudiemu
