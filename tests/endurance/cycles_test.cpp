// SPDX-License-Identifier: LGPL-2.1-or-later
#include "endurance_fixture.h"

using namespace hltest;

namespace {

using Cycles = EnduranceTest;

void cycle(Line &line)
{
    line.set(GST_STATE_PLAYING);
    ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
    line.set(GST_STATE_READY);
    ASSERT_EQ(line.settle(), GST_STATE_CHANGE_SUCCESS);
}

} // namespace

TEST_P(Cycles, ReadyToPlayingAThousandTimes)
{
    constexpr int rounds = 1000;
    FrameCount frames;
    Line line(launch("videotestsrc name=source ! video/x-raw,format=NV12,width=64,height=32"));
    watch(line, frames);
    for (int i = 0; i < 10; ++i)
        ASSERT_NO_FATAL_FAILURE(cycle(line));
    ASSERT_NO_FATAL_FAILURE(before(frames));
    for (int i = 0; i < rounds; ++i)
        ASSERT_NO_FATAL_FAILURE(cycle(line)) << i;
    EXPECT_GE(frames.left(), static_cast<uint64_t>(rounds));
    after(frames, std::format("{} cycles READY to PLAYING", rounds));
    EXPECT_TRUE(line.errors().empty());
}

INSTANTIATE_TEST_SUITE_P(All, Cycles, testing::ValuesIn(ways), name_of);
