// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/suppression.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

namespace {

using testing::ElementsAre;
using testing::IsEmpty;

hl::Detection box(float x, float score, uint32_t class_index = 0)
{
    return {x, 0, x + 10, 10, score, class_index};
}

hl::Suppression of(const std::vector<hl::Detection> &boxes)
{
    hl::Suppression out(static_cast<uint32_t>(boxes.size()));
    for (uint32_t i = 0; i < boxes.size(); ++i)
        out.add(boxes[i], i);
    return out;
}

std::vector<uint32_t> indices(const hl::Suppression &s)
{
    return {s.indices().begin(), s.indices().end()};
}

} // namespace

TEST(Suppression, KeepsTheBestOfBoxesThatOverlap)
{
    auto s = of({box(0, 0.5f), box(1, 0.9f), box(50, 0.6f)});
    const auto kept = s.suppress({});
    ASSERT_EQ(kept.size(), 2u);
    EXPECT_FLOAT_EQ(kept[0].score, 0.9f);
    EXPECT_THAT(indices(s), ElementsAre(1u, 2u));
    EXPECT_EQ(s.cut(), 0u);
}

TEST(Suppression, EqualScoresKeepTheOrderOfTheTensor)
{
    auto s = of({box(40, 0.5f), box(20, 0.5f), box(21, 0.5f), box(0, 0.5f)});
    std::ignore = s.suppress({});
    EXPECT_THAT(indices(s), ElementsAre(0u, 1u, 3u));
    std::ignore = s.suppress({.max_candidates = 2});
    EXPECT_THAT(indices(s), ElementsAre(0u, 1u));
}

TEST(Suppression, ComparesNoMoreThanTheBestCandidates)
{
    // Without the limit the second is covered by the first, and the third is reported.
    auto s = of({box(0, 0.9f), box(1, 0.8f), box(50, 0.7f)});
    std::ignore = s.suppress({.max_candidates = 2});
    EXPECT_THAT(indices(s), ElementsAre(0u));
    EXPECT_EQ(s.cut(), 1u);
}

TEST(Suppression, BestTakesOverlappingBoxesToo)
{
    auto s = of({box(0, 0.5f), box(1, 0.9f), box(50, 0.6f)});
    EXPECT_EQ(s.best({.max_detections = 2}).size(), 2u);
    EXPECT_THAT(indices(s), ElementsAre(1u, 2u));
    EXPECT_EQ(s.cut(), 0u);
}

TEST(Suppression, NothingComesOfNothing)
{
    hl::Suppression s(3);
    EXPECT_THAT(s.suppress({}), IsEmpty());
    s.add(box(0, 1), 0);
    s.clear();
    EXPECT_THAT(s.best({}), IsEmpty());
    EXPECT_THAT(of({box(0, 1)}).suppress({.max_detections = 0}), IsEmpty());
}

// The selection among many is that of a full sort.
TEST(Suppression, AgreesWithAFullSort)
{
    std::minstd_rand random(3);
    std::vector<hl::Detection> boxes;
    for (int i = 0; i < 5000; ++i)
        boxes.push_back(box(static_cast<float>(random() % 5000), static_cast<float>(random() % 100) / 100));
    auto s = of(boxes);
    std::vector<uint32_t> order(boxes.size());
    for (uint32_t i = 0; i < order.size(); ++i)
        order[i] = i;
    std::ranges::stable_sort(order, std::greater<>(), [&](uint32_t i) { return boxes[i].score; });
    std::ignore = s.suppress({.iou_threshold = 1.f, .max_detections = 700, .max_candidates = 700});
    order.resize(700);
    EXPECT_EQ(indices(s), order);
    EXPECT_EQ(s.cut(), 4300u);
}
