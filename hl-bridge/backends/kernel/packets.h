// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/move.h"
#include "habanalabs/chipnode.h"

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

namespace hl::kernel {

using namespace habanalabs; // the driver's words are this backend's

// One linear copy, the only shape that the packet LIN_DMA has.
struct LinearCopy {
    uint64_t source = 0;
    uint64_t target = 0;
    uint32_t bytes = 0;

    friend bool operator==(const LinearCopy &, const LinearCopy &) = default;
};

// Takes the moves of a request apart into linear copies: a row each, or the whole where no gap lies between rows, none
// longer than max_bytes, so that a queue is never long with one packet.
class CopyCutter {
public:
    static constexpr uint32_t max_bytes = 16u << 20;

    CopyCutter() noexcept = default;
    CopyCutter(const std::array<Move, 4> &moves, size_t count) noexcept;

    [[nodiscard]] std::optional<LinearCopy> next() noexcept;
    [[nodiscard]] bool done() const noexcept { return move_ == count_; }

private:
    std::array<Move, 4> moves_{};
    size_t count_ = 0;
    size_t move_ = 0;
    uint32_t row_ = 0;
    uint64_t at_ = 0; // bytes into the row
};

// Writes a command buffer: copies, then what makes its end wait for them.
class PacketWriter {
public:
    static constexpr size_t lin_dma_bytes = 24;
    static constexpr size_t nop_bytes = 8;

    // `buffer` holds at least one copy and the end.
    PacketWriter(ChipKind chip, std::span<std::byte> buffer) noexcept : chip_(chip), buffer_(buffer) {}

    // FALSE: no room for one more.
    [[nodiscard]] bool has_room() const noexcept { return used_ + lin_dma_bytes + nop_bytes <= buffer_.size(); }
    void add(const LinearCopy &copy) noexcept;
    // The bytes of the finished buffer.
    [[nodiscard]] uint32_t finish() noexcept;

private:
    void put32(uint32_t value) noexcept;
    void put64(uint64_t value) noexcept;

    ChipKind chip_;
    std::span<std::byte> buffer_;
    size_t used_ = 0;
};

} // namespace hl::kernel
