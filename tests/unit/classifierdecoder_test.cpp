// SPDX-License-Identifier: LGPL-2.1-or-later
#include "decodertesting.h"
#include "inference/classifierdecoder.h"
#include "malloc_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace {

using hl::test::not_finite;
using hl::test::square;
using testing::AllOf;
using testing::HasSubstr;

hl::ClassifierDecoder decoder(int64_t classes, bool softmax, hl::DType type = hl::DType::Float32)
{
    auto made = hl::ClassifierDecoder::configure({{1, classes}, type}, 0, softmax);
    EXPECT_TRUE(made);
    return std::move(*made);
}

struct Result {
    std::vector<uint32_t> classes;
    std::vector<float> scores;
    uint64_t nonfinite;
};

Result decode(const std::vector<float> &values, bool softmax, const hl::DecodeOptions &options)
{
    auto d = decoder(static_cast<int64_t>(values.size()), softmax);
    const auto found = hl::test::decode(d, square, options, values);
    Result out{{}, {}, found.nonfinite};
    for (const auto &[class_index, score] : found.classes) {
        out.classes.push_back(class_index);
        out.scores.push_back(score);
    }
    return out;
}

constexpr hl::DecodeOptions all{.score_threshold = 0.f, .top_k = 100};

} // namespace

TEST(ClassifierConfigure, TakesOneRowOrNone)
{
    EXPECT_EQ(hl::ClassifierDecoder::configure({{1000}, hl::DType::Float32}, 0, true)->classes(), 1000u);
    EXPECT_EQ(hl::ClassifierDecoder::configure({{1, 10}, hl::DType::UInt8}, 10, false)->classes(), 10u);
}

TEST(ClassifierConfigure, RefusesWhatDoesNotFitAndSaysWhatWasExpected)
{
    for (const hl::TensorShape &shape : std::vector<hl::TensorShape>{{}, {2, 10}, {1, 1, 10}, {1, -1}, {1, 65537}}) {
        const auto d = hl::ClassifierDecoder::configure({shape, hl::DType::Float32}, 0, true);
        ASSERT_FALSE(d) << shape.text();
        EXPECT_THAT(d.error().cause, AllOf(HasSubstr("C or 1xC float32 or uint8"), HasSubstr(shape.text())));
    }
    EXPECT_FALSE(hl::ClassifierDecoder::configure({{1, 10}, hl::DType::Float16}, 0, true));
    EXPECT_EQ(hl::ClassifierDecoder::configure({{1, 10}, hl::DType::Float32}, 9, true).error().code,
              hl::ErrorCode::LabelsInvalid);
}

TEST(ClassifierDecode, ProbabilitiesAreTakenAsTheyAre)
{
    const auto found = decode({0.1f, 0.7f, 0.2f, 1.5f, -1.f}, false, all);
    EXPECT_THAT(found.classes, testing::ElementsAre(3u, 1u, 2u, 0u, 4u));
    EXPECT_THAT(found.scores, testing::ElementsAre(1.f, 0.7f, 0.2f, 0.1f, 0.f));
}

TEST(ClassifierDecode, LogitsBecomeProbabilities)
{
    const auto found = decode({1.f, 3.f, 2.f}, true, all);
    const double sum = std::exp(1.0) + std::exp(2.0) + std::exp(3.0);
    EXPECT_THAT(found.classes, testing::ElementsAre(1u, 2u, 0u));
    EXPECT_FLOAT_EQ(found.scores[0], static_cast<float>(std::exp(3.0) / sum));
    EXPECT_FLOAT_EQ(found.scores[2], static_cast<float>(std::exp(1.0) / sum));
    // No exponential overflows.
    const auto huge = decode({3e38f, -3e38f}, true, all);
    EXPECT_THAT(huge.scores, testing::ElementsAre(1.f, 0.f));
}

TEST(ClassifierDecode, EqualScoresKeepTheOrderOfTheTensor)
{
    EXPECT_THAT(decode({0.5f, 0.5f, 0.5f, 0.9f}, false, {.top_k = 3}).classes, testing::ElementsAre(3u, 0u, 1u));
}

TEST(ClassifierDecode, ThresholdTopKAndClassesDecideWhatIsReported)
{
    const std::vector<float> values{0.1f, 0.7f, 0.6f};
    EXPECT_THAT(decode(values, false, {}).classes, testing::ElementsAre(1u));
    EXPECT_THAT(decode(values, false, {.top_k = 5}).classes, testing::ElementsAre(1u, 2u));
    const std::vector<uint8_t> others{1, 0, 1};
    EXPECT_THAT(decode(values, false, {.top_k = 5, .wanted = others}).classes, testing::ElementsAre(2u));
    EXPECT_THAT(decode(values, false, {.score_threshold = 0.8f}).classes, testing::IsEmpty());
}

TEST(ClassifierDecode, BytesAreParts)
{
    auto d = decoder(2, false, hl::DType::UInt8);
    const auto found = hl::test::decode(d, square, {}, std::vector<uint8_t>{51, 204});
    ASSERT_EQ(found.classes.size(), 1u);
    EXPECT_EQ(found.classes[0].class_index, 1u);
    EXPECT_FLOAT_EQ(found.classes[0].score, 0.8f);
}

TEST(ClassifierDecode, DropsAndCountsWhatIsNotFinite)
{
    for (const float v : not_finite) {
        const auto found = decode({v, 1.f, 1.f, v}, true, all);
        EXPECT_THAT(found.classes, testing::ElementsAre(1u, 2u));
        EXPECT_THAT(found.scores, testing::ElementsAre(0.5f, 0.5f));
        EXPECT_EQ(found.nonfinite, 2u);
        EXPECT_THAT(decode({v, 0.75f}, false, all).classes, testing::ElementsAre(1u));
        EXPECT_THAT(decode({v, v}, true, all).classes, testing::IsEmpty());
    }
}

TEST(ClassifierDecode, DoesNotAllocate)
{
    auto d = decoder(1000, true);
    const std::vector<float> values(1000, 1.f);
    const hl::test::MallocCount count;
    const auto found = hl::test::decode(d, square, {.score_threshold = 0.f, .top_k = 5}, values);
    EXPECT_EQ(count.calls(), 0u);
    EXPECT_EQ(found.classes.size(), 5u);
}
