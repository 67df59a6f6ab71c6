// SPDX-License-Identifier: LGPL-2.1-or-later
#include "decodertesting.h"
#include "inference/yolov8segdecoder.h"
#include "malloc_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace {

using hl::test::BoxIs;
using hl::test::not_finite;
using hl::test::square;
using testing::AllOf;
using testing::HasSubstr;

constexpr auto f32 = hl::DType::Float32;
constexpr size_t boxes = 64, channels = 4 + 2 + 2; // two classes, two coefficients
constexpr size_t side = 8;                         // a prototype pixel is 40x40 of the 320x320 image

// One prototype is above zero in the left half, the other in the upper half.
std::vector<float> prototypes()
{
    std::vector<float> out(2 * side * side);
    for (size_t y = 0; y < side; ++y)
        for (size_t x = 0; x < side; ++x) {
            out[y * side + x] = x < side / 2 ? 1.f : -1.f;
            out[(side + y) * side + x] = y < side / 2 ? 1.f : -1.f;
        }
    return out;
}

std::vector<float> detections(const std::vector<std::vector<float>> &content)
{
    std::vector<float> out(channels * boxes, 0.f);
    for (size_t i = 0; i < content.size(); ++i)
        for (size_t c = 0; c < content[i].size(); ++c)
            out[c * boxes + i] = content[i][c];
    return out;
}

hl::Result<hl::YoloV8SegDecoder> configure(const hl::TensorKey &protos = {{1, 2, side, side}, f32})
{
    return hl::YoloV8SegDecoder::configure({{1, channels, boxes}, f32}, protos, 0);
}

std::vector<uint8_t> cells(const hl::ObjectMask &mask)
{
    return {mask.cells.begin(), mask.cells.end()};
}

} // namespace

TEST(YoloV8SegConfigure, RefusesWhatDoesNotFitAndSaysWhatWasExpected)
{
    EXPECT_EQ(configure()->classes(), 2u);
    for (const hl::TensorKey &bad : std::vector<hl::TensorKey>{{{2, side, side}, f32},
                                                               {{2, 2, side, side}, f32},
                                                               {{1, 2, 0, side}, f32},
                                                               {{1, 257, side, side}, f32},
                                                               {{1, 2, side, 5000}, f32},
                                                               {{1, 2, side, side}, hl::DType::Float16}}) {
        const auto d = configure(bad);
        ASSERT_FALSE(d) << bad.shape.text();
        EXPECT_THAT(d.error().cause, AllOf(HasSubstr("1xMxHxW float32"), HasSubstr(bad.shape.text())));
    }
    const auto few = configure({{1, 4, side, side}, f32}); // leaves no class
    ASSERT_FALSE(few);
    EXPECT_THAT(few.error().cause, AllOf(HasSubstr("1x(4+C+4)xN float32"), HasSubstr("1x8x64")));
}

TEST(YoloV8SegDecode, CutsEachObjectOutOfThePrototypes)
{
    auto d = configure();
    ASSERT_TRUE(d);
    const auto found = hl::test::decode(
        *d, square, {},
        detections({{160, 160, 160, 80, 0.9f, 0.f, 1.f, 0.f}, {160, 160, 80, 160, 0.f, 0.8f, 1.f, -3.f}}),
        prototypes());
    ASSERT_EQ(found.objects.size(), 2u);
    ASSERT_EQ(found.masks.size(), 2u);
    EXPECT_THAT(found.objects[0], BoxIs(80, 120, 240, 200));
    EXPECT_EQ(found.masks[0].width, 4u);
    EXPECT_EQ(found.masks[0].height, 2u);
    EXPECT_EQ(cells(found.masks[0]), (std::vector<uint8_t>{1, 1, 0, 0, 1, 1, 0, 0}));
    EXPECT_EQ(found.masks[1].width, 2u);
    EXPECT_EQ(cells(found.masks[1]), (std::vector<uint8_t>{0, 0, 0, 0, 1, 1, 1, 1}));
}

// A hostile network may ask for 16 Mi cells for each of its boxes.
TEST(YoloV8SegDecode, TheCellsOfAFrameAreBounded)
{
    constexpr int64_t wide = 2048; // 4 Mi cells
    auto d = hl::YoloV8SegDecoder::configure({{1, 4 + 8 + 1, boxes}, f32}, {{1, 1, wide, wide}, f32}, 0);
    ASSERT_TRUE(d);
    std::vector<float> content((4 + 8 + 1) * boxes, 0.f);
    for (size_t i = 0; i < 8; ++i) { // of a class each, which keeps them all
        for (size_t c = 0; c < 4; ++c)
            content[c * boxes + i] = c < 2 ? 160.f : 320.f;
        content[(4 + i) * boxes + i] = 0.9f - 0.05f * static_cast<float>(i);
        content[(4 + 8) * boxes + i] = 1.f;
    }
    const std::vector<float> filled(wide * wide, 1.f);
    for (int frame = 0; frame < 2; ++frame) { // room comes back
        const auto found = hl::test::decode(*d, square, {}, content, filled);
        EXPECT_EQ(found.objects.size(), 4u);
        ASSERT_EQ(found.masks.size(), 4u);
        EXPECT_EQ(found.cut, 4u);
        EXPECT_EQ(found.masks[3].cells.size(), size_t{wide * wide});
        EXPECT_EQ(found.masks[3].cells.back(), 1);
    }
}

TEST(YoloV8SegDecode, MasksGoThroughTheLetterbox)
{
    auto d = configure();
    ASSERT_TRUE(d);
    // 640x320 in 320x320: the frame is rows 80 to 240 of the image, two prototype rows above it.
    const hl::DecodeFrame wide{640, 320, {0.5, 0.5, 0.0, 80.0}, 320, 320};
    const auto found =
        hl::test::decode(*d, wide, {}, detections({{160, 160, 320, 320, 0.9f, 0.f, 0.f, 1.f}}), prototypes());
    ASSERT_EQ(found.masks.size(), 1u);
    EXPECT_THAT(found.objects[0], BoxIs(0, 0, 640, 320));
    EXPECT_EQ(found.masks[0].width, 8u);
    EXPECT_EQ(found.masks[0].height, 4u);
    for (size_t i = 0; i < 32; ++i)
        EXPECT_EQ(found.masks[0].cells[i], i < 16 ? 1 : 0) << i;
}

TEST(YoloV8SegDecode, ASmallObjectHasOneCell)
{
    auto d = configure();
    ASSERT_TRUE(d);
    const auto found =
        hl::test::decode(*d, square, {}, detections({{100, 100, 3, 3, 0.9f, 0.f, 1.f, 1.f}}), prototypes());
    ASSERT_EQ(found.masks.size(), 1u);
    EXPECT_EQ(cells(found.masks[0]), std::vector<uint8_t>{1});
}

TEST(YoloV8SegDecode, DropsAndCountsWhatIsNotFinite)
{
    auto d = configure();
    ASSERT_TRUE(d);
    const std::vector<float> left{80, 160, 80, 80, 0.9f, 0.f, 1.f, 0.f}, right{240, 160, 80, 80, 0.8f, 0.f, -1.f, 0.f};
    for (const float v : not_finite) {
        for (size_t at = 0; at < left.size(); ++at) {
            auto bad = left;
            bad[at] = v;
            const auto found = hl::test::decode(*d, square, {}, detections({bad, right}), prototypes());
            ASSERT_EQ(found.objects.size(), 1u) << at;
            ASSERT_EQ(found.masks.size(), 1u) << at;
            EXPECT_FLOAT_EQ(found.objects[0].score, 0.8f) << at;
            EXPECT_EQ(cells(found.masks[0]), (std::vector<uint8_t>{1, 1, 1, 1})) << at;
            EXPECT_EQ(found.nonfinite, 1u) << at;
        }
        // A prototype drops the objects that lie over it.
        auto protos = prototypes();
        protos[4 * side + 2] = v;
        const auto found = hl::test::decode(*d, square, {}, detections({left, right}), protos);
        ASSERT_EQ(found.objects.size(), 1u);
        EXPECT_FLOAT_EQ(found.objects[0].score, 0.8f);
        EXPECT_EQ(found.nonfinite, 1u);
    }
}

TEST(YoloV8SegDecode, DoesNotAllocateOnceTheBusiestFrameWasSeen)
{
    auto d = configure();
    ASSERT_TRUE(d);
    const auto busy = detections({{160, 160, 320, 320, 0.9f, 0.f, 1.f, 0.f}, {80, 80, 80, 80, 0.f, 0.8f, 1.f, 1.f}});
    const auto protos = prototypes();
    ASSERT_EQ(hl::test::decode(*d, square, {}, busy, protos).masks.size(), 2u);
    const hl::test::MallocCount count;
    const auto found = hl::test::decode(*d, square, {}, busy, protos);
    EXPECT_EQ(count.calls(), 0u);
    EXPECT_EQ(found.masks.size(), 2u);
}
