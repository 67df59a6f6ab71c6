// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/packets.h"
#include "habanalabs/uapi.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <vector>

using hl::Move;
using hl::kernel::ChipKind;
using hl::kernel::CopyCutter;
using hl::kernel::LinearCopy;
using hl::kernel::PacketWriter;

namespace {

std::vector<uint8_t> written(ChipKind chip, const std::vector<LinearCopy> &copies, size_t room = 4096)
{
    std::vector<std::byte> buffer(room, std::byte{0xee});
    PacketWriter writer(chip, buffer);
    for (const LinearCopy &copy : copies)
        writer.add(copy);
    buffer.resize(writer.finish());
    std::vector<uint8_t> out;
    for (const std::byte b : buffer)
        out.push_back(std::to_integer<uint8_t>(b));
    return out;
}

std::vector<LinearCopy> cut(std::vector<Move> moves)
{
    std::array<Move, 4> four{};
    std::ranges::copy(moves, four.begin());
    CopyCutter cutter(four, moves.size());
    std::vector<LinearCopy> out;
    while (const auto copy = cutter.next())
        out.push_back(*copy);
    EXPECT_TRUE(cutter.done());
    return out;
}

const LinearCopy one{.source = 0xFFF0000000001003, .target = 0x1001500040000805, .bytes = 0x00012345};

} // namespace

// The words as gaudi2_packets.h has them: LIN_DMA is opcode 9, MB bit 31; NOP is opcode 10, EB bit 29.
TEST(KernelPackets, Gaudi2CopyAndEndByteByByte)
{
    const std::vector<uint8_t> expected{
        0x45, 0x23, 0x01, 0x00,                         // bytes
        0x00, 0x00, 0x00, 0x89,                         // LIN_DMA, message barrier
        0x03, 0x10, 0x00, 0x00, 0x00, 0x00, 0xF0, 0xFF, // source
        0x05, 0x08, 0x00, 0x40, 0x00, 0x50, 0x01, 0x10, // target: virtual, 64 bits
        0x00, 0x00, 0x00, 0x00,                         //
        0x00, 0x00, 0x00, 0xAA,                         // NOP, engine and message barrier
    };
    EXPECT_EQ(written(ChipKind::Gaudi2, {one}), expected);
}

// gaudi_packets.h: bit 3 says linear; the driver ends the buffer itself.
TEST(KernelPackets, GaudiCopyByteByByte)
{
    const std::vector<uint8_t> expected{
        0x45, 0x23, 0x01, 0x00, 0x08, 0x00, 0x00, 0x89, 0x03, 0x10, 0x00, 0x00,
        0x00, 0x00, 0xF0, 0xFF, 0x05, 0x08, 0x00, 0x40, 0x00, 0x50, 0x01, 0x10,
    };
    EXPECT_EQ(written(ChipKind::Gaudi, {one}), expected);
}

TEST(KernelPackets, ABufferHasRoomForItsEnd)
{
    std::vector<std::byte> buffer(3 * PacketWriter::lin_dma_bytes + PacketWriter::nop_bytes - 1);
    PacketWriter writer(ChipKind::Gaudi2, buffer);
    int copies = 0;
    for (; writer.has_room(); ++copies)
        writer.add(one);
    EXPECT_EQ(copies, 2);
    EXPECT_EQ(writer.finish(), 2 * PacketWriter::lin_dma_bytes + PacketWriter::nop_bytes);
}

TEST(KernelPackets, RowsWithGapsAreACopyEach)
{
    const auto copies =
        cut({{.source = 1000, .target = 5000, .source_stride = 33, .target_stride = 40, .row_bytes = 31, .rows = 3}});
    EXPECT_EQ(copies, (std::vector<LinearCopy>{{1000, 5000, 31}, {1033, 5040, 31}, {1066, 5080, 31}}));
}

TEST(KernelPackets, RowsWithoutGapsAreOneCopy)
{
    EXPECT_EQ(cut({{.source = 1, .target = 2, .source_stride = 64, .target_stride = 64, .row_bytes = 64, .rows = 9}}),
              (std::vector<LinearCopy>{{1, 2, 576}}));
    // A gap on one side alone is a gap.
    EXPECT_EQ(
        cut({{.source = 1, .target = 2, .source_stride = 64, .target_stride = 65, .row_bytes = 64, .rows = 9}}).size(),
        9u);
}

TEST(KernelPackets, PlanesFollowEachOther)
{
    const auto copies =
        cut({{.source = 0, .target = 100, .row_bytes = 10},
             {.source = 50, .target = 200, .source_stride = 8, .target_stride = 6, .row_bytes = 5, .rows = 2}});
    EXPECT_EQ(copies, (std::vector<LinearCopy>{{0, 100, 10}, {50, 200, 5}, {58, 206, 5}}));
}

TEST(KernelPackets, LongRowsAreCut)
{
    const uint64_t bytes = 2ull * CopyCutter::max_bytes + 7;
    EXPECT_EQ(cut({{.source = 16, .target = 1ull << 40, .row_bytes = bytes}}),
              (std::vector<LinearCopy>{
                  {16, 1ull << 40, CopyCutter::max_bytes},
                  {16 + CopyCutter::max_bytes, (1ull << 40) + CopyCutter::max_bytes, CopyCutter::max_bytes},
                  {16 + 2ull * CopyCutter::max_bytes, (1ull << 40) + 2ull * CopyCutter::max_bytes, 7}}));
}

// Numbers computed from the kernel's headers of the two generations, not from our formula.
TEST(KernelUapi, IoctlNumbers)
{
    using namespace hl::kernel::uapi;
    EXPECT_EQ(accel_ioctls.info, 0xc0186440u);
    EXPECT_EQ(accel_ioctls.cb, 0xc0186441u);
    EXPECT_EQ(accel_ioctls.cs, 0xc0306442u);
    EXPECT_EQ(accel_ioctls.wait_cs, 0xc0386443u);
    EXPECT_EQ(accel_ioctls.memory, 0xc0286444u);
    // uapi/misc/habanalabs.h: _IOWR('H', 0x01 to 0x05, ...).
    EXPECT_EQ(legacy_ioctls.info, 0xc0184801u);
    EXPECT_EQ(legacy_ioctls.cb, 0xc0184802u);
    EXPECT_EQ(legacy_ioctls.cs, 0xc0304803u);
    EXPECT_EQ(legacy_ioctls.wait_cs, 0xc0384804u);
    EXPECT_EQ(legacy_ioctls.memory, 0xc0284805u);
}
