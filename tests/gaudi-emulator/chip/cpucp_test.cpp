// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fakedriver.h"

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

class CpuQueue : public ::testing::Test {
protected:
    void SetUp() override
    {
        driver.boot();
        driver.start_cpu_queue();
    }

    FakeDriver driver;
};

TEST_F(CpuQueue, TestPacketComesBack)
{
    const auto reply = driver.cpu(18, 0xFE8CE7A5);
    EXPECT_TRUE(reply.answered);
    EXPECT_EQ(reply.code, 0u);
    EXPECT_EQ(reply.result, 0xFE8CE7A5u);
}

TEST_F(CpuQueue, RunsRoundItsRing)
{
    for (uint64_t i = 0; i < 2 * FakeDriver::queue_length + 3; ++i)
        ASSERT_EQ(driver.cpu(18, i).result, i);
}

TEST_F(CpuQueue, InfoNamesTheEmulator)
{
    ASSERT_TRUE(driver.cpu(14, FakeDriver::info, 1760).answered);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::info), 1u) << "no sensor";
    EXPECT_NE(driver.host.get<uint32_t>(FakeDriver::info + 4), 0u);
    EXPECT_EQ(driver.host.get<uint64_t>(FakeDriver::info + 1560), 96 * GiB);
    const auto text = [&](uint64_t at) {
        const auto bytes = driver.host.get<std::array<char, 128>>(FakeDriver::info + at);
        return std::string(bytes.data());
    };
    EXPECT_EQ(text(1428).find("emulated-gaudi"), 0u);
    EXPECT_EQ(text(1568), "HL225");
}

TEST_F(CpuQueue, InfoKeepsToTheGivenSize)
{
    driver.host.put(FakeDriver::info + 1024, uint32_t{0x12345678});
    ASSERT_TRUE(driver.cpu(14, FakeDriver::info, 1024).answered);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::info + 1024), 0x12345678u);
}

TEST_F(CpuQueue, InfoToNowhereIsAFault)
{
    EXPECT_EQ(driver.cpu(14, 0x1000, 1760).code, 2u);
}

TEST_F(CpuQueue, UnknownPacketsAreRefused)
{
    const auto reply = driver.cpu(50);
    EXPECT_TRUE(reply.answered);
    EXPECT_EQ(reply.code, 3u);
    EXPECT_EQ(driver.chip->journal().fault_count(), 1u);
}

// What the driver sends between probe and release: each of them refused fails something there.
TEST_F(CpuQueue, TakesWhatTheDriverSends)
{
    for (const uint32_t opcode : {2u, 9u, 16u, 17u, 21u, 37u, 45u, 47u, 58u})
        EXPECT_EQ(driver.cpu(opcode).code, 0u) << opcode;
    EXPECT_EQ(driver.chip->journal().fault_count(), 0u);
}

TEST_F(CpuQueue, PllAndPowerAreNotZero)
{
    EXPECT_NE(driver.cpu(30).result >> 48, 0u); // gaudi2_fetch_psoc_frequency() takes the last of four
    EXPECT_NE(driver.cpu(20).result, 0u);
}

TEST_F(CpuQueue, EventsReachTheQueue)
{
    // A compute reset needs no event; a wrong command of KDMA is one.
    driver.reg(dma::kdma + dma::commit, 0);
    ASSERT_TRUE(driver.host.wait_interrupts(0, 1));
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::event_queue + 4) >> 16, 0x8000u | event_kdma_core);
}

// Provokes an event: a commit that KDMA does not know.
void provoke(FakeDriver &driver)
{
    driver.reg(dma::kdma + dma::commit, 0);
}

TEST_F(CpuQueue, EventsGoRoundTheirRingAsTheDriverReads)
{
    for (uint32_t i = 0; i < 200; ++i) {
        provoke(driver);
        const uint64_t entry = FakeDriver::event_queue + i % 64 * 64;
        ASSERT_EQ(driver.host.get<uint32_t>(entry + 4), 0x80000000u | event_kdma_core << 16 | i) << i;
        driver.host.put(entry + 4, uint32_t{0});
        driver.reg(cpuif::eq_read, (i + 1) % 64); // gaudi2_update_eq_ci()
    }
}

TEST_F(CpuQueue, AFullEventQueueDropsInsteadOfOverwriting)
{
    for (uint32_t i = 0; i < 70; ++i)
        provoke(driver);
    EXPECT_EQ(driver.host.interrupts(0), 63u);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::event_queue + 63 * 64 + 4), 0u) << "the last place stays free";
    EXPECT_EQ(driver.chip->journal().fault_count(), 70u + 7) << "a fault for each commit, and one for each event lost";
}

TEST(Events, WaitUntilTheDriverWantsThem)
{
    FakeDriver driver;
    driver.boot();
    provoke(driver);
    EXPECT_EQ(driver.host.interrupts(0), 0u);
    driver.start_cpu_queue();
    EXPECT_EQ(driver.host.interrupts(0), 1u);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::event_queue + 4) >> 16, 0x8000u | event_kdma_core);
}

TEST(CpuFaults, AStalledCpuAnswersNoMore)
{
    Gaudi2::Settings settings;
    ASSERT_TRUE(settings.faults.add("cpu-stall@2"));
    FakeDriver driver(std::move(settings));
    driver.boot();
    driver.start_cpu_queue();
    EXPECT_TRUE(driver.cpu(18, 1).answered);
    driver.cpu(18, 2, 0, false);
    driver.cpu(18, 3, 0, false);
    // The queue goes on to be read; a hard reset revives it.
    driver.reg(psoc::halt_irq, irq_halt_machine);
    ASSERT_TRUE(driver.poll_reg(psoc::boot_status, 16));
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::packet + 12), UINT32_MAX);
    driver.boot();
    driver.start_cpu_queue();
    EXPECT_EQ(driver.cpu(18, 4).result, 4u);
}

} // namespace
} // namespace gaudiemu::chip
