// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/queuefixture.h"

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

// What the chip does not know must not pass for done.
class Refused : public QueueTest {
protected:
    void expect_refused(const Packets &packets, uint32_t error_bit, uint16_t event)
    {
        driver->arm(3);
        send(packets, 3);
        ASSERT_TRUE(driver->host.wait_interrupts(0, 1)) << faults();
        EXPECT_EQ(driver->chip->journal().fault_count(), 1u) << faults();
        EXPECT_EQ(driver->reg(pdma0 + qm::glbl_err_sts), error_bit) << faults();
        EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::event_queue + 4) >> 16, 0x8000u | event);
        EXPECT_EQ(driver->host.interrupts(FakeDriver::completion_vector), 0u);
        EXPECT_EQ(driver->reg(sm::base + 3 * 4), 0u) << "completed";
        // The stream stands still until a reset.
        send(Packets().nop(), 3);
        run(Packets().nop(), pdma1);
        EXPECT_EQ(driver->reg(sm::base + 3 * 4), 0u);
    }
};

TEST_F(Refused, UnknownPacket)
{
    expect_refused(Packets().nop().raw(7, 0x1f000000), 0x8, 1244);
    EXPECT_EQ(driver->reg(pdma0 + qm::current_inst_lo), 7u);
    EXPECT_EQ(driver->reg(pdma0 + qm::current_inst_hi), 0x1f000000u);
}

TEST_F(Refused, Fence)
{
    expect_refused(Packets().raw(0x80010001, 0x08000000), 0x8, 1244);
}

TEST_F(Refused, SwappedBytes)
{
    expect_refused(Packets().lin_dma(data, dram_base + GiB, 64, 0x2), 0x8, 1244);
    EXPECT_EQ(driver->chip->dma().jobs(), 0u);
}

TEST_F(Refused, UnknownDmaBits)
{
    expect_refused(Packets().lin_dma(data, dram_base + GiB, 64, 0x20), 0x8, 1244);
}

TEST_F(Refused, ABufferBeyondReason)
{
    driver->arm(3);
    driver->submit(pdma0, 0, ring, buffer, 17 << 20, 3);
    ASSERT_TRUE(driver->host.wait_interrupts(0, 1));
    EXPECT_EQ(driver->reg(pdma0 + qm::glbl_err_sts), 0x2u) << faults();
}

TEST_F(Refused, HalfAPacket)
{
    const Packets whole = Packets().lin_dma(data, dram_base + GiB, 64);
    Packets half;
    half.raw(64, 0x09000000);
    expect_refused(half, 0x4, 1244);
}

TEST_F(Refused, AMessageToNowhere)
{
    expect_refused(Packets().msg_long(0x1000, 1), 0x20, 1244);
}

TEST_F(Refused, ACopyToNowhere)
{
    expect_refused(Packets().lin_dma(data, 0x1000, 64), 0, event_pdma0_core);
    EXPECT_EQ(driver->host.get<uint64_t>(FakeDriver::event_queue + 8), 2u) << "not the write error";
}

TEST_F(Refused, ACopyBeyondHbm)
{
    expect_refused(Packets().lin_dma(data, dram_base + dram_size - 32, 64), 0, event_pdma0_core);
}

TEST_F(Refused, ACopyIntoRegisters)
{
    expect_refused(Packets().lin_dma(data, cfg_base + psoc::page, 64), 0, event_pdma0_core);
}

TEST_F(Refused, ACommandBufferNowhere)
{
    driver->arm(3);
    driver->submit(pdma0, 0, ring, 0x1000, 64, 3);
    ASSERT_TRUE(driver->host.wait_interrupts(0, 1));
    EXPECT_EQ(driver->reg(pdma0 + qm::glbl_err_sts), 0x2u) << faults();
}

} // namespace
} // namespace gaudiemu::chip
