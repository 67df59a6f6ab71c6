// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/chipfaults.h"

#include <gtest/gtest.h>

namespace gaudiemu::chip {
namespace {

TEST(ChipFaults, OrdersStrikeTheirJob)
{
    ChipFaults faults;
    ASSERT_TRUE(faults.add("dma-stall@2"));
    ASSERT_TRUE(faults.add("dma-slow=250"));
    ASSERT_TRUE(faults.add("event=768@1"));
    ASSERT_TRUE(faults.add("link-gone@3"));
    const auto first = faults.next_dma();
    EXPECT_FALSE(first.stall);
    EXPECT_EQ(first.delay.count(), 250);
    EXPECT_EQ(first.events, std::vector<uint16_t>{768});
    const auto second = faults.next_dma();
    EXPECT_TRUE(second.stall);
    EXPECT_FALSE(second.link_gone);
    EXPECT_TRUE(second.events.empty());
    EXPECT_TRUE(faults.next_dma().link_gone);
    EXPECT_TRUE(faults.next_dma().link_gone);
}

TEST(ChipFaults, FirmwareStages)
{
    ChipFaults faults;
    EXPECT_EQ(faults.firmware(), FirmwareFault::None);
    ASSERT_TRUE(faults.add("firmware-fail=boot-fit"));
    EXPECT_EQ(faults.firmware(), FirmwareFault::BootFit);
}

TEST(ChipFaults, TheCpuStallsUntilRevived)
{
    ChipFaults faults;
    ASSERT_TRUE(faults.add("cpu-stall@2"));
    EXPECT_TRUE(faults.next_cpu_packet());
    EXPECT_FALSE(faults.next_cpu_packet());
    EXPECT_FALSE(faults.next_cpu_packet());
    faults.revive_cpu();
    EXPECT_TRUE(faults.next_cpu_packet());
}

TEST(ChipFaults, WhatIsNoOrderIsRefusedWithTheGrammar)
{
    for (const auto *order : {"", "dma-stall", "dma-stall@", "dma-stall@0", "dma-stall@x", "dma-stall@1 ",
                              "dma-slow=", "dma-slow=-1", "dma-slow=60000001", "event=1", "event=@1", "event=4096@1",
                              "event=1@0", "link-gone", "firmware-fail=", "firmware-fail=uboot", "reset@1"}) {
        ChipFaults faults;
        const auto added = faults.add(order);
        ASSERT_FALSE(added) << order;
        EXPECT_NE(added.error().find("dma-stall@N"), std::string::npos) << added.error();
    }
}

} // namespace
} // namespace gaudiemu::chip
