// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crc32.h"
#include "framepainter.h"

#include <algorithm>
#include <gtest/gtest.h>

using namespace gaudiemu;

namespace {

const uint32_t all_formats[] = {HL_CARD_YUYV, HL_CARD_UYVY, HL_CARD_GREY, HL_CARD_RGB3,
                                HL_CARD_XR24, HL_CARD_NV12, HL_CARD_YU12};

std::vector<std::byte> painted(const Picture &picture, uint32_t number)
{
    std::vector<std::byte> frame(picture.bytes, std::byte{0xa5});
    FramePainter(picture).paint(number, frame);
    return frame;
}

TEST(Crc32, IsThatOfZlib)
{
    Crc32 crc;
    crc.add(std::as_bytes(std::span("1234", 4)));
    crc.add(std::as_bytes(std::span("56789", 5)));
    EXPECT_EQ(crc.value(), 0xcbf43926u); // the check value of CRC-32/ISO-HDLC
    Crc32 longer;
    longer.add(std::as_bytes(std::span("The quick brown fox jumps over the lazy dog", 43)));
    EXPECT_EQ(longer.value(), 0x414fa339u);
}

TEST(Picture, PacksEveryFormat)
{
    const uint64_t sizes[] = {62 * 31 * 2,       62 * 31 * 2,          61 * 31, 61 * 31 * 3, 61 * 31 * 4,
                              61 * 31 + 62 * 16, 61 * 31 + 2 * 31 * 16};
    for (size_t i = 0; i < std::size(all_formats); ++i) {
        const auto picture = Picture::packed(all_formats[i], 61, 31);
        ASSERT_TRUE(picture);
        EXPECT_TRUE(picture->valid());
        EXPECT_EQ(picture->bytes, sizes[i]) << i;
        ASSERT_EQ(picture->runs().size(), 1u);
        EXPECT_EQ(picture->runs()[0].bytes, picture->bytes);
    }
    EXPECT_FALSE(Picture::packed(HL_CARD_FOURCC('N', 'V', '2', '1'), 64, 32));
    EXPECT_FALSE(Picture::packed(HL_CARD_GREY, HL_CARD_WIDTH_MAX + 1, 32));
    EXPECT_FALSE(Picture::packed(HL_CARD_GREY, 64, HL_CARD_HEIGHT_MIN - 1));
}

TEST(Picture, RefusesPlanesThatOverlapOrEndOutside)
{
    auto picture = *Picture::packed(HL_CARD_NV12, 64, 32);
    --picture.bytes;
    EXPECT_FALSE(picture.valid());
    picture.bytes += 1;
    EXPECT_TRUE(picture.valid());
    picture.planes[1].offset -= 1;
    EXPECT_FALSE(picture.valid());
    picture.planes[1].offset += 1;
    picture.planes[0].stride -= 1;
    EXPECT_FALSE(picture.valid());
}

TEST(FramePainter, EveryByteDiffersFromTheNextFrames)
{
    for (const uint32_t fourcc : all_formats) {
        const auto picture = *Picture::packed(fourcc, 70, 18);
        const auto frame = painted(picture, 1000);
        for (const uint32_t number : {1001u, 1002u, 1064u, 1127u}) {
            const auto other = painted(picture, number);
            // Words of the stamp may share bytes.
            size_t same = 0;
            for (size_t i = HL_CARD_STAMP_BYTES; i < frame.size(); ++i) {
                same += frame[i] == other[i] ? 1 : 0;
            }
            EXPECT_EQ(same, 0u) << fourcc << " " << number;
        }
    }
}

TEST(FramePainter, StampHoldsNumberAndCrcOfTheRest)
{
    for (const uint32_t fourcc : all_formats) {
        const auto picture = *Picture::packed(fourcc, 64, 32);
        auto frame = painted(picture, 77);
        const auto stamp = read_stamp(picture, frame);
        ASSERT_TRUE(stamp);
        EXPECT_EQ(stamp->number, 77u);
        EXPECT_EQ(stamp->crc, stamped_crc(picture, frame));
        for (const size_t place : {size_t{HL_CARD_STAMP_NUMBER}, size_t{HL_CARD_STAMP_BYTES}, frame.size() - 1}) {
            frame[place] ^= std::byte{1};
            EXPECT_NE(stamp->crc, stamped_crc(picture, frame)) << place;
            frame[place] ^= std::byte{1};
        }
        frame[0] ^= std::byte{1};
        EXPECT_FALSE(read_stamp(picture, frame));
    }
}

TEST(FramePainter, PaddingIsNeitherPaintedNorCounted)
{
    const auto tight = *Picture::packed(HL_CARD_NV12, 64, 32);
    auto padded = tight;
    padded.planes[0].stride = padded.planes[1].stride = 80;
    padded.planes[1].offset = 80 * 32 + 24;
    padded.bytes = padded.planes[1].offset + 80 * 16;
    ASSERT_TRUE(padded.valid());
    const auto frame = painted(padded, 5);
    EXPECT_EQ(read_stamp(padded, frame)->crc, read_stamp(tight, painted(tight, 5))->crc);
    EXPECT_TRUE(
        std::ranges::all_of(std::span(frame).subspan(64, 16), [](std::byte b) { return b == std::byte{0xa5}; }));
    EXPECT_TRUE(
        std::ranges::all_of(std::span(frame).subspan(80 * 32, 24), [](std::byte b) { return b == std::byte{0xa5}; }));
    EXPECT_EQ(padded.runs().size(), 48u);
}

} // namespace
