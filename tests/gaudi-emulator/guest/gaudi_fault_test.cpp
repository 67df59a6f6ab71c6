// SPDX-License-Identifier: LGPL-2.1-or-later

// Faults on order (tests/gaudi-emulator/chip/chipfaults.h), as the driver meets them. The machine's orders are
// event=1244@2, dma-stall@4 and link-gone@6 (meson.build); each test is two jobs, a good one and the one that is
// struck, so the order of the tests matters.

#include "guest/gaudijobs.h"

#include <drm/habanalabs_accel.h>
#include <gtest/gtest.h>

#include <chrono>
#include <optional>

namespace gaudiemu::guest {
namespace {

using chip::Packets;
using namespace std::chrono_literals;

Packets copy(const GaudiJobs &jobs)
{
    return jobs.packets().lin_dma(jobs.host_address(), jobs.hbm_address(), 4096);
}

class Fault : public ::testing::Test {
protected:
    void SetUp() override
    {
        const auto good = GaudiJobs::in_child(copy, 10);
        ASSERT_EQ(good.error, 0);
        ASSERT_EQ(good.outcome, HL_WAIT_CS_STATUS_COMPLETED);
        reset.emplace();
    }

    std::optional<NextReset> reset;
};

TEST_F(Fault, AnErrorEventResetsTheChip)
{
    (void)GaudiJobs::in_child(copy, 3); // done or aborted: the event and the completion race in the driver
    EXPECT_TRUE(reset->wait(40s)) << device_attribute("status");
    EXPECT_TRUE(kernel_log_has("PDMA0_QM: No error cause for H/W event 1244"));
}

TEST_F(Fault, AJobThatNeverCompletesEndsWithItsProcess)
{
    const auto stalled = GaudiJobs::in_child(copy, 2);
    EXPECT_EQ(stalled.error, 0);
    EXPECT_EQ(stalled.outcome, HL_WAIT_CS_STATUS_BUSY);
    EXPECT_TRUE(reset->wait(40s)) << device_attribute("status");
    EXPECT_TRUE(kernel_log_has("User process closed FD but device still in use [1 active CS]"));
}

TEST_F(Fault, ALostLinkAbortsTheJob)
{
    // The next heartbeat finds out: 10 s until it is sent, 4 s until it fails (HL_HEARTBEAT_PER_USEC,
    // GAUDI2_MSG_TO_CPU_TIMEOUT_USEC).
    const auto lost = GaudiJobs::in_child(copy, 40);
    EXPECT_NE(lost.outcome, HL_WAIT_CS_STATUS_COMPLETED);
    EXPECT_NE(lost.outcome, HL_WAIT_CS_STATUS_BUSY) << "nobody noticed";
    EXPECT_NE(device_attribute("status"), "Operational");
    EXPECT_TRUE(kernel_log_has("Device heartbeat failed! PCI link is broken"));
}

} // namespace
} // namespace gaudiemu::guest
