// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fakegaudi1driver.h"

#include <cstring>
#include <vector>

namespace gaudiemu::chip {
namespace {

using namespace gaudi1;

constexpr uint64_t data = FakeGaudi1Driver::free + 0x100000;
constexpr uint64_t user_hbm = 0x20000000; // gaudiP.h DRAM_BASE_ADDR_USER
constexpr uint32_t linear = 0x8;
constexpr uint64_t va = host_va_base + 0x123450000;

std::vector<std::byte> pattern(size_t size)
{
    std::vector<std::byte> out(size);
    for (size_t i = 0; i < size; ++i)
        out[i] = static_cast<std::byte>(i * 7 + i / 251 + 1);
    return out;
}

class Gaudi1Queue : public ::testing::Test {
protected:
    void SetUp() override { start({}); }

    void start(Gaudi1::Settings settings)
    {
        driver = std::make_unique<FakeGaudi1Driver>(std::move(settings));
        driver->start();
    }
    void start_with(std::string_view order)
    {
        Gaudi1::Settings settings;
        ASSERT_TRUE(settings.faults.add(order));
        start(std::move(settings));
    }

    [[nodiscard]] std::vector<std::byte> hbm(uint64_t at, size_t size) const
    {
        std::vector<std::byte> out(size);
        for (size_t i = 0; i < size; ++i)
            out[i] = static_cast<std::byte>(driver->chip->read(4, at + i, 1));
        return out;
    }
    [[nodiscard]] std::vector<std::byte> host(uint64_t at, size_t size) const
    {
        std::vector<std::byte> out(size);
        EXPECT_TRUE(driver->host.dma_read(at, out));
        return out;
    }
    // The job is not completed, the driver gets the event, and the rest of the chip lives.
    void expect_fault(const Packets &packets, uint16_t event)
    {
        driver->send(packets);
        ASSERT_TRUE(driver->host.wait_interrupts(0, 1));
        EXPECT_TRUE(driver->chip->settle(FakeGaudi1Driver::bound));
        EXPECT_EQ(driver->host.get<uint32_t>(FakeGaudi1Driver::event_queue + 4) >> 16, 0x8000u | event)
            << driver->faults();
        EXPECT_EQ(driver->host.get<uint32_t>(FakeGaudi1Driver::completion_queue), 0u);
        EXPECT_EQ(driver->chip->journal().fault_count(), 1u) << driver->faults();
        EXPECT_EQ(driver->cpu(18, 9).result, 9u);
    }

    std::unique_ptr<FakeGaudi1Driver> driver;
};

// gaudi_test_queue(), of all eight external queues.
TEST_F(Gaudi1Queue, TheDriversSelfTestPasses)
{
    constexpr uint32_t fence = 0x72E91AB9;
    for (const uint32_t page : {FakeGaudi1Driver::dma0, FakeGaudi1Driver::dma1})
        for (unsigned stream = 0; stream < queue_streams; ++stream) {
            driver->host.put(data, uint32_t{0});
            driver->submit(Packets().msg_prot(host_base + data, fence), page, stream);
            EXPECT_TRUE(driver->host.wait_word(data, fence)) << stream << driver->faults();
        }
    EXPECT_EQ(driver->host.interrupts(0), 0u);
}

// gaudi_mmu_clear_pgt_range(), _gaudi_init_tpc_mem(): physical addresses, and SRAM too.
TEST_F(Gaudi1Queue, TheDriversOwnJobsBypassTheMmu)
{
    driver->chip->write(4, 0x10000000 + 100 * MiB, 8, UINT64_MAX);
    driver->run_own(Packets().lin_dma(0, 0x10000000, 192 * MiB, linear | Packets::memset));
    EXPECT_EQ(driver->chip->read(4, 0x10000000 + 100 * MiB, 8), 0u);
    const auto sent = pattern(8192);
    ASSERT_TRUE(driver->host.dma_write(data, sent));
    driver->run_own(Packets().lin_dma(host_base + data, sram_base + 0x8000, 8192, linear));
    for (size_t i = 0; i < sent.size(); ++i)
        ASSERT_EQ(driver->chip->read(0, 0x8000 + i, 1), static_cast<uint64_t>(sent[i])) << i;
    EXPECT_EQ(driver->chip->journal().fault_count(), 0u) << driver->faults();
}

TEST_F(Gaudi1Queue, AUsersBytesGoDownAndUpThroughTheMmu)
{
    // Three pages whose memory lies backwards.
    for (uint64_t i = 0; i < 3; ++i)
        driver->map(va + i * 4096, host_base + data + (2 - i) * 4096);
    const auto sent = pattern(3 * 4096);
    for (uint64_t i = 0; i < 3; ++i)
        ASSERT_TRUE(driver->host.dma_write(data + (2 - i) * 4096, std::span(sent).subspan(i * 4096, 4096)));
    driver->run(Packets().lin_dma(va + 100, user_hbm + 5, 3 * 4096 - 100, linear));
    EXPECT_EQ(hbm(user_hbm + 5, 3 * 4096 - 100), std::vector(sent.begin() + 100, sent.end()));
    driver->run(Packets().lin_dma(user_hbm + 5, va, 4096, linear), FakeGaudi1Driver::dma1);
    EXPECT_EQ(host(data + 2 * 4096, 4096), std::vector(sent.begin() + 100, sent.begin() + 4196));
    EXPECT_EQ(driver->chip->journal().fault_count(), 0u) << driver->faults();
}

TEST_F(Gaudi1Queue, HugePages)
{
    constexpr uint64_t huge = host_va_base + 0x40000000000;
    static_assert(FakeHost::base % (2 * MiB) == 0);
    driver->map(huge, host_base + FakeHost::base, true);
    driver->chip->write(4, user_hbm, 8, 0x1122334455667788);
    const uint64_t offset = FakeGaudi1Driver::doorbell - FakeHost::base + 8;
    driver->run(Packets().lin_dma(user_hbm, huge + offset, 8, linear));
    EXPECT_EQ(driver->host.get<uint64_t>(FakeHost::base + offset), 0x1122334455667788u);
}

TEST_F(Gaudi1Queue, TheTargetsUpperByteIsNoAddress)
{
    driver->map(va, host_base + data);
    driver->host.put(data, uint64_t{42});
    driver->run(Packets().lin_dma(va, uint64_t{0xab} << 56 | user_hbm, 8, linear));
    EXPECT_EQ(driver->chip->read(4, user_hbm, 8), 42u);
}

TEST_F(Gaudi1Queue, AUserDoesNotReachTheHostPastTheMmu)
{
    expect_fault(Packets().lin_dma(host_base + data, user_hbm, 8, linear), event_dma0_core);
}

TEST_F(Gaudi1Queue, APageThatLeadsToNoHostMemoryIsAFault)
{
    driver->map(va, 0x30000000); // HBM's
    expect_fault(Packets().lin_dma(va, user_hbm, 8, linear), event_dma0_core);
    EXPECT_NE(driver->faults().find("no memory of the host"), std::string::npos) << driver->faults();
}

TEST_F(Gaudi1Queue, ACopyBeyondHbmIsAFault)
{
    driver->map(va, host_base + data);
    expect_fault(Packets().lin_dma(va, dram_size - 4, 8, linear), event_dma0_core);
}

// gaudi_print_and_get_mmu_error_info().
TEST_F(Gaudi1Queue, AMissingPageIsCaptured)
{
    expect_fault(Packets().lin_dma(va + 8, user_hbm, 8, linear), event_mmu_page_fault);
    EXPECT_EQ(driver->reg(0xc11034), 0x40000u | (va + 8) >> 32);
    EXPECT_EQ(driver->reg(0xc11038), static_cast<uint32_t>(va + 8));
}

TEST_F(Gaudi1Queue, TheFirstMissingPageIsKept)
{
    driver->send(Packets().lin_dma(va + 8, user_hbm, 8, linear));
    ASSERT_TRUE(driver->host.wait_interrupts(0, 1));
    driver->send(Packets().lin_dma(va + 0x10000, user_hbm, 8, linear), FakeGaudi1Driver::dma1);
    ASSERT_TRUE(driver->host.wait_interrupts(0, 2));
    EXPECT_EQ(driver->reg(0xc11038), static_cast<uint32_t>(va + 8));
}

class Gaudi1Refused : public Gaudi1Queue, public ::testing::WithParamInterface<uint32_t> {};

// Tensor DMA, transposition, data types, compression.
TEST_P(Gaudi1Refused, LinDmaIsRefusedUnlessPlain)
{
    expect_fault(Packets().lin_dma(user_hbm, user_hbm + 64, 8, GetParam()), event_dma0_qm);
    EXPECT_EQ(driver->reg(FakeGaudi1Driver::dma0 + qm::glbl_sts1), 8u);
    EXPECT_EQ(driver->reg(FakeGaudi1Driver::dma0 + qm::current_inst_hi), 0x09000000u | GetParam());
}
INSTANTIATE_TEST_SUITE_P(Bits, Gaudi1Refused,
                         ::testing::Values(0u, linear | 0x2, linear | 0x4, linear | 0x20, linear | 0x10000));

TEST_F(Gaudi1Queue, FencesAreNotBuilt)
{
    expect_fault(Packets().raw(0, 0x08000000), event_dma0_qm);
    // What the driver says of the command buffer: gaudi_handle_sw_config_stream_data().
    EXPECT_EQ(driver->reg(0x508174), static_cast<uint32_t>(host_base + FakeGaudi1Driver::free));
    EXPECT_EQ(driver->reg(0x508178), static_cast<uint32_t>(host_base >> 32));
    EXPECT_EQ(driver->reg(0x50817c), 8u + 8u + 2 * 16u) << "the fence, and what send() appends";
}

TEST_F(Gaudi1Queue, EachStreamNamesItsOwnCommandBuffer)
{
    driver->submit(Packets().raw(0, 0x0a000000), FakeGaudi1Driver::dma1, 3);
    ASSERT_TRUE(driver->chip->settle(FakeGaudi1Driver::bound));
    EXPECT_EQ(driver->reg(0x5281a4), static_cast<uint32_t>(host_base + FakeGaudi1Driver::free)); // CQ_PTR_LO_3
    EXPECT_EQ(driver->reg(0x528174), 0u);
}

// gaudi_memset_registers(): the driver clears sync objects; nobody else counts on them.
TEST_F(Gaudi1Queue, SyncObjectsAreClearedAndNothingElse)
{
    const uint64_t object = cfg_base + sm::blocks[0] + 40;
    driver->reg(sm::blocks[0] + 40, 7);
    driver->run_own(Packets().msg_long(object, 0));
    EXPECT_EQ(driver->reg(sm::blocks[0] + 40), 0u);
    EXPECT_EQ(driver->chip->journal().fault_count(), 0u) << driver->faults();
    driver->run(Packets().msg_short(1, 40, 0x80000001));
    EXPECT_EQ(driver->chip->journal().fault_count(), 1u) << "an increment";
}

// gaudi_scrub_device_dram().
TEST_F(Gaudi1Queue, ACoreCommitsWithoutAQueue)
{
    const uint32_t core = dma::core0 + 5 * dma::offset;
    driver->reg(core + dma::secure_props, mmu_bypass);
    driver->reg_pair(core + dma::src_lo, core + dma::src_hi, 0x01020304);
    driver->reg_pair(core + dma::dst_lo, core + dma::dst_hi, user_hbm);
    driver->reg(core + dma::dst_tsize, 8192);
    driver->reg(core + dma::commit, 0x18);
    ASSERT_TRUE(driver->chip->settle(FakeGaudi1Driver::bound));
    EXPECT_EQ(driver->reg(core + dma::sts0), 0u);
    EXPECT_EQ(driver->chip->read(4, user_hbm + 8188, 8), 0x01020304u);
    EXPECT_EQ(driver->host.interrupts(0), 0u);
}

TEST_F(Gaudi1Queue, ACoreIsBusyUntilItsJobIsDone)
{
    start_with("dma-stall@1");
    driver->send(Packets().lin_dma(user_hbm, user_hbm + 64, 64, linear));
    ASSERT_TRUE(driver->chip->dma().wait_jobs(1, FakeGaudi1Driver::bound));
    driver->reg(dma::core0 + dma::dst_tsize, 64);
    driver->reg(dma::core0 + dma::commit, 0x18); // behind the other one
    EXPECT_EQ(driver->reg(0x500190), 0x80000000u);
    driver->chip->reset();
    EXPECT_EQ(driver->reg(0x500190), 0u);
}

TEST_F(Gaudi1Queue, AResetForgetsTheTables)
{
    driver->map(va, host_base + data);
    driver->run(Packets().lin_dma(va, user_hbm, 8, linear));
    driver->chip->reset();
    driver->start(false);
    driver->send(Packets().lin_dma(va, user_hbm, 8, linear));
    ASSERT_TRUE(driver->chip->settle(FakeGaudi1Driver::bound));
    EXPECT_NE(driver->faults().find("ASID 1 has no tables"), std::string::npos) << driver->faults();
}

TEST_F(Gaudi1Queue, IsIdleWhenItIs)
{
    for (const auto &place : queue_manager_places()) {
        EXPECT_EQ(driver->reg(place.page + 0x38) & 0x3fff, 0x3fffu) << place.name;
        EXPECT_EQ(driver->reg(place.page + 0xc74) & 0x100, 0x100u) << place.name;
        if (place.core_event) {
            EXPECT_EQ(driver->reg(place.core_page + 0x190) >> 31, 0u) << place.name;
        }
    }
    EXPECT_EQ(driver->reg(0xe0691c + 7 * 0x40000), 0xeeu);
    EXPECT_EQ(driver->reg(0x60000 + 3 * 0x80000), 0x1180u);
}

TEST_F(Gaudi1Queue, FaultsOnOrderCountUsersJobsAlone)
{
    start_with("dma-stall@2");
    driver->run_own(Packets().lin_dma(0, user_hbm, 64, linear | Packets::memset));
    driver->run(Packets().lin_dma(user_hbm, user_hbm + 64, 64, linear));
    const auto before = driver->chip->dma().jobs();
    driver->send(Packets().lin_dma(user_hbm, user_hbm + 64, 64, linear));
    ASSERT_TRUE(driver->chip->dma().wait_jobs(before + 1, FakeGaudi1Driver::bound));
    EXPECT_NE(driver->reg(FakeGaudi1Driver::dma0 + qm::glbl_sts0) & 0x3fff, 0x3fffu);
    EXPECT_EQ(driver->cpu(18, 4).result, 4u);
    driver->chip->reset();
    driver->start();
    driver->run(Packets().lin_dma(user_hbm, user_hbm + 64, 64, linear));
}

TEST_F(Gaudi1Queue, ANullChipMovesNothing)
{
    Gaudi1::Settings settings;
    settings.null = true;
    start(std::move(settings));
    driver->chip->write(4, user_hbm, 8, 1);
    driver->run(Packets().lin_dma(user_hbm, user_hbm + 64, 64, linear));
    EXPECT_EQ(driver->chip->read(4, user_hbm + 64, 8), 0u);
}

} // namespace
} // namespace gaudiemu::chip
