// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/packets.h"

#include <algorithm>

namespace hl::kernel {
namespace {

// The control word of a packet (include/gaudi/gaudi_packets.h, include/gaudi2/gaudi2_packets.h of the driver).
constexpr uint32_t opcode_lin_dma = 0x9u << 24;
constexpr uint32_t opcode_nop = 0xAu << 24;
constexpr uint32_t engine_barrier = 1u << 29;  // starts when the engine is idle
constexpr uint32_t message_barrier = 1u << 31; // what follows waits for this one's writes
constexpr uint32_t gaudi_linear = 1u << 3;     // Gaudi alone: source and target are addresses, not descriptors

} // namespace

CopyCutter::CopyCutter(const std::array<Move, 4> &moves, size_t count) noexcept : moves_(moves), count_(count)
{
    for (Move &move : std::span(moves_).first(count_))
        if (move.contiguous()) {
            move.row_bytes = move.bytes();
            move.rows = 1;
        }
}

std::optional<LinearCopy> CopyCutter::next() noexcept
{
    if (done())
        return std::nullopt;
    const Move &move = moves_[move_];
    const LinearCopy copy{.source = move.source + row_ * move.source_stride + at_,
                          .target = move.target + row_ * move.target_stride + at_,
                          .bytes = static_cast<uint32_t>(std::min<uint64_t>(move.row_bytes - at_, max_bytes))};
    at_ += copy.bytes;
    if (at_ == move.row_bytes) {
        at_ = 0;
        ++row_;
    }
    if (row_ == move.rows) {
        row_ = 0;
        ++move_;
    }
    return copy;
}

void PacketWriter::put32(uint32_t value) noexcept
{
    for (unsigned shift = 0; shift < 32; shift += 8)
        buffer_[used_++] = static_cast<std::byte>(value >> shift);
}

void PacketWriter::put64(uint64_t value) noexcept
{
    put32(static_cast<uint32_t>(value));
    put32(static_cast<uint32_t>(value >> 32));
}

void PacketWriter::add(const LinearCopy &copy) noexcept
{
    put32(copy.bytes);
    put32(opcode_lin_dma | message_barrier | (chip_ == ChipKind::Gaudi ? gaudi_linear : 0));
    put64(copy.source);
    put64(copy.target);
}

uint32_t PacketWriter::finish() noexcept
{
    // Gaudi's driver appends packets of its own, with both barriers (gaudi.c gaudi_add_end_of_cb_packets). On Gaudi2
    // the queue itself reports a buffer's end, which has to come after its copies.
    if (chip_ == ChipKind::Gaudi2) {
        put32(0);
        put32(opcode_nop | engine_barrier | message_barrier);
    }
    return static_cast<uint32_t>(used_);
}

} // namespace hl::kernel
