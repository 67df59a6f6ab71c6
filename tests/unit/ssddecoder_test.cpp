// SPDX-License-Identifier: LGPL-2.1-or-later
#include "decodertesting.h"
#include "inference/ssddecoder.h"
#include "malloc_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

namespace {

using hl::test::BoxIs;
using hl::test::Found;
using hl::test::not_finite;
using hl::test::square;
using testing::AllOf;
using testing::HasSubstr;

constexpr auto f32 = hl::DType::Float32;

// What a network puts out: two objects, and room for a third that does not count.
struct Tensors {
    std::vector<float> boxes{0.1f, 0.2f, 0.3f, 0.4f, 0.5f, 0.5f, 0.75f, 1.f, 0.f, 0.f, 1.f, 1.f};
    std::vector<float> scores{0.6f, 0.9f, 0.95f};
    std::vector<float> classes{1.f, 3.f, 2.f};
    std::vector<float> count{2.f};
};

hl::SsdDecoder decoder()
{
    auto made = hl::SsdDecoder::configure({{1, 3, 4}, f32}, {{1, 3}, f32}, {{1, 3}, f32}, {{1}, f32});
    EXPECT_TRUE(made);
    return std::move(*made);
}

Found decode(const Tensors &t, const hl::DecodeOptions &options = {}, const hl::DecodeFrame &frame = square)
{
    auto d = decoder();
    return hl::test::found_by(d, frame, options, t.boxes, t.scores, t.classes, t.count);
}

} // namespace

TEST(SsdConfigure, RefusesWhatDoesNotFitAndSaysWhatWasExpected)
{
    const hl::TensorKey boxes{{1, 100, 4}, f32}, flat{{1, 100}, f32}, one{{1}, f32};
    EXPECT_TRUE(hl::SsdDecoder::configure(boxes, flat, flat, one));
    EXPECT_TRUE(hl::SsdDecoder::configure(boxes, flat, flat, {{}, f32}));
    const auto cause = [](const auto &made) { return made ? std::string("taken") : made.error().cause; };
    for (const hl::TensorKey &bad : std::vector<hl::TensorKey>{{{1, 4, 100}, f32},
                                                               {{100, 4}, f32},
                                                               {{2, 100, 4}, f32},
                                                               {{1, 0, 4}, f32},
                                                               {{1, 100, 4}, hl::DType::UInt32}})
        EXPECT_THAT(cause(hl::SsdDecoder::configure(bad, flat, flat, one)),
                    AllOf(HasSubstr("1xNx4 float32"), HasSubstr(bad.shape.text())));
    EXPECT_THAT(cause(hl::SsdDecoder::configure(boxes, {{1, 99}, f32}, flat, one)),
                AllOf(HasSubstr("1x100 float32"), HasSubstr("1x99")));
    EXPECT_THAT(cause(hl::SsdDecoder::configure(boxes, flat, {{1, 100}, hl::DType::UInt8}, one)),
                AllOf(HasSubstr("1x100 float32, int32"), HasSubstr("uint8")));
    EXPECT_THAT(cause(hl::SsdDecoder::configure(boxes, flat, flat, {{2}, f32})), HasSubstr("1 number"));
}

TEST(SsdDecode, BoxesArePartsOfTheModelsImage)
{
    const auto found = decode({}).objects;
    ASSERT_EQ(found.size(), 2u);
    EXPECT_THAT(found[0], BoxIs(160, 160, 320, 240));
    EXPECT_FLOAT_EQ(found[0].score, 0.9f);
    EXPECT_EQ(found[0].class_index, 3u);
    EXPECT_THAT(found[1], BoxIs(64, 32, 128, 96));
    EXPECT_EQ(found[1].class_index, 1u);
}

TEST(SsdDecode, GoesBackFromALetterboxedImageToTheFrame)
{
    // 640x480 in 320x320: 40 rows of border above.
    const auto found = decode({}, {}, {640, 480, {0.5, 0.5, 0.0, 40.0}, 320, 320}).objects;
    ASSERT_EQ(found.size(), 2u);
    EXPECT_THAT(found[0], BoxIs(320, 240, 640, 400));
    // Without a word about the model's image, the parts are the frame's.
    EXPECT_THAT(decode({}, {}, {640, 480, {}, 0, 0}).objects.at(0), BoxIs(320, 240, 640, 360));
}

TEST(SsdDecode, TheCountDecidesHowManyAreRead)
{
    Tensors t;
    const auto with = [&](float count) {
        t.count = {count};
        return decode(t).objects.size();
    };
    EXPECT_EQ(with(0), 0u);
    EXPECT_EQ(with(1), 1u);
    EXPECT_EQ(with(3), 3u);
    EXPECT_EQ(with(1000), 3u);
    EXPECT_EQ(with(-1), 0u);
}

TEST(SsdDecode, TakesWholeNumbersAsClassesAndCount)
{
    auto d = hl::SsdDecoder::configure({{1, 1, 4}, f32}, {{1, 1}, f32}, {{1, 1}, hl::DType::Int64},
                                       {{1}, hl::DType::UInt32});
    ASSERT_TRUE(d);
    const std::vector<float> box{0, 0, 1, 1}, score{0.75f};
    const auto run = [&](int64_t label) {
        const std::vector<int64_t> labels{label};
        return hl::test::decode(*d, square, {}, box, score, labels, std::vector<uint32_t>{1}).objects;
    };
    ASSERT_EQ(run(17).size(), 1u);
    EXPECT_EQ(run(17)[0].class_index, 17u);
    EXPECT_TRUE(run(-1).empty());
    EXPECT_TRUE(run(65536).empty());
    EXPECT_TRUE(run(int64_t{1} << 62).empty());
}

TEST(SsdDecode, NothingIsSuppressedAgain)
{
    Tensors t;
    std::ranges::copy_n(t.boxes.begin(), 4, t.boxes.begin() + 4);
    t.classes = {1, 1, 1};
    EXPECT_EQ(decode(t).objects.size(), 2u);
    EXPECT_EQ(decode(t, {.max_detections = 1}).objects.size(), 1u);
}

TEST(SsdDecode, ReportsTheClassesThatAreWanted)
{
    const std::vector<uint8_t> first{0, 1};
    const auto found = decode({}, {.wanted = first}).objects;
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].class_index, 1u);
}

TEST(SsdDecode, DropsAndCountsWhatIsNotFinite)
{
    for (const float v : not_finite) {
        std::vector<Tensors> bad(6);
        for (size_t i = 0; i < 4; ++i)
            bad[i].boxes[i] = v;
        bad[4].scores[0] = v;
        bad[5].classes[0] = v;
        for (const auto &t : bad) {
            const auto found = decode(t);
            EXPECT_EQ(found.objects.size(), 1u);
            EXPECT_EQ(found.nonfinite, 1u);
        }
        Tensors t;
        t.count = {v};
        EXPECT_TRUE(decode(t).objects.empty());
        EXPECT_EQ(decode(t).nonfinite, 1u);
        t = {};
        t.boxes[0] = v;
        t.scores[0] = 0.1f; // not asked for, not looked at
        EXPECT_EQ(decode(t).nonfinite, 0u);
    }
}

TEST(SsdDecode, DoesNotAllocate)
{
    auto d = decoder();
    const Tensors t;
    const hl::test::MallocCount count;
    const auto found = hl::test::decode(d, square, {}, t.boxes, t.scores, t.classes, t.count);
    EXPECT_EQ(count.calls(), 0u);
    EXPECT_EQ(found.objects.size(), 2u);
}
