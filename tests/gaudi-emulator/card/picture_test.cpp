// SPDX-License-Identifier: LGPL-2.1-or-later
#include "crc32.h"
#include "framepainter.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <gmock/gmock.h>
#include <unistd.h>

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

class FilmTest : public testing::Test {
protected:
    // Two NV12 frames of 64x32, and a byte that belongs to none.
    FilmTest()
    {
        std::vector<std::byte> bytes(2 * picture.bytes + 1);
        for (size_t i = 0; i < bytes.size(); ++i) {
            bytes[i] = static_cast<std::byte>(i * 7 + i / picture.bytes);
        }
        std::ofstream(path, std::ios::binary)
            .write(reinterpret_cast<const char *>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
        content = std::move(bytes);
    }
    ~FilmTest() override { std::filesystem::remove(path); }

    const Picture picture = *Picture::packed(HL_CARD_NV12, 64, 32);
    const std::string path = testing::TempDir() + "film-" + std::to_string(getpid());
    std::vector<std::byte> content;
};

TEST_F(FilmTest, RunsOverAndOverUnderTheStamp)
{
    const auto film = Film::open(path + ":NV12:64x32");
    ASSERT_TRUE(film) << film.error();
    auto padded = picture;
    padded.planes[0].stride = padded.planes[1].stride = 80;
    padded.planes[1].offset = 80 * 32;
    padded.bytes = 80 * 48;
    const FramePainter painter(padded, &*film);
    for (const uint32_t number : {0u, 1u, 2u, 7u}) {
        std::vector<std::byte> frame(padded.bytes);
        const uint32_t crc = painter.paint(number, frame);
        EXPECT_EQ(read_stamp(padded, frame)->number, number);
        EXPECT_EQ(stamped_crc(padded, frame), crc);
        const auto source = std::span(content).subspan(number % 2 * picture.bytes, picture.bytes);
        EXPECT_TRUE(std::ranges::equal(std::span(frame).subspan(80, 64), source.subspan(64, 64)));
        EXPECT_TRUE(std::ranges::equal(std::span(frame).subspan(80 * 47, 64), source.subspan(64 * 47, 64)));
        EXPECT_TRUE(std::ranges::equal(std::span(frame).subspan(12, 52), source.subspan(12, 52)));
    }
}

TEST_F(FilmTest, IsShownInItsOwnShapeOnly)
{
    const auto film = Film::open(path + ":NV12:64x32");
    ASSERT_TRUE(film);
    const auto other = *Picture::packed(HL_CARD_NV12, 64, 48);
    std::vector<std::byte> frame(other.bytes);
    FramePainter(other, &*film).paint(3, frame);
    EXPECT_EQ(frame, painted(other, 3));
}

TEST_F(FilmTest, SaysWhatIsWrong)
{
    const auto error_of = [](const std::string &text) { return Film::open(text).error(); };
    EXPECT_THAT(error_of("film.raw"), testing::HasSubstr("FILE:FOURCC:WIDTHxHEIGHT"));
    EXPECT_THAT(error_of(path + ":NV21:64x32"), testing::HasSubstr("no picture"));
    EXPECT_THAT(error_of(path + "-none:NV12:64x32"), testing::HasSubstr("No such file"));
    EXPECT_THAT(error_of(path + ":NV12:640x480"), testing::HasSubstr("no frame"));
}

} // namespace
