// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fakedriver.h"
#include "chip/packets.h"

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

constexpr uint32_t pdma0 = 0x4c8a000;
constexpr uint64_t ring = FakeDriver::queues;
constexpr uint64_t buffer = FakeDriver::free;
constexpr uint64_t data = FakeDriver::free + 0x100000;

// Sync objects as an engine writes them: by messages of a queue.
class SyncObjects : public ::testing::Test {
protected:
    void SetUp() override
    {
        driver.boot();
        driver.start_cpu_queue();
        driver.cpu(2, FakeDriver::doorbell);
        driver.start_queue(pdma0, ring, false);
    }

    void write(uint32_t at, uint32_t value)
    {
        const Packets packets = Packets().msg_long(cfg_base + at, value);
        ASSERT_TRUE(driver.host.dma_write(buffer, packets.bytes()));
        const uint32_t pi = driver.submit(pdma0, 0, ring, buffer, packets.size());
        ASSERT_TRUE(driver.poll_reg(pdma0 + qm::pq_ci, pi));
    }
    void write_sob(uint32_t sob, uint32_t value) { write(sm::base + sob * 4, value); }
    [[nodiscard]] uint32_t sob(uint32_t number) const { return driver.reg(sm::base + number * 4); }

    // A monitor that writes `value` into host memory.
    void monitor(uint32_t number, uint32_t arm, uint32_t config = 0, uint64_t address = data, uint32_t value = 0x77)
    {
        const uint32_t at = sm::base + number * 4;
        driver.reg(at + sm::config, config);
        driver.reg_pair(at + sm::pay_addr_lo, at + sm::pay_addr_hi, address);
        driver.reg(at + sm::pay_data, value);
        driver.reg(at + sm::arm, arm);
    }
    static constexpr uint32_t arm_for(uint32_t sob, uint32_t value, bool equal)
    {
        return value << 17 | (equal ? 0x10000u : 0u) | (0xffu & ~(1u << sob % 8)) << 8 | (sob / 8 & 0xff);
    }
    [[nodiscard]] uint32_t fired() { return driver.host.get<uint32_t>(data); }

    FakeDriver driver;
};

TEST_F(SyncObjects, SetAddAndCountDown)
{
    write_sob(200, 5);
    EXPECT_EQ(sob(200), 5u);
    write_sob(200, 0x80000003);
    EXPECT_EQ(sob(200), 8u);
    write_sob(200, 0x8000ffff); // "-1", gaudi2_arm_monitors_for_virt_msix_db()
    EXPECT_EQ(sob(200), 7u);
    write_sob(200, 0x7fff);
    write_sob(200, 0x80000001);
    EXPECT_EQ(sob(200), 0u);
}

TEST_F(SyncObjects, AMonitorForEqualFiresOnceAndDisarms)
{
    monitor(100, arm_for(200, 2, true));
    write_sob(200, 0x80000001);
    EXPECT_EQ(fired(), 0u);
    write_sob(200, 0x80000001);
    EXPECT_EQ(fired(), 0x77u);
    EXPECT_EQ(driver.reg(sm::base + sm::arm + 100 * 4), 0u);
    driver.host.put(data, uint32_t{0});
    write_sob(200, 2);
    EXPECT_EQ(fired(), 0u);
}

TEST_F(SyncObjects, EqualIsNotMore)
{
    monitor(100, arm_for(200, 2, true));
    write_sob(200, 3);
    EXPECT_EQ(fired(), 0u);
}

TEST_F(SyncObjects, AMonitorForAtLeastFiresOnMore)
{
    monitor(100, arm_for(200, 2, false));
    write_sob(200, 3);
    EXPECT_EQ(fired(), 0x77u);
}

TEST_F(SyncObjects, AllWatchedObjectsOfTheGroupMustAgree)
{
    // 200 and 203 of group 25.
    monitor(100, 1u << 17 | 0x10000 | (0xffu & ~0x9u) << 8 | 25);
    write_sob(200, 1);
    write_sob(201, 1);
    EXPECT_EQ(fired(), 0u);
    write_sob(203, 1);
    EXPECT_EQ(fired(), 0x77u);
}

TEST_F(SyncObjects, UpperGroupsAreNamedInTheConfig)
{
    constexpr uint32_t high = 5000;
    monitor(100, arm_for(high, 1, true), high / 8 >> 8 << 16);
    write_sob(high % 2048, 1);
    EXPECT_EQ(fired(), 0u);
    write_sob(high, 1);
    EXPECT_EQ(fired(), 0x77u);
}

TEST_F(SyncObjects, ArmingByAMessageLooksAtOnce)
{
    write_sob(200, 4);
    monitor(100, 0);
    write(sm::base + sm::arm + 100 * 4, arm_for(200, 4, true));
    EXPECT_EQ(fired(), 0x77u);
}

TEST_F(SyncObjects, CompletionQueuesWrapAndInterruptAfterTheEntry)
{
    constexpr uint32_t queue = 1;
    const auto at = [](uint32_t first) { return sm::base + first + queue * 4; };
    driver.reg_pair(at(sm::cq_base_lo), at(sm::cq_base_hi), FakeDriver::completion_queue);
    driver.reg(at(sm::cq_size_log2), 4); // four entries
    driver.reg_pair(at(sm::cq_lbw_addr_lo), at(sm::cq_lbw_addr_hi), FakeDriver::doorbell);
    driver.reg(at(sm::cq_lbw_data), 33);
    for (uint32_t i = 1; i <= 5; ++i) {
        monitor(100, arm_for(200, i, true), 0x110, queue, 0x100 + i);
        write_sob(200, i);
        EXPECT_EQ(driver.host.interrupts(33), i);
    }
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::completion_queue), 0x105u);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::completion_queue + 4), 0x102u);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::completion_queue + 12), 0x104u);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeDriver::completion_queue + 16), 0u);
}

// gaudi2_arm_monitors_for_virt_msix_db(): interrupt, count down, arm again.
TEST_F(SyncObjects, ADecodersChainRaisesItsVectorEachTime)
{
    constexpr uint32_t object = 65;
    const uint32_t arm = arm_for(object, 1, false);
    monitor(66, 0, 0, cfg_base + sm::base + object * 4, 0x8000ffff);
    monitor(67, 0, 0, cfg_base + sm::base + sm::arm + 65 * 4, arm);
    monitor(65, arm, 2u << 5, FakeDriver::doorbell, 7);
    for (uint32_t i = 1; i <= 3; ++i) {
        write_sob(object, 0x80000001);
        EXPECT_EQ(driver.host.interrupts(7), i);
        EXPECT_EQ(sob(object), 0u);
    }
}

TEST_F(SyncObjects, ACircleEnds)
{
    // A monitor that sets its own object and arms itself for ever.
    const uint32_t arm = arm_for(200, 1, false);
    monitor(101, 0, 0, cfg_base + sm::base + sm::arm + 100 * 4, arm);
    monitor(100, arm, 1u << 5, cfg_base + sm::base + 200 * 4, 1);
    write_sob(200, 1);
    ASSERT_EQ(driver.chip->journal().fault_count(), 1u);
    EXPECT_NE(driver.chip->journal().faults()[0].find("circles"), std::string::npos);
}

TEST_F(SyncObjects, OtherDcoresHaveTheirOwn)
{
    write(sm::base + 2 * dcore_offset + 200 * 4, 9);
    EXPECT_EQ(sob(200), 0u);
    EXPECT_EQ(driver.reg(sm::base + 2 * dcore_offset + 200 * 4), 9u);
}

TEST_F(SyncObjects, AMessageToNowhereIsAFault)
{
    monitor(100, arm_for(200, 1, true), 0, 0x1000);
    write_sob(200, 1);
    EXPECT_EQ(driver.chip->journal().fault_count(), 1u);
}

} // namespace
} // namespace gaudiemu::chip
