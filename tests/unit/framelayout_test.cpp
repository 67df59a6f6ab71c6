// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/framelayout.h"

#include <drm_fourcc.h>
#include <gtest/gtest.h>

namespace {

hl::FrameFormat format(hl::PixelFormat f, uint32_t w, uint32_t h)
{
    return {.format = f, .width = w, .height = h};
}

hl::Memory memory(uint64_t size)
{
    return {.device = 1, .generation = 1, .handle = 1, .offset = 0, .size = size};
}

} // namespace

TEST(FrameFormat, OddSizesRoundChromaUp)
{
    const auto placement = hl::packed_placement(format(hl::PixelFormat::I420, 5, 3), 1);
    EXPECT_EQ(placement.offset[1], 15u);
    EXPECT_EQ(placement.stride[1], 3u);
    EXPECT_EQ(placement.offset[2], 21u);
    EXPECT_EQ(placement.size, 27u);
    EXPECT_EQ(hl::plane_row_bytes(format(hl::PixelFormat::UYVY, 5, 3), 0), 12u);
}

TEST(FrameFormat, MatchesGStreamersDefaultLayout)
{
    // GStreamer rounds NV12 and I420 luma strides, and RGB's, up to 4 (gst-plugins-base video-info.c fill_planes).
    const auto nv12 = hl::packed_placement(format(hl::PixelFormat::NV12, 640, 480));
    EXPECT_EQ(nv12.offset[1], 307200u);
    EXPECT_EQ(nv12.size, 460800u);
    EXPECT_EQ(hl::packed_placement(format(hl::PixelFormat::RGB, 3, 2)).stride[0], 12u);
    EXPECT_EQ(hl::packed_placement(format(hl::PixelFormat::YUY2, 5, 2)).size, 24u);
}

TEST(PixelFormat, EveryFormatIsFoundByItsNameAndItsFourcc)
{
    for (size_t i = 0; i < hl::pixel_formats; ++i) {
        const auto of = static_cast<hl::PixelFormat>(i);
        const hl::PixelFormatInfo &info = hl::pixel_format_info(of);
        EXPECT_EQ(info.format, of);
        EXPECT_EQ(hl::pixel_format_from_name(info.name), of) << info.name;
        EXPECT_EQ(hl::pixel_format_from_fourcc(info.fourcc), of) << info.name;
    }
    EXPECT_EQ(hl::pixel_format_from_name("P010_10LE"), hl::PixelFormat::P010);
    EXPECT_EQ(hl::pixel_format_from_name("P010_10BE"), std::nullopt);
    EXPECT_EQ(hl::pixel_format_from_fourcc(DRM_FORMAT_YVYU), std::nullopt);
}

// Packed RGB is spelt from the other end: GStreamer by bytes, DRM by the little-endian word
// (tests/elements/caps_test.cpp asks GStreamer about every format).
TEST(PixelFormat, FourccsOfPackedRgbAreTurnedRound)
{
    const struct {
        const char *bytes;
        uint32_t word;
    } cases[] = {{"RGBx", DRM_FORMAT_XBGR8888}, {"BGRx", DRM_FORMAT_XRGB8888}, {"xRGB", DRM_FORMAT_BGRX8888},
                 {"xBGR", DRM_FORMAT_RGBX8888}, {"RGBA", DRM_FORMAT_ABGR8888}, {"BGRA", DRM_FORMAT_ARGB8888},
                 {"ARGB", DRM_FORMAT_BGRA8888}, {"ABGR", DRM_FORMAT_RGBA8888}, {"RGB", DRM_FORMAT_BGR888},
                 {"BGR", DRM_FORMAT_RGB888}};
    for (const auto &c : cases)
        EXPECT_EQ(hl::pixel_format_info(hl::pixel_format_from_name(c.bytes).value()).fourcc, c.word) << c.bytes;
}

TEST(FrameLayout, RefusesShortMemoryAndStride)
{
    const auto fmt = format(hl::PixelFormat::NV12, 64, 32);
    const auto placement = hl::packed_placement(fmt);
    EXPECT_TRUE(hl::validate(hl::layout_in(fmt, memory(placement.size), placement)));

    const auto short_by_one = hl::validate(hl::layout_in(fmt, memory(placement.size - 1), placement));
    ASSERT_FALSE(short_by_one);
    EXPECT_EQ(short_by_one.error().code, hl::ErrorCode::FrameTooSmall);

    auto layout = hl::layout_in(fmt, memory(placement.size), placement);
    layout.plane[0].stride = 63;
    const auto narrow = hl::validate(layout);
    ASSERT_FALSE(narrow);
    EXPECT_EQ(narrow.error().code, hl::ErrorCode::FrameLayoutInvalid);
}

TEST(FrameLayout, LastRowNeedsNoPadding)
{
    const auto fmt = format(hl::PixelFormat::RGB, 10, 2);
    auto layout = hl::layout_in(fmt, memory(64 + 30), {.offset = {}, .stride = {64}, .size = 0});
    EXPECT_TRUE(hl::validate(layout));
}

TEST(FrameLayout, OffsetPastTheEndDoesNotWrap)
{
    const auto fmt = format(hl::PixelFormat::RGB, 10, 2);
    auto layout = hl::layout_in(fmt, memory(64), {.offset = {UINT64_MAX - 8}, .stride = {32}, .size = 0});
    EXPECT_FALSE(hl::validate(layout));
}

TEST(FrameLayout, RefusesMixedPlacements)
{
    const auto fmt = format(hl::PixelFormat::NV12, 64, 32);
    auto layout = hl::layout_in(fmt, memory(1 << 20), hl::packed_placement(fmt));
    layout.plane[1].memory.placement = hl::Placement::Device;
    EXPECT_FALSE(hl::validate(layout));
}
