// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/layoutchoice.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

using namespace hl;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

using Seconds = std::chrono::duration<double>;
constexpr Seconds one_run{1e-4};

const std::vector<ComputeLayout> candidates{{2, 1}, {1, 2}, {1, 1}};

// A machine whose speed in each round is given per candidate; the last round repeats.
class LayoutChoiceTest : public testing::Test {
protected:
    Result<LayoutChoice> choose(Seconds longest_run = one_run)
    {
        calls.clear();
        slices.clear();
        return choose_layout(
            candidates,
            [this](size_t candidate, Seconds slice) -> Result<LayoutSlice> {
                const size_t round = calls.size() / candidates.size();
                calls.push_back(candidate);
                slices.push_back(slice);
                const auto at = [&](const std::vector<double> &values) {
                    return values[std::min(round, values.size() - 1)];
                };
                return LayoutSlice{.per_second = at(speed[candidate]), .cpu_share = at(share)};
            },
            longest_run);
    }

    std::vector<std::vector<double>> speed{{100}, {100}, {100}};
    std::vector<double> share{1.0};
    std::vector<size_t> calls;
    std::vector<Seconds> slices;
};

} // namespace

TEST(CandidateLayouts, StayWithinTheLimits)
{
    EXPECT_THAT(candidate_layouts(4, 0), ElementsAre(ComputeLayout{4, 1}, ComputeLayout{1, 4}, ComputeLayout{1, 1}));
    EXPECT_THAT(candidate_layouts(1, 0), ElementsAre(ComputeLayout{1, 1}));
    EXPECT_THAT(candidate_layouts(4, 1), ElementsAre(ComputeLayout{1, 4}, ComputeLayout{1, 1}));
    EXPECT_THAT(candidate_layouts(4, 2), ElementsAre(ComputeLayout{1, 4}, ComputeLayout{2, 1}, ComputeLayout{1, 1}));
    EXPECT_GE(candidate_layouts(0, 0).front().callers, 1u);
}

TEST(RequestsInFlight, WaitOnlyWhereThatKeepsCallersBusy)
{
    EXPECT_EQ(requests_in_flight(2, Seconds{0.001}), 10u) << "short runs: four waiting for each worked on";
    EXPECT_EQ(requests_in_flight(8, Seconds{0.001}), 24u);
    EXPECT_EQ(requests_in_flight(2, Seconds{0.02}), 4u);
    EXPECT_EQ(requests_in_flight(8, Seconds{0.02}), 12u);
    EXPECT_EQ(requests_in_flight(2, Seconds{0.6}), 2u) << "slow runs: whatever waits grows older by a whole one";
    EXPECT_EQ(requests_in_flight(1, Seconds{0.6}), 1u);
}

TEST_F(LayoutChoiceTest, TakesTurnsThereAndBack)
{
    ASSERT_TRUE(choose());
    ASSERT_GE(calls.size(), 9u);
    EXPECT_THAT(std::vector<size_t>(calls.begin(), calls.begin() + 9), ElementsAre(0, 1, 2, 2, 1, 0, 0, 1, 2));
}

TEST_F(LayoutChoiceTest, AClearWinnerIsTaken)
{
    speed = {{100}, {104}, {50}};
    EXPECT_EQ(choose()->layout, (ComputeLayout{2, 1})) << "4 % is not clear";
    EXPECT_TRUE(choose()->decided);
    speed = {{100}, {110}, {50}};
    EXPECT_EQ(choose()->layout, (ComputeLayout{1, 2}));
    EXPECT_TRUE(choose()->decided);
    speed = {{100}, {110}, {200}};
    EXPECT_EQ(choose()->layout, (ComputeLayout{1, 1}));
}

TEST_F(LayoutChoiceTest, ABurstOfLoadHitsRoundsAndNotCandidates)
{
    speed = {{100, 10, 100, 10, 100}, {50}, {50, 5, 50, 5, 50}};
    share = {1.0, 0.5, 1.0, 0.5, 1.0};
    const auto choice = choose();
    EXPECT_TRUE(choice->decided) << choice->reason;
    EXPECT_EQ(choice->layout, (ComputeLayout{2, 1}));
    ASSERT_EQ(choice->measured.size(), 3u);
    EXPECT_EQ(choice->measured[0].per_second, 100) << "the median";
}

// One run on a free core among starved ones must not win, however fast it was.
TEST_F(LayoutChoiceTest, TheBestRoundAloneWinsNothing)
{
    speed = {{100}, {90, 300, 90}, {50}};
    const auto choice = choose();
    EXPECT_EQ(choice->layout, (ComputeLayout{2, 1}));
    EXPECT_TRUE(choice->decided) << choice->reason;
}

TEST_F(LayoutChoiceTest, NoiseAroundTheLineIsNoDecision)
{
    speed = {{100}, {90, 130, 90, 130, 90, 130, 90, 130, 90}, {50}};
    const auto choice = choose();
    EXPECT_FALSE(choice->decided);
    EXPECT_EQ(choice->layout, candidates.front());
    EXPECT_THAT(choice->reason, HasSubstr("1 x 2 threads is 0.90 to 1.30 times"));
}

// Under load one caller with two threads seemed to win, and stayed for ever.
TEST_F(LayoutChoiceTest, OnALoadedMachineNothingIsDecided)
{
    speed = {{100}, {200}, {50}};
    share = {0.6};
    const auto choice = choose();
    EXPECT_FALSE(choice->decided);
    EXPECT_EQ(choice->layout, candidates.front());
    EXPECT_THAT(choice->reason, HasSubstr("60 %"));
}

TEST_F(LayoutChoiceTest, TimeIsBounded)
{
    for (const Seconds run : {Seconds(0), Seconds(1e-4), Seconds(0.02), Seconds(0.1), Seconds(2.0)}) {
        ASSERT_TRUE(choose(run));
        Seconds asked{0};
        for (const Seconds slice : slices)
            asked += std::max(slice, run);
        EXPECT_GE(calls.size(), 3 * candidates.size()) << "fewer rounds show no noise";
        EXPECT_LE(asked.count(), std::max(0.401, 3.01 * static_cast<double>(candidates.size()) * run.count()));
    }
}

TEST_F(LayoutChoiceTest, AFailedRunIsTold)
{
    const auto choice = choose_layout(
        candidates,
        [](size_t, Seconds) -> Result<LayoutSlice> { return fail(ErrorCode::RunFailed, "run inference", "broken"); },
        one_run);
    ASSERT_FALSE(choice);
    EXPECT_EQ(choice.error().code, ErrorCode::RunFailed);
}
