// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferoutput.h"
#include "memorytesting.h"

#include <gtest/gtest.h>

namespace {

hl::EngineInfo one_output()
{
    hl::EngineInfo info;
    info.outputs.push_back({.info = {.name = "out", .type = hl::DType::UInt8}, .offset = 0, .bytes = 4096});
    info.output_bytes = 4096;
    return info;
}

} // namespace

// The memory written last is in the cache: it is the next to be written.
TEST(InferOutput, TheMemoryGivenBackLastIsTakenNext)
{
    auto output = GstHlInferOutput::create(hltest::open_sim(), one_output());
    ASSERT_TRUE(output) << output.error().details();
    auto a = (*output)->take().value(), b = (*output)->take().value(), c = (*output)->take().value();
    const auto first = a.memory.handle, last = b.memory.handle;
    ASSERT_NE(first, last);
    a = {};
    b = {};
    auto again = (*output)->take().value();
    EXPECT_EQ(again.memory.handle, last);
    EXPECT_EQ((*output)->take().value().memory.handle, first);
}

TEST(InferOutput, NothingIsLeftWhicheverEndsFirst)
{
    auto device = hltest::open_sim();
    const uint64_t before = device->usage().host_bytes;
    GstHlInferOutput::Taken held;
    {
        auto output = GstHlInferOutput::create(device, one_output());
        ASSERT_TRUE(output) << output.error().details();
        held = (*output)->take().value();
        const auto idle = (*output)->take().value();
        EXPECT_GT(device->usage().host_bytes, before);
    }
    held = {};
    EXPECT_EQ(device->usage().host_bytes, before);
}
