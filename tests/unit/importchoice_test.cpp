// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/importchoice.h"

#include "fakekernel.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

using hl::ErrorCode;
using hl::HostPages;
using hl::ImportMemory;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

namespace {

class Choice : public testing::Test {
protected:
    Choice() { kernel.state.format = hl::test::plain_format(V4L2_PIX_FMT_YUYV, 640, 480, 614400); }

    // With these answers to the frames offered, in order.
    hl::ImportChoice choose(std::deque<int> answers, hl::Placement placement = hl::Placement::Host,
                            uint64_t bytes = 614400)
    {
        kernel.state.errors[VIDIOC_QBUF] = std::move(answers);
        const auto maker = [this](ImportMemory memory, uint64_t size) -> hl::Result<hl::ImportFrame> {
            if (memory == ImportMemory::HugePages && !huge_pages)
                return hl::fail(ErrorCode::MemoryHost, "make frame", "0 of 0 huge pages are free", "reserve some");
            auto frame = hl::test::fake_frame(memory, size);
            frame->dmabuf = memory != ImportMemory::Device || !simulated;
            return frame;
        };
        return choose_import(hl::ImportJudge(kernel, maker, cache, "a device"), hl::test::fake_camera(), placement,
                             bytes);
    }
    long offers() { return std::ranges::count(kernel.state.calls, "QBUF 0/614400"); }

    hl::test::FakeKernel kernel;
    hl::ImportCache cache;
    bool huge_pages = true;
    bool simulated = false;
};

} // namespace

TEST_F(Choice, WhatIsTakenIsAskedOnce)
{
    for (int i = 0; i < 3; ++i) {
        const auto choice = choose({});
        EXPECT_EQ(choice.pages, HostPages::Base);
        EXPECT_FALSE(choice.refusal);
    }
    EXPECT_EQ(offers(), 1);
}

// The calls that a driver's error injection makes fail, or a camera that is being plugged in.
TEST_F(Choice, OneRefusalIsOfTheMoment)
{
    for (const int once : {-EFAULT, -EINVAL, -EIO}) {
        const hl::ImportChoice choice = choose({once});
        EXPECT_EQ(choice.pages, HostPages::Base);
        EXPECT_FALSE(choice.refusal);
        EXPECT_FALSE(choose({}).refusal); // nor is it remembered
    }
}

// The node is opened, and its format read, once.
TEST_F(Choice, BothRefusalsAreOfOneLook)
{
    EXPECT_TRUE(choose({0, -EPERM, -EPERM}, hl::Placement::Device).refusal);
    EXPECT_EQ(std::ranges::count(kernel.state.calls, "G_FMT"), 1);
    EXPECT_EQ(offers(), 3);
}

TEST_F(Choice, ADriverThatNeedsOneStretchGetsHugePages)
{
    const auto choice = choose({-EFAULT, -EFAULT}, hl::Placement::Host, hl::huge_page_bytes);
    EXPECT_EQ(choice.pages, HostPages::Huge);
    EXPECT_FALSE(choice.refusal);
}

TEST_F(Choice, AFrameBeyondAHugePageIsRefusedWithTheLineThatWorks)
{
    const auto choice = choose({-EFAULT, -EFAULT}, hl::Placement::Host, hl::huge_page_bytes + 1);
    EXPECT_EQ(choice.pages, HostPages::Base);
    ASSERT_TRUE(choice.refusal);
    EXPECT_EQ(choice.refusal->code, ErrorCode::ImportNotContiguous);
    EXPECT_THAT(choice.refusal->cause, HasSubstr("contiguous"));
    EXPECT_THAT(choice.refusal->remedy,
                AllOf(HasSubstr("smaller size"), HasSubstr("io-mode=mmap"), Not(HasSubstr("huge"))));
}

TEST_F(Choice, WithoutHugePagesTheRemedyIsToReserveThem)
{
    huge_pages = false;
    const auto choice = choose({-EFAULT, -EFAULT});
    ASSERT_TRUE(choice.refusal);
    EXPECT_EQ(choice.refusal->code, ErrorCode::ImportNotContiguous);
    EXPECT_THAT(choice.refusal->cause, HasSubstr("0 of 0 huge pages are free"));
    EXPECT_THAT(choice.refusal->remedy, AllOf(HasSubstr("reserve some"), HasSubstr("io-mode=mmap")));
    // Once there are some, they are used.
    huge_pages = true;
    EXPECT_EQ(choose({-EFAULT}).pages, HostPages::Huge);
}

TEST_F(Choice, WhatIsUnknownChangesNothing)
{
    kernel.state.errors[VIDIOC_REQBUFS] = {-EBUSY};
    const auto busy = choose({});
    EXPECT_EQ(busy.pages, HostPages::Base);
    EXPECT_FALSE(busy.refusal);
    EXPECT_EQ(offers(), 0);
    kernel.state.open_error = EACCES;
    EXPECT_FALSE(choose({}).refusal);
}

TEST_F(Choice, DeviceMemoryThatIsRefusedHasHostMemoryForARemedy)
{
    const auto p2p = choose({0, -EPERM, -EPERM}, hl::Placement::Device);
    ASSERT_TRUE(p2p.refusal);
    EXPECT_EQ(p2p.refusal->code, ErrorCode::ImportNoPeerToPeer);
    EXPECT_THAT(p2p.refusal->remedy, HasSubstr("memory=host"));
}

TEST_F(Choice, TheSimulatorsDeviceMemoryIsNoDmabuf)
{
    simulated = true;
    const auto choice = choose({0, -EINVAL, -EINVAL}, hl::Placement::Device);
    ASSERT_TRUE(choice.refusal);
    EXPECT_EQ(choice.refusal->code, ErrorCode::ImportSimulated);
    EXPECT_THAT(choice.refusal->remedy, HasSubstr("memory=host"));
}
