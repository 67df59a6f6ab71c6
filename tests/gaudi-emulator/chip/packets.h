// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <vector>

namespace gaudiemu::chip {

// Writes command buffers for tests (include/gaudi2/gaudi2_packets.h, gaudi/gaudi_packets.h).
class Packets {
public:
    Packets() = default;
    // `always`: bits of every LIN_DMA.
    explicit Packets(uint32_t always) : always_(always) {}

    Packets &nop() { return words(0, 0x0a000000); }
    Packets &msg_short(uint32_t base, uint32_t offset, uint32_t value)
    {
        return words(value, 0x04000000 | base << 22 | offset);
    }
    Packets &msg_long(uint64_t address, uint32_t value) { return words(value, 0x03000000).word64(address); }
    Packets &msg_prot(uint64_t address, uint32_t value) { return words(value, 0x07000000).word64(address); }
    Packets &wreg32(uint32_t offset, uint32_t value) { return words(value, 0x01000000 | offset << 8); }
    Packets &lin_dma(uint64_t from, uint64_t to, uint32_t size, uint32_t bits = 0)
    {
        return words(size, 0x09000000 | always_ | bits).word64(from).word64(to);
    }
    Packets &raw(uint32_t word, uint32_t control) { return words(word, control); }

    [[nodiscard]] std::span<const std::byte> bytes() const { return bytes_; }
    [[nodiscard]] uint32_t size() const { return static_cast<uint32_t>(bytes_.size()); }

    static constexpr uint32_t memset = 0x10;
    static constexpr uint32_t linear = 0x8; // the first Gaudi's: addresses, not a tensor
    static constexpr uint32_t write_completion = 0x1;

private:
    Packets &words(uint32_t first, uint32_t control) { return word64(static_cast<uint64_t>(control) << 32 | first); }
    Packets &word64(uint64_t value)
    {
        const size_t at = bytes_.size();
        bytes_.resize(at + sizeof value);
        std::memcpy(bytes_.data() + at, &value, sizeof value);
        return *this;
    }

    const uint32_t always_ = 0;
    std::vector<std::byte> bytes_;
};

} // namespace gaudiemu::chip
