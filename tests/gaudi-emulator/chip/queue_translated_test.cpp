// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fakepagetables.h"
#include "chip/queuefixture.h"
#include "chip/scramble.h"

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

// A user's context: everything by virtual addresses.
class Translated : public QueueTest {
protected:
    static constexpr uint64_t va = 0xFFF0000012340000;
    static constexpr uint64_t huge_va = 0xFFF0800000200000;
    static constexpr uint64_t hbm_va = dram_base + dram_size + 3 * (768 * MiB);

    void SetUp() override
    {
        QueueTest::SetUp();
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
    expect_page_fault(mmu::hmmu0, event_hmmu0_page_fault, scramble(hbm_va + 1000));
}

TEST_F(Translated, PhysicalAddressesAreNoLongerTaken)
{
    tables->map_host(va, data);
    send_translated(Packets().lin_dma(va, dram_base + GiB, 64), 1);
    expect_page_fault(mmu::hmmu0, event_hmmu0_page_fault, scramble(dram_base + GiB));
}

TEST_F(Translated, TheVirtualDoorbellIsAPageOfTheContext)
{
    // gaudi2_map_virtual_msix_doorbell_memory()
    constexpr uint64_t doorbell_va = 0xFFF077FFFFFF0000;
    tables->map_host(doorbell_va, FakeDriver::doorbell);
    run_translated(Packets().msg_long(doorbell_va, 50));
    EXPECT_EQ(driver->host.interrupts(50), 1u);
}

} // namespace
} // namespace gaudiemu::chip
