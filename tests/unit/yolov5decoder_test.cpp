// SPDX-License-Identifier: LGPL-2.1-or-later
#include "decodertesting.h"
#include "inference/yolov5decoder.h"
#include "malloc_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>
#include <vector>

namespace {

using hl::test::BoxIs;
using hl::test::Found;
using hl::test::not_finite;
using hl::test::square;
using testing::AllOf;
using testing::HasSubstr;

constexpr size_t classes = 2, boxes = 64;

// cx, cy, w, h, objectness, a score per class.
using Box = std::array<float, 5 + classes>;

hl::Result<hl::YoloV5Decoder> configure(const hl::TensorShape &shape, size_t labels = 0,
                                        hl::DType type = hl::DType::Float32)
{
    return hl::YoloV5Decoder::configure({shape, type}, labels);
}

Found decode(const std::vector<Box> &content, const hl::DecodeOptions &options = {},
             const hl::DecodeFrame &frame = square)
{
    auto d = configure({1, boxes, 5 + classes});
    EXPECT_TRUE(d);
    std::vector<float> tensor(boxes * (5 + classes), 0.f);
    for (size_t i = 0; i < content.size(); ++i)
        std::ranges::copy(content[i], tensor.begin() + static_cast<ptrdiff_t>(i * (5 + classes)));
    return hl::test::found_by(*d, frame, options, tensor);
}

} // namespace

TEST(YoloV5Configure, TakesBoxesFirst)
{
    const auto d = configure({1, 25200, 85});
    ASSERT_TRUE(d);
    EXPECT_EQ(d->classes(), 80u);
    EXPECT_TRUE(configure({1, 10, 85}, 80)); // fewer boxes than values, told by the labels
}

TEST(YoloV5Configure, RefusesWhatDoesNotFitAndSaysWhatWasExpected)
{
    for (const hl::TensorShape &shape : std::vector<hl::TensorShape>{
             {25200, 85}, {2, 25200, 85}, {1, 84, 8400}, {1, -1, 85}, {1, 25200, 5}, {1, 1 << 21, 85}, {}}) {
        const auto d = configure(shape);
        ASSERT_FALSE(d) << shape.text();
        EXPECT_EQ(d.error().code, hl::ErrorCode::TensorShape);
        EXPECT_THAT(d.error().cause, AllOf(HasSubstr("1xNx(5+C) float32"), HasSubstr(shape.text())));
    }
    EXPECT_THAT(configure({1, 25200, 85}, 80, hl::DType::Float16).error().cause,
                AllOf(HasSubstr("1xNx85"), HasSubstr("1x25200x85 float16")));
    EXPECT_EQ(configure({1, 25200, 85}, 79).error().code, hl::ErrorCode::LabelsInvalid);
}

TEST(YoloV5Decode, TheScoreIsObjectnessTimesTheBestClass)
{
    const auto found = decode({{50, 60, 20, 10, 0.8f, 0.9f, 0.2f}, {200, 100, 40, 40, 0.9f, 0.1f, 0.9f}}).objects;
    ASSERT_EQ(found.size(), 2u);
    EXPECT_THAT(found[0], BoxIs(180, 80, 220, 120));
    EXPECT_FLOAT_EQ(found[0].score, 0.81f);
    EXPECT_EQ(found[0].class_index, 1u);
    EXPECT_THAT(found[1], BoxIs(40, 55, 60, 65));
    EXPECT_FLOAT_EQ(found[1].score, 0.72f);
}

TEST(YoloV5Decode, BothTheObjectnessAndTheScoreReachTheThreshold)
{
    EXPECT_TRUE(decode({{50, 60, 20, 10, 0.6f, 0.8f, 0.f}}).objects.empty());
    EXPECT_TRUE(decode({{50, 60, 20, 10, 0.4f, 2.f, 0.f}}).objects.empty());
    EXPECT_EQ(decode({{50, 60, 20, 10, 0.5f, 1.f, 0.f}}).objects.size(), 1u);
}

TEST(YoloV5Decode, GoesBackToTheFrameAndSuppresses)
{
    const hl::DecodeFrame frame{1280, 720, {0.25, 0.25, 0.0, 70.0}, 320, 320};
    const std::vector<Box> pair{{160, 160, 40, 20, 1.f, 0.9f, 0.f}, {161, 160, 40, 20, 1.f, 0.f, 0.8f}};
    EXPECT_EQ(decode(pair, {}, frame).objects.size(), 2u);
    const auto found = decode(pair, {.class_aware = false}, frame).objects;
    ASSERT_EQ(found.size(), 1u);
    EXPECT_THAT(found[0], BoxIs(560, 320, 720, 400));
}

TEST(YoloV5Decode, ReportsTheClassesThatAreWanted)
{
    const std::vector<uint8_t> second{0, 1};
    const auto found =
        decode({{50, 60, 20, 10, 1, 0.9f, 0.2f}, {200, 100, 40, 40, 1, 0.1f, 0.9f}}, {.wanted = second}).objects;
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].class_index, 1u);
}

TEST(YoloV5Decode, DropsAndCountsWhatIsNotFinite)
{
    for (const float v : not_finite)
        for (size_t at = 0; at < 5 + classes; ++at) {
            Box bad{50, 60, 20, 10, 0.9f, 0.9f, 0.2f};
            bad[at] = v;
            const auto found = decode({bad, {200, 100, 40, 40, 0.9f, 0.1f, 0.9f}});
            EXPECT_EQ(found.objects.size(), 1u) << at;
            EXPECT_EQ(found.nonfinite, 1u) << at;
            // Where the objectness does not reach the threshold, nothing else is looked at.
            if (at != 4)
                bad[4] = 0.1f;
            EXPECT_EQ(decode({bad}).nonfinite, at == 4 ? 1u : 0u) << at;
        }
}

TEST(YoloV5Decode, SurvivesAFullTensorWithoutAllocating)
{
    auto d = configure({1, 25200, 85});
    ASSERT_TRUE(d);
    std::vector<float> tensor(25200 * 85);
    std::minstd_rand random(7);
    for (size_t i = 0; i < tensor.size(); ++i)
        tensor[i] = i % 85 < 4 ? static_cast<float>(random() % 320) : 0.8f + static_cast<float>(random() % 20) / 100;
    const hl::test::MallocCount count;
    const auto found = hl::test::decode(*d, square, {.iou_threshold = 1.f, .max_detections = 300}, tensor);
    EXPECT_EQ(count.calls(), 0u);
    EXPECT_EQ(found.objects.size(), 300u);
    EXPECT_GT(found.cut, 0u);
}
