// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fakedriver.h"
#include "chip/fakepagetables.h"
#include "chip/packets.h"

#include <numeric>

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

constexpr uint32_t pdma0 = 0x4c8a000;
constexpr uint32_t pdma1 = 0x4c9a000;
constexpr uint64_t ring = FakeDriver::queues;
constexpr uint64_t buffer = FakeDriver::free;
constexpr uint64_t data = FakeDriver::free + 0x100000;

std::vector<std::byte> pattern(size_t size, unsigned seed = 1)
{
    std::vector<std::byte> out(size);
    for (size_t i = 0; i < size; ++i)
        out[i] = static_cast<std::byte>(i * 7 + i / 251 + seed);
    return out;
}

// A chip whose firmware runs, with PDMA 0 and 1 started as gaudi2_init_pdma() starts them.
class Queue : public ::testing::Test {
protected:
    void SetUp() override { start({}); }

    void start(Gaudi2::Settings settings)
    {
        driver = std::make_unique<FakeDriver>(std::move(settings));
        driver->boot();
        driver->start_cpu_queue();
        driver->cpu(2, FakeDriver::doorbell); // ENABLE_PCI_ACCESS
        driver->start_queue(pdma0, ring);
        driver->start_queue(pdma1, ring + 0x40000);
        bypass(pdma0);
        bypass(pdma1);
    }

    // Before a context exists, physical addresses.
    void bypass(uint32_t page) const
    {
        driver->reg(page + qm::axuser_mmu_bp, 0x11);
        driver->reg(page + dma::from_qm + dma::axuser_mmu_bp, 0x11);
    }

    uint32_t send(const Packets &packets, uint32_t index = 0, uint32_t page = pdma0, unsigned stream = 0)
    {
        EXPECT_TRUE(driver->host.dma_write(buffer, packets.bytes()));
        return driver->submit(page, stream, page == pdma0 ? ring : ring + 0x40000, buffer, packets.size(), index);
    }

    // Sends, and sees it through to the completion queue.
    void run(const Packets &packets, uint32_t page = pdma0)
    {
        const uint32_t index = ++runs % 64;
        driver->arm(index);
        send(packets, index, page);
        ASSERT_TRUE(driver->host.wait_interrupts(FakeDriver::completion_vector, runs)) << faults();
        EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::completion_queue + (runs - 1) % 4096 * 4), 0xc0000000 | index);
    }

    [[nodiscard]] std::string faults() const
    {
        std::string out;
        for (const auto &line : driver->chip->journal().faults())
            out += line + "\n";
        return out;
    }

    [[nodiscard]] std::vector<std::byte> host_bytes(uint64_t at, size_t size) const
    {
        std::vector<std::byte> out(size);
        EXPECT_TRUE(driver->host.dma_read(at, out));
        return out;
    }

    std::unique_ptr<FakeDriver> driver;
    uint32_t runs = 0;
};

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

// What the chip does not know must not pass for done.
class Refused : public Queue {
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

// A user's context: everything by virtual addresses.
class Translated : public Queue {
protected:
    static constexpr uint64_t va = 0xFFF0000012340000;
    static constexpr uint64_t huge_va = 0xFFF0800000200000;
    static constexpr uint64_t hbm_va = dram_base + dram_size + 3 * (768 * MiB);

    void SetUp() override
    {
        Queue::SetUp();
        tables = std::make_unique<FakePageTables>(*driver);
        tables->use(pdma0);
        tables->map_host(va + 0x100000, buffer & ~0xfffull);
    }

    // The command buffer by its virtual address too.
    void send_translated(const Packets &packets, uint32_t index)
    {
        driver->arm(index);
        ASSERT_TRUE(driver->host.dma_write(buffer, packets.bytes()));
        driver->submit(pdma0, 0, ring, va + 0x100000, packets.size(), index);
    }
    void run_translated(const Packets &packets)
    {
        ++runs;
        send_translated(packets, runs);
        ASSERT_TRUE(driver->host.wait_interrupts(FakeDriver::completion_vector, runs)) << faults();
    }
    void expect_page_fault(uint32_t mmu_base, uint16_t event, uint64_t address)
    {
        ASSERT_TRUE(driver->host.wait_interrupts(0, 1)) << faults();
        EXPECT_EQ(driver->host.get<uint32_t>(FakeDriver::event_queue + 4) >> 16, 0x8000u | event);
        EXPECT_EQ(driver->reg(mmu_base + mmu::access_page_error_valid), 1u);
        EXPECT_EQ(driver->reg(mmu_base + mmu::spi_sei_cause), 1u);
        EXPECT_EQ(driver->reg(mmu_base + mmu::page_error_capture), static_cast<uint32_t>(address >> 32));
        EXPECT_EQ(driver->reg(mmu_base + mmu::page_error_capture_va), static_cast<uint32_t>(address));
        EXPECT_EQ(driver->host.interrupts(FakeDriver::completion_vector), 0u);
    }

    std::unique_ptr<FakePageTables> tables;
};

TEST_F(Translated, SmallPagesInAnyOrder)
{
    // Three pages whose memory lies backwards.
    for (uint64_t i = 0; i < 3; ++i)
        tables->map_host(va + i * 4096, data + (2 - i) * 4096);
    tables->map_hbm(hbm_va, dram_base + 768 * MiB);
    const auto sent = pattern(3 * 4096);
    for (uint64_t i = 0; i < 3; ++i)
        ASSERT_TRUE(driver->host.dma_write(data + (2 - i) * 4096, std::span(sent).subspan(i * 4096, 4096)));
    run_translated(Packets().lin_dma(va + 100, hbm_va + 5, 3 * 4096 - 100));
    for (size_t i = 100; i < sent.size(); ++i)
        ASSERT_EQ(driver->chip->read(4, 768 * MiB + 5 + i - 100, 1), static_cast<uint64_t>(sent[i])) << i;
}

TEST_F(Translated, HugePages)
{
    tables->map_host(huge_va, FakeHost::base + 8 * MiB, true);
    tables->map_hbm(hbm_va, dram_base + 768 * MiB);
    const auto sent = pattern(MiB, 3);
    ASSERT_TRUE(driver->host.dma_write(data + 0x1000, sent));
    const uint64_t at = huge_va + (data + 0x1000 - (FakeHost::base + 8 * MiB));
    run_translated(Packets().lin_dma(at, hbm_va, static_cast<uint32_t>(MiB / 2)));
    EXPECT_EQ(driver->chip->read(4, 768 * MiB + MiB / 2 - 1, 1), static_cast<uint64_t>(sent[MiB / 2 - 1]));
}

TEST_F(Translated, HbmPagesRunAcrossTheScramblersUnits)
{
    // Two pages whose memory lies apart; the copy crosses from one to the other, and units of 48 MiB before.
    tables->map_hbm(hbm_va, dram_base + 10 * (768 * MiB));
    tables->map_hbm(hbm_va + 768 * MiB, dram_base + 4 * (768 * MiB));
    tables->map_host(va, data);
    const auto sent = pattern(4096, 5);
    ASSERT_TRUE(driver->host.dma_write(data, sent));
    run_translated(Packets().lin_dma(va, hbm_va + 48 * MiB - 100, 4096).lin_dma(va, hbm_va + 768 * MiB - 100, 4096));
    EXPECT_EQ(driver->chip->read(4, 10 * (768 * MiB) + 48 * MiB - 100, 1), static_cast<uint64_t>(sent[0]));
    EXPECT_EQ(driver->chip->read(4, 10 * (768 * MiB) + 48 * MiB, 1), static_cast<uint64_t>(sent[100]));
    EXPECT_EQ(driver->chip->read(4, 11 * (768 * MiB) - 1, 1), static_cast<uint64_t>(sent[99]));
    EXPECT_EQ(driver->chip->read(4, 4 * (768 * MiB), 1), static_cast<uint64_t>(sent[100]));
}

TEST_F(Translated, AHostPageThatIsNotThereIsAPageFault)
{
    tables->map_hbm(hbm_va, dram_base + 768 * MiB);
    tables->map_host(va, data);
    send_translated(Packets().lin_dma(va, hbm_va, 8192), 1); // the second page is missing
    expect_page_fault(mmu::pmmu, event_pmmu_page_fault, va + 4096);
}

TEST_F(Translated, AnHbmPageThatIsNotThereIsAPageFault)
{
    tables->map_host(va, data);
    send_translated(Packets().lin_dma(va, hbm_va + 1000, 64), 1);
    expect_page_fault(mmu::hmmu0, event_hmmu0_page_fault, Hbm::scramble(hbm_va + 1000));
}

TEST_F(Translated, PhysicalAddressesAreNoLongerTaken)
{
    tables->map_host(va, data);
    send_translated(Packets().lin_dma(va, dram_base + GiB, 64), 1);
    expect_page_fault(mmu::hmmu0, event_hmmu0_page_fault, Hbm::scramble(dram_base + GiB));
}

TEST_F(Translated, TheVirtualDoorbellIsAPageOfTheContext)
{
    // gaudi2_map_virtual_msix_doorbell_memory()
    constexpr uint64_t doorbell_va = 0xFFF077FFFFFF0000;
    tables->map_host(doorbell_va, FakeDriver::doorbell);
    run_translated(Packets().msg_long(doorbell_va, 50));
    EXPECT_EQ(driver->host.interrupts(50), 1u);
}

class Faulty : public Queue {
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
