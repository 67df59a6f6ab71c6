// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/queuefixture.h"

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

using Queue = QueueTest;

// gaudi2_test_queues(): trusted test mode, no completion, a word into a user's sync object.
TEST_F(Queue, TheDriversSelfTestPassesOnEveryQueueManager)
{
    uint32_t sob = 0x400;
    for (const auto &place : queue_manager_places()) {
        driver->start_queue(place.page, ring, false);
        const Packets packets = Packets().msg_short(1, sob * 4, 0x5a5a);
        ASSERT_TRUE(driver->host.dma_write(buffer, packets.bytes()));
        driver->submit(place.page, 0, ring, buffer, packets.size());
        EXPECT_TRUE(driver->poll_reg(sm::base + sob * 4, 0x5a5a)) << place.name << faults();
        ++sob;
    }
}

TEST_F(Queue, ACompletionGoesThroughSyncObjectMonitorAndCompletionQueue)
{
    run(Packets().nop());
    run(Packets().nop(), pdma1);
    EXPECT_EQ(driver->chip->journal().fault_count(), 0u) << faults();
}

TEST_F(Queue, RunsRoundItsRing)
{
    // Without waiting for each: the ring is 4096 long, the indices go to 8192.
    const Packets packets = Packets().nop();
    uint32_t pi = 0;
    for (uint32_t i = 0; i < 2 * FakeDriver::queue_length + 5; ++i) {
        pi = send(packets);
        if (i % 1000 == 0) {
            ASSERT_TRUE(driver->poll_reg(pdma0 + qm::pq_ci, pi));
        }
    }
    EXPECT_TRUE(driver->poll_reg(pdma0 + qm::pq_ci, pi));
}

TEST_F(Queue, CopiesFromHostToHbmAndBack)
{
    constexpr size_t size = 3 * MiB + 12345;
    const auto sent = pattern(size);
    ASSERT_TRUE(driver->host.dma_write(data, sent));
    run(Packets().lin_dma(data, dram_base + 3 * GiB + 77, size));
    run(Packets().lin_dma(dram_base + 3 * GiB + 77, data + 4 * MiB - 64, size), pdma1);
    EXPECT_EQ(host_bytes(data + 4 * MiB - 64, size), sent);
    EXPECT_EQ(driver->chip->dma().bytes(), 2 * size);
    // BAR 4 is the same memory.
    EXPECT_EQ(driver->chip->read(4, 3 * GiB + 77, 1), static_cast<uint64_t>(sent[0]));
}

TEST_F(Queue, CopiesInsideHbmAndInsideTheHost)
{
    const auto sent = pattern(100000, 9);
    ASSERT_TRUE(driver->host.dma_write(data, sent));
    run(Packets()
            .lin_dma(data, dram_base + GiB, 100000)
            .lin_dma(dram_base + GiB, dram_base + 5 * GiB + 1, 100000)
            .lin_dma(dram_base + 5 * GiB + 1, data + 200000, 100000)
            .lin_dma(data + 200000, data + 400000, 100000));
    EXPECT_EQ(host_bytes(data + 400000, 100000), sent);
}

TEST_F(Queue, FillsMemory)
{
    run(Packets().lin_dma(0xddccbbaa, dram_base + GiB, 2 * MiB + 6, Packets::memset));
    EXPECT_EQ(driver->chip->read(4, GiB + 2 * MiB, 4), 0xddccbbaau);
    EXPECT_EQ(driver->chip->read(4, GiB + 2 * MiB + 4, 4), 0x0000bbaau);
    run(Packets().lin_dma(0, dram_base + GiB, 2 * MiB + 6, Packets::memset));
    EXPECT_EQ(driver->chip->read(4, GiB + 2 * MiB, 8), 0u);
    run(Packets().lin_dma(0x11223344, data, 8, Packets::memset));
    EXPECT_EQ(driver->host.get<uint64_t>(data), 0x1122334411223344u);
}

// gaudi2_memset_device_memory(): an EDMA's own completion, a descriptor ring and a command buffer in HBM.
TEST_F(Queue, AnEdmaClearsPageTablesFromHbm)
{
    constexpr uint32_t edma0 = 0x41ca000;
    constexpr uint64_t hbm_ring = dram_base + 700 * MiB;
    constexpr uint64_t hbm_buffer = dram_base + 768 * MiB;
    driver->start_queue(edma0, hbm_ring, false);
    driver->reg(edma0 + dma::from_qm + dma::axuser_mmu_bp, 0x11);
    driver->reg_pair(edma0 + dma::from_qm + dma::wr_comp_addr_lo, edma0 + dma::from_qm + dma::wr_comp_addr_hi,
                     cfg_base + sm::base + 0x2000);
    driver->reg(edma0 + dma::from_qm + dma::wr_comp_wdata, 0x80000001);
    driver->chip->write(4, 600 * MiB, 8, UINT64_MAX);
    const Packets packets =
        Packets().lin_dma(0, dram_base + 600 * MiB, MiB, Packets::memset | Packets::write_completion);
    for (size_t i = 0; i < packets.size(); i += 8) {
        uint64_t word = 0;
        std::memcpy(&word, packets.bytes().data() + i, 8);
        driver->chip->write(4, hbm_buffer - dram_base + i, 8, word);
    }
    driver->chip->write(4, hbm_ring - dram_base, 8, hbm_buffer);
    driver->chip->write(4, hbm_ring - dram_base + 8, 8, packets.size());
    driver->reg(edma0 + qm::pq_pi, 1);
    EXPECT_TRUE(driver->poll_reg(sm::base + 0x2000, 1)) << faults();
    EXPECT_EQ(driver->chip->read(4, 600 * MiB, 8), 0u);
}

TEST_F(Queue, KdmaFillsAndCompletes)
{
    constexpr uint32_t dccm = 0x4c80000; // an ARC's memory, gaudi2_scrub_arc_dccm()
    driver->reg(dccm, 0x77);
    driver->reg(dccm + 0x7ffc, 0x77);
    driver->reg_pair(dma::kdma + dma::dst_lo, dma::kdma + dma::dst_hi, cfg_base + dccm);
    driver->reg_pair(dma::kdma + dma::wr_comp_addr_lo, dma::kdma + dma::wr_comp_addr_hi, cfg_base + sm::base + 64 * 4);
    driver->reg(dma::kdma + dma::wr_comp_wdata, 0x80000001);
    driver->reg(dma::kdma + dma::dst_tsize, 0x8000);
    driver->reg(dma::kdma + dma::commit, 0x80000011);
    EXPECT_TRUE(driver->poll_reg(sm::base + 64 * 4, 1)) << faults();
    EXPECT_EQ(driver->reg(dccm), 0u);
    EXPECT_EQ(driver->reg(dccm + 0x7ffc), 0u);
}

TEST_F(Queue, MessagesReachRegistersHostAndDoorbell)
{
    const Packets packets = Packets()
                                .wreg32(0xa000 + qm::current_inst_lo, 0x1234)
                                .msg_long(data, 0xabcd)
                                .msg_long(FakeDriver::doorbell, 47)
                                .msg_long(cfg_base + msix_doorbell_page, 48)
                                .msg_long(dram_base + GiB, 0x99);
    run(packets);
    EXPECT_EQ(driver->reg(pdma0 + qm::current_inst_lo), 0x1234u);
    EXPECT_EQ(driver->host.get<uint32_t>(data), 0xabcdu);
    EXPECT_EQ(driver->host.interrupts(47), 1u);
    EXPECT_EQ(driver->host.interrupts(48), 1u);
    EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::doorbell), 0u) << "the doorbell is no memory";
    EXPECT_EQ(driver->chip->read(4, GiB, 4), 0x99u);
}

TEST_F(Queue, BulkWritesFillRegistersInARow)
{
    // WREG_BULK of two 64-bit words at the queue manager's CURRENT_INST_LO.
    run(Packets().raw(2, 0x02000000 | (0xa000 + qm::current_inst_lo) << 8).raw(0x11, 0x22).raw(0x33, 0x44));
    for (uint32_t i = 0; i < 4; ++i)
        EXPECT_EQ(driver->reg(pdma0 + qm::current_inst_lo + i * 4), 0x11 * (i + 1));
}

TEST_F(Queue, KdmaCopies)
{
    const auto sent = pattern(5000, 2);
    ASSERT_TRUE(driver->host.dma_write(data, sent));
    driver->reg(dma::kdma + dma::axuser_mmu_bp, 0x11);
    driver->reg_pair(dma::kdma + dma::src_lo, dma::kdma + dma::src_hi, data);
    driver->reg_pair(dma::kdma + dma::dst_lo, dma::kdma + dma::dst_hi, dram_base + GiB);
    driver->reg_pair(dma::kdma + dma::wr_comp_addr_lo, dma::kdma + dma::wr_comp_addr_hi, cfg_base + sm::base + 64 * 4);
    driver->reg(dma::kdma + dma::wr_comp_wdata, 0x80000001);
    driver->reg(dma::kdma + dma::dst_tsize, 5000);
    driver->reg(dma::kdma + dma::commit, 0x80000001);
    ASSERT_TRUE(driver->poll_reg(sm::base + 64 * 4, 1)) << faults();
    EXPECT_EQ(driver->chip->read(4, GiB + 4999, 1), static_cast<uint64_t>(sent[4999]));
}

TEST_F(Queue, KdmaReportsItsOwnFaults)
{
    driver->reg(dma::kdma + dma::axuser_mmu_bp, 0x11);
    driver->reg_pair(dma::kdma + dma::dst_lo, dma::kdma + dma::dst_hi, 0x1000);
    driver->reg(dma::kdma + dma::dst_tsize, 64);
    driver->reg(dma::kdma + dma::commit, 0x80000011);
    ASSERT_TRUE(driver->host.wait_interrupts(0, 1));
    EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::event_queue + 4) >> 16, 0x8000u | event_kdma_core);
    EXPECT_EQ(driver->reg(sm::base + 64 * 4), 0u);
}

TEST_F(Queue, WithoutPciAccessThereIsNoVirtualDoorbell)
{
    EXPECT_TRUE(driver->cpu(1).answered); // DISABLE_PCI_ACCESS
    const Packets packets = Packets().msg_long(FakeDriver::doorbell, 47);
    const uint32_t pi = send(packets);
    ASSERT_TRUE(driver->poll_reg(pdma0 + qm::pq_ci, pi));
    EXPECT_EQ(driver->host.interrupts(47), 0u);
    EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::doorbell), 47u) << "plain memory again";
}

TEST_F(Queue, AVectorBeyondTheTableIsAFault)
{
    const uint32_t pi = send(Packets().msg_long(cfg_base + msix_doorbell_page, 128));
    ASSERT_TRUE(driver->poll_reg(pdma0 + qm::pq_ci, pi));
    EXPECT_EQ(driver->chip->journal().fault_count(), 1u) << faults();
}

TEST_F(Queue, StreamsAreApart)
{
    driver->arm(5, 2);
    send(Packets().nop(), 5, pdma0, 0);
    send(Packets().nop(), 5, pdma0, 1);
    EXPECT_TRUE(driver->host.wait_interrupts(FakeDriver::completion_vector, 1));
    EXPECT_TRUE(driver->poll_reg(pdma0 + qm::pq_ci, 1));
    EXPECT_TRUE(driver->poll_reg(pdma0 + qm::pq_ci + 4, 1));
}

TEST_F(Queue, ADisabledQueueDoesNothing)
{
    driver->reg(pdma0 + qm::glbl_cfg0, 0);
    driver->arm(1);
    send(Packets().nop(), 1);
    run(Packets().nop(), pdma1); // the other one works meanwhile
    EXPECT_EQ(driver->reg(pdma0 + qm::pq_ci), 0u);
}

TEST_F(Queue, IdleIsWhatTheDriverReads)
{
    run(Packets().nop());
    EXPECT_TRUE(driver->poll_reg(pdma0 + qm::glbl_sts0, 0x3fff));
    EXPECT_EQ(driver->reg(pdma0 + qm::glbl_sts1), 1u);
    EXPECT_EQ(driver->reg(pdma0 + qm::cgm_sts), 0x100u);
    EXPECT_EQ(driver->reg(0x400bd84), 0xeau);
    EXPECT_EQ(driver->reg(0x40cb000), 0xc07ffe00u);
}

TEST_F(Queue, LinDmaNeedsADmaCore)
{
    constexpr uint32_t tpc0 = 0x400a000;
    driver->start_queue(tpc0, ring + 0x80000);
    const Packets packets = Packets().lin_dma(data, dram_base + GiB, 64);
    ASSERT_TRUE(driver->host.dma_write(buffer, packets.bytes()));
    driver->reg(tpc0 + qm::axuser_mmu_bp, 0x11);
    driver->submit(tpc0, 0, ring + 0x80000, buffer, packets.size());
    ASSERT_TRUE(driver->chip->settle(FakeDriver::bound));
    EXPECT_EQ(driver->chip->journal().fault_count(), 1u) << faults();
    EXPECT_EQ(driver->reg(tpc0 + qm::glbl_err_sts), 0x8u);
}

} // namespace
} // namespace gaudiemu::chip
