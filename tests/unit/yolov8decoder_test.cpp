// SPDX-License-Identifier: LGPL-2.1-or-later
#include "decodertesting.h"
#include "inference/yolov8decoder.h"
#include "malloc_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

namespace {

using testing::AllOf;
using testing::HasSubstr;

using hl::test::BoxIs;
using hl::test::inf;
using hl::test::not_a_number;
using hl::test::not_finite;
using hl::test::square;

struct Box {
    float cx, cy, w, h;
    std::vector<float> scores;
};

// A tensor of `boxes` boxes and `classes` classes holding `content` from `first` on, in the order of the shape.
std::vector<float> tensor(const std::vector<Box> &content, size_t classes, size_t boxes, bool box_major = false,
                          size_t first = 0)
{
    std::vector<float> out((4 + classes) * boxes, 0.f);
    for (size_t i = 0; i < content.size(); ++i) {
        const auto &b = content[i];
        std::vector<float> values{b.cx, b.cy, b.w, b.h};
        values.insert(values.end(), b.scores.begin(), b.scores.end());
        for (size_t c = 0; c < values.size(); ++c)
            out[box_major ? (first + i) * (4 + classes) + c : c * boxes + first + i] = values[c];
    }
    return out;
}

hl::Result<hl::YoloV8Decoder> configure(const hl::TensorShape &shape, hl::DType type, size_t labels, uint32_t extra = 0)
{
    return hl::YoloV8Decoder::configure({shape, type}, labels, extra);
}

hl::YoloV8Decoder decoder(int64_t classes, int64_t boxes)
{
    auto made = configure({1, 4 + classes, boxes}, hl::DType::Float32, 0);
    EXPECT_TRUE(made);
    return std::move(*made);
}

std::vector<hl::Detection> decode(const std::vector<Box> &content, const hl::DecodeOptions &options = {},
                                  const hl::DecodeFrame &frame = square, size_t classes = 2)
{
    auto d = decoder(static_cast<int64_t>(classes), 64);
    const auto found = hl::test::decode(d, frame, options, tensor(content, classes, 64)).objects;
    return {found.begin(), found.end()};
}

// How many of `content` were dropped because they are not finite.
uint64_t dropped(const std::vector<Box> &content, const hl::DecodeOptions &options = {})
{
    auto d = decoder(2, 64);
    return hl::test::decode(d, square, options, tensor(content, 2, 64)).nonfinite;
}

} // namespace

TEST(YoloV8Configure, TakesTheUsualShapeWithoutLabels)
{
    const auto d = configure({1, 84, 8400}, hl::DType::Float32, 0);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->classes(), 80u);
    EXPECT_EQ(d->boxes(), 8400u);
    EXPECT_THAT(d->tensor_bytes(), testing::ElementsAre(84u * 8400u * 4u));
}

TEST(YoloV8Configure, TakesTheTransposedShapeOnlyWhereLabelsTellItApart)
{
    const auto d = configure({1, 8400, 84}, hl::DType::Float32, 80);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->classes(), 80u);
    EXPECT_EQ(d->boxes(), 8400u);

    const auto without = configure({1, 8400, 84}, hl::DType::Float32, 0);
    ASSERT_FALSE(without);
    EXPECT_EQ(without.error().code, hl::ErrorCode::TensorShape);
    EXPECT_THAT(without.error().remedy, HasSubstr("give the labels"));
}

TEST(YoloV8Configure, LabelsAllowFewerBoxesThanChannels)
{
    const auto d = configure({1, 84, 21}, hl::DType::Float32, 80);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->boxes(), 21u);
}

TEST(YoloV8Configure, RefusesWhatDoesNotFitAndSaysWhatWasExpected)
{
    const std::vector<hl::TensorShape> bad{{84, 8400}, {2, 84, 8400}, {1, 84, -1},      {1, 0, 8400}, {1, 4, 8400},
                                           {1, 84, 0}, {1, 300, 6},   {1, 84, 8400, 1}, {},           {1, 84, 1 << 21}};
    for (const auto &shape : bad) {
        const auto d = configure(shape, hl::DType::Float32, 0);
        ASSERT_FALSE(d) << shape.text();
        EXPECT_EQ(d.error().code, hl::ErrorCode::TensorShape);
        EXPECT_THAT(d.error().cause, AllOf(HasSubstr("1x(4+C)xN float32"), HasSubstr(shape.text())));
    }
    const auto typed = configure({1, 84, 8400}, hl::DType::Float16, 80);
    ASSERT_FALSE(typed);
    EXPECT_THAT(typed.error().cause, AllOf(HasSubstr("1x84xN"), HasSubstr("1x84x8400 float16")));
}

TEST(YoloV8Configure, RefusesTooFewLabelsAndTakesMore)
{
    const auto few = configure({1, 9, 2100}, hl::DType::Float32, 4);
    ASSERT_FALSE(few);
    EXPECT_EQ(few.error().code, hl::ErrorCode::LabelsInvalid);
    EXPECT_THAT(few.error().cause, HasSubstr("4 labels are too few for the 5 classes"));
    EXPECT_TRUE(configure({1, 9, 2100}, hl::DType::Float32, 5));
    EXPECT_TRUE(configure({1, 9, 2100}, hl::DType::Float32, 6));
}

TEST(YoloV8Decode, FindsTheBestClassOfEachBoxAndSortsByScore)
{
    const auto found = decode({{50, 60, 20, 10, {0.6f, 0.2f}}, {200, 100, 40, 40, {0.1f, 0.9f}}});
    ASSERT_EQ(found.size(), 2u);
    EXPECT_THAT(found[0], BoxIs(180, 80, 220, 120));
    EXPECT_EQ(found[0].class_index, 1u);
    EXPECT_FLOAT_EQ(found[0].score, 0.9f);
    EXPECT_THAT(found[1], BoxIs(40, 55, 60, 65));
    EXPECT_EQ(found[1].class_index, 0u);
}

TEST(YoloV8Decode, ThresholdIsInclusive)
{
    const std::vector<Box> boxes{{50, 50, 20, 20, {0.5f, 0.f}}};
    EXPECT_EQ(decode(boxes, {.score_threshold = 0.5f}).size(), 1u);
    EXPECT_EQ(decode(boxes, {.score_threshold = std::nextafter(0.5f, 1.f)}).size(), 0u);
}

TEST(YoloV8Decode, GoesBackFromALetterboxedImageToTheFrame)
{
    // 1280x720 in 320x320: scale 1/4, 70 rows of border above.
    const hl::DecodeFrame frame{1280, 720, {0.25, 0.25, 0.0, 70.0}, 0, 0};
    const auto found = decode({{160, 160, 40, 20, {0.9f, 0.f}}}, {}, frame);
    ASSERT_EQ(found.size(), 1u);
    EXPECT_THAT(found[0], BoxIs(560, 320, 720, 400));
}

TEST(YoloV8Decode, ClipsToTheFrameAndDropsWhatLiesOutside)
{
    const auto found = decode({{0, 0, 20, 20, {0.9f, 0.f}},
                               {320, 320, 30, 40, {0.8f, 0.f}},
                               {400, 100, 20, 20, {0.7f, 0.f}},
                               {-50, 100, 20, 20, {0.7f, 0.f}}});
    ASSERT_EQ(found.size(), 2u);
    EXPECT_THAT(found[0], BoxIs(0, 0, 10, 10));
    EXPECT_THAT(found[1], BoxIs(305, 300, 320, 320));
}

TEST(YoloV8Decode, SuppressesOverlapsPerClassUnlessToldOtherwise)
{
    const std::vector<Box> boxes{
        {100, 100, 40, 40, {0.9f, 0.f}}, {102, 100, 40, 40, {0.8f, 0.f}}, {101, 100, 40, 40, {0.f, 0.7f}}};
    const auto aware = decode(boxes);
    ASSERT_EQ(aware.size(), 2u);
    EXPECT_EQ(aware[0].class_index, 0u);
    EXPECT_EQ(aware[1].class_index, 1u);
    EXPECT_EQ(decode(boxes, {.class_aware = false}).size(), 1u);
}

TEST(YoloV8Decode, IouThresholdIsExclusive)
{
    // Two 40x40 boxes 20 apart: IoU 800 / 2400 = 1/3.
    const std::vector<Box> boxes{{100, 100, 40, 40, {0.9f, 0.f}}, {120, 100, 40, 40, {0.8f, 0.f}}};
    EXPECT_EQ(decode(boxes, {.iou_threshold = 1.f / 3.f}).size(), 2u);
    EXPECT_EQ(decode(boxes, {.iou_threshold = 0.33f}).size(), 1u);
}

TEST(YoloV8Decode, ASuppressedBoxSuppressesNobody)
{
    // b is covered by a; c is covered by b only, so c stays.
    const auto found =
        decode({{100, 100, 40, 40, {0.9f, 0.f}}, {113, 100, 40, 40, {0.8f, 0.f}}, {126, 100, 40, 40, {0.7f, 0.f}}});
    ASSERT_EQ(found.size(), 2u);
    EXPECT_THAT(found[1], BoxIs(106, 80, 146, 120));
}

TEST(YoloV8Decode, MaxDetectionsKeepsTheBest)
{
    std::vector<Box> boxes;
    for (int i = 0; i < 10; ++i)
        boxes.push_back({16.f + 30.f * static_cast<float>(i), 50, 20, 20, {0.5f + 0.01f * static_cast<float>(i), 0.f}});
    const auto found = decode(boxes, {.max_detections = 3});
    ASSERT_EQ(found.size(), 3u);
    EXPECT_FLOAT_EQ(found[0].score, 0.59f);
    EXPECT_FLOAT_EQ(found[2].score, 0.57f);
    EXPECT_TRUE(decode(boxes, {.max_detections = 0}).empty());
}

TEST(YoloV8Decode, IgnoresHostileValues)
{
    for (const float v : not_finite) {
        for (const Box &bad :
             {Box{v, 50, 20, 20, {0.9f, 0.f}}, Box{50, v, 20, 20, {0.9f, 0.f}}, Box{50, 50, v, 20, {0.9f, 0.f}},
              Box{50, 50, 20, v, {0.9f, 0.f}}, Box{50, 50, 20, 20, {v, 0.f}}, Box{50, 50, 20, 20, {v, 0.9f}}}) {
            EXPECT_TRUE(decode({bad}).empty());
            EXPECT_EQ(dropped({bad}), 1u);
        }
        // Of a box that is not asked for, the scores alone are looked at.
        EXPECT_EQ(dropped({{v, 50, 20, 20, {0.1f, 0.f}}}), 0u);
        EXPECT_EQ(dropped({{50, 50, 20, 20, {0.1f, v}}}), 1u);
        EXPECT_EQ(decode({{v, 50, 20, 20, {0.9f, 0.f}}, {50, 50, 20, 20, {0.8f, 0.f}}}).size(), 1u);
    }
    EXPECT_EQ(dropped({{50, 50, 20, 20, {0.9f, 0.f}}}), 0u);
    EXPECT_TRUE(decode({{50, 50, 0, 20, {0.9f, 0.f}}, {50, 50, 20, -20, {0.9f, 0.f}}}).empty());
    constexpr float huge = std::numeric_limits<float>::max();
    EXPECT_THAT(decode({{50, 50, huge, huge, {huge, 0.f}}}), testing::ElementsAre(BoxIs(0, 0, 320, 320)));
    EXPECT_FLOAT_EQ(decode({{50, 50, 20, 20, {huge, 0.f}}})[0].score, 1.f);
    EXPECT_TRUE(decode({{huge, 50, 20, 20, {0.9f, 0.f}}}).empty());
}

TEST(YoloV8Decode, AnImpossibleTransformGivesNoBoxes)
{
    EXPECT_TRUE(decode({{50, 50, 20, 20, {0.9f, 0.f}}}, {}, {320, 320, {0.0, 0.0, 0.0, 0.0}, 0, 0}).empty());
    EXPECT_TRUE(decode({{50, 50, 20, 20, {0.9f, 0.f}}}, {}, {320, 320, {std::nan(""), 1.0, 0.0, 0.0}, 0, 0}).empty());
}

TEST(YoloV8Decode, ATensorOfAnotherSizeGivesNoBoxes)
{
    auto d = decoder(2, 64);
    const auto content = tensor({{50, 50, 20, 20, {0.9f, 0.f}}}, 2, 65);
    EXPECT_TRUE(hl::test::decode(d, square, {}, content).objects.empty());
}

// Every box position, whole blocks of the scan and what is left behind them alike, in both orders.
TEST(YoloV8Decode, FindsABoxAtEveryPositionInEveryOrder)
{
    constexpr size_t classes = 5, boxes = 1100;
    auto standard = configure({1, 9, boxes}, hl::DType::Float32, classes);
    auto transposed = configure({1, boxes, 9}, hl::DType::Float32, classes);
    ASSERT_TRUE(standard && transposed);
    for (size_t at = 0; at < boxes; ++at) {
        const auto name = static_cast<uint32_t>(at % classes);
        Box one{100, 100, 20, 20, std::vector<float>(classes, 0.1f)};
        one.scores[name] = 0.75f;
        for (const bool turned : {false, true}) {
            auto &d = turned ? *transposed : *standard;
            auto content = tensor({one}, classes, boxes, turned, at);
            const auto found = hl::test::decode(d, square, {}, content).objects;
            ASSERT_EQ(found.size(), 1u) << at;
            ASSERT_EQ(found[0].class_index, name) << at;
            ASSERT_THAT(found[0], BoxIs(90, 90, 110, 110)) << at;
            // The last class's score.
            content[turned ? at * 9 + 8 : 8 * boxes + at] = not_a_number;
            const auto bad = hl::test::decode(d, square, {}, content);
            ASSERT_TRUE(bad.objects.empty()) << at;
            ASSERT_EQ(bad.nonfinite, 1u) << at;
        }
    }
}

TEST(YoloV8Decode, ReportsTheClassesThatAreWanted)
{
    const std::vector<Box> boxes{{100, 100, 40, 40, {0.9f, 0.8f}}, {101, 100, 40, 40, {0.f, 0.7f}}};
    const std::vector<uint8_t> second{0, 1}, none{0};
    // The first box is of class 0, whatever it scores for the other; and where it is not wanted it covers nobody.
    const auto found = decode(boxes, {.class_aware = false, .wanted = second});
    ASSERT_EQ(found.size(), 1u);
    EXPECT_FLOAT_EQ(found[0].score, 0.7f);
    EXPECT_TRUE(decode(boxes, {.wanted = none}).empty()); // what lies beyond the list is not wanted either
}

TEST(YoloV8Decode, ExtraValuesFollowTheScores)
{
    auto d = configure({1, 4 + 2 + 3, 64}, hl::DType::Float32, 0, 3);
    ASSERT_TRUE(d);
    EXPECT_EQ(d->classes(), 2u);
    auto content = tensor({{}, {50, 60, 20, 10, {0.6f, 0.2f, 7.f, 8.f, 9.f}}}, 5, 64);
    const auto found = hl::test::decode(*d, square, {}, content);
    ASSERT_EQ(found.objects.size(), 1u);
    ASSERT_THAT(d->indices(), testing::ElementsAre(1u));
    EXPECT_FLOAT_EQ(d->extra(content, 0, 1), 7.f);
    EXPECT_FLOAT_EQ(d->extra(content, 2, 1), 9.f);
    content[8 * 64 + 1] = inf;
    const auto bad = hl::test::decode(*d, square, {}, content);
    EXPECT_TRUE(bad.objects.empty());
    EXPECT_EQ(bad.nonfinite, 1u);
}

// The worst a model can send: every box wins and none covers another.
TEST(YoloV8Decode, SurvivesAFullTensorWithoutAllocating)
{
    constexpr size_t classes = 80, boxes = 8400;
    auto d = decoder(classes, boxes);
    std::vector<float> content((4 + classes) * boxes);
    std::minstd_rand random(7);
    for (size_t i = 0; i < content.size(); ++i)
        content[i] =
            i < 4 * boxes ? static_cast<float>(random() % 640) : 0.5f + static_cast<float>(random() % 50) / 100;
    const hl::test::MallocCount count;
    const auto found =
        hl::test::decode(d, {640, 640, {}, 0, 0}, {.iou_threshold = 1.f, .max_detections = 300}, content);
    EXPECT_EQ(count.calls(), 0u);
    EXPECT_EQ(found.objects.size(), 300u);
    EXPECT_GT(found.cut, 0u);
    EXPECT_TRUE(std::ranges::is_sorted(found.objects, std::greater<>(), &hl::Detection::score));
}
