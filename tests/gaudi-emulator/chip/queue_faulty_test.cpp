// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/queuefixture.h"

#include <chrono>
#include <string_view>

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

class Faulty : public QueueTest {
protected:
    void SetUp() override {}

    void start_with(std::string_view order)
    {
        Gaudi2::Settings settings;
        ASSERT_TRUE(settings.faults.add(order));
        start(std::move(settings));
    }
};

TEST_F(Faulty, AStalledJobEndsWithAComputeReset)
{
    start_with("dma-stall@2");
    run(Packets().lin_dma(data, dram_base + GiB, 64));
    driver->arm(9);
    send(Packets().lin_dma(data, dram_base + GiB, 64), 9);
    ASSERT_TRUE(driver->chip->dma().wait_jobs(2, FakeDriver::bound));
    EXPECT_EQ(driver->reg(pdma0 + qm::glbl_sts0) & 0x200, 0u) << "idle";
    // The rest of the chip lives.
    EXPECT_TRUE(driver->cpu(18, 5).answered);
    run(Packets().lin_dma(data, dram_base + GiB, 64), pdma1);
    EXPECT_TRUE(driver->cpu(64).answered);
    EXPECT_EQ(driver->reg(sm::base + 9 * 4), 0u);
    driver->start_queue(pdma0, ring);
    bypass(pdma0);
    runs = 0;
    const unsigned before = driver->host.interrupts(FakeDriver::completion_vector);
    driver->arm(1);
    send(Packets().lin_dma(data, dram_base + GiB, 64), 1);
    EXPECT_TRUE(driver->host.wait_interrupts(FakeDriver::completion_vector, before + 1)) << faults();
}

TEST_F(Faulty, AStalledJobEndsWithTheFunctionsReset)
{
    start_with("dma-stall@1");
    send(Packets().lin_dma(data, dram_base + GiB, 64), 1);
    ASSERT_TRUE(driver->chip->dma().wait_jobs(1, FakeDriver::bound));
    driver->chip->reset();
    EXPECT_EQ(driver->reg(psoc::boot_status), 16u);
    EXPECT_EQ(driver->chip->journal().fault_count(), 0u) << faults();
}

TEST_F(Faulty, AResetInTheMiddleOfJobsIsNoFault)
{
    start({});
    for (int i = 0; i < 20; ++i) {
        Packets packets;
        for (int copy = 0; copy < 50; ++copy)
            packets.lin_dma(data, dram_base + GiB, 4 << 20);
        send(packets, 1);
        driver->chip->reset();
        EXPECT_EQ(driver->host.interrupts(FakeDriver::completion_vector), 0u);
        driver->boot();
        driver->start_queue(pdma0, ring);
        bypass(pdma0);
    }
    EXPECT_EQ(driver->chip->journal().fault_count(), 0u) << faults();
}

TEST_F(Faulty, AnEventComesBeforeItsJob)
{
    start_with("event=542@1");
    run(Packets().lin_dma(data, dram_base + GiB, 64));
    EXPECT_EQ(driver->host.interrupts(0), 1u);
    EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::event_queue + 4) >> 16, 0x8000u | 542);
}

TEST_F(Faulty, SlowJobsTakeLonger)
{
    start_with("dma-slow=20000");
    const auto begin = std::chrono::steady_clock::now();
    run(Packets().lin_dma(data, dram_base + GiB, 64));
    EXPECT_GE(std::chrono::steady_clock::now() - begin, std::chrono::milliseconds(20));
}

TEST_F(Faulty, ALostLinkAnswersAllOnes)
{
    start_with("link-gone@1");
    driver->arm(1);
    send(Packets().lin_dma(data, dram_base + GiB, 64), 1);
    ASSERT_TRUE(driver->poll_reg(psoc::boot_status, UINT32_MAX));
    EXPECT_EQ(driver->chip->read_config(0), UINT32_MAX);
    EXPECT_EQ(driver->chip->read(4, 0, 8), UINT64_MAX);
    EXPECT_EQ(driver->host.interrupts(FakeDriver::completion_vector), 0u);
    driver->chip->reset();
    EXPECT_EQ(driver->reg(psoc::boot_status), UINT32_MAX) << "gone for good";
}

TEST_F(Faulty, TheNullChipCompletesAndMovesNothing)
{
    start({.null = true});
    const auto sent = pattern(4096);
    ASSERT_TRUE(driver->host.dma_write(data, sent));
    run(Packets().lin_dma(data, dram_base + GiB, 4096));
    EXPECT_EQ(driver->chip->read(4, GiB, 8), 0u);
    run(Packets().lin_dma(0x1000, 0x2000, 4096).raw(0, 0x1f000000));
    EXPECT_EQ(driver->chip->dma().bytes(), 0u);
    EXPECT_EQ(driver->chip->journal().fault_count(), 0u) << faults();
}

} // namespace
} // namespace gaudiemu::chip
