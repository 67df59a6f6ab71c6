// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fakedriver.h"
#include "chip/fakepagetables.h"

#include <algorithm>

namespace gaudiemu::chip {
namespace {

using namespace gaudi2;

TEST(Gaudi2, IsWhatTheDriverLooksFor)
{
    const FakeDriver driver;
    const auto identity = driver.chip->identity();
    EXPECT_EQ(identity.vendor, 0x1da3);
    EXPECT_EQ(identity.device, 0x1020);
    EXPECT_EQ(identity.revision, 1);
    const auto &msix = std::get<MsixCapability>(identity.interrupts);
    EXPECT_EQ(msix.vectors, 128u);
    const auto bars = driver.chip->bars();
    ASSERT_EQ(bars.size(), 3u);
    EXPECT_EQ(bars[0].size, 256 * MiB);
    EXPECT_EQ(bars[1].size, 16 * KiB);
    EXPECT_EQ(bars[1].memfd, -1);
    EXPECT_GE(bars[2].size, 96 * GiB);
}

TEST(Gaudi2, TrapsWhatActsAndMapsTheRest)
{
    const FakeDriver driver;
    const auto &areas = driver.chip->bars()[0].mapped;
    const auto mapped = [&](uint32_t reg) {
        return std::ranges::any_of(areas, [&](const Area &area) {
            return cfg_in_bar + reg >= area.offset && cfg_in_bar + reg < area.offset + area.size;
        });
    };
    for (const auto &place : queue_manager_places())
        EXPECT_FALSE(mapped(place.page)) << place.name;
    for (const uint32_t page :
         {psoc::page, cpuif::page, stlb::pmmu, stlb::hmmu0 + 3 * dcore_offset + 0x30000, dma::kdma, timestamp::page,
          hbw_flush, vdec::dcore0 + 0x10000, vdec::pcie, msix_doorbell_page})
        EXPECT_FALSE(mapped(page)) << std::hex << page;
    for (const auto &[reg, value] : idle_constant_registers())
        EXPECT_TRUE(mapped(reg)) << std::hex << reg;
    EXPECT_TRUE(mapped(sm::base));
    uint64_t end = 0;
    for (const auto &area : areas) {
        EXPECT_GE(area.offset, end);
        EXPECT_EQ(area.offset % page_size, 0u);
        EXPECT_EQ(area.size % page_size, 0u);
        end = area.offset + area.size;
    }
    EXPECT_LE(end, cfg_bar_size);
}

TEST(Gaudi2, AnswersAccessesOfEverySize)
{
    const FakeDriver driver;
    auto &chip = *driver.chip;
    chip.write(0, sram_in_bar + 8, 8, 0x1122334455667788);
    EXPECT_EQ(chip.read(0, sram_in_bar + 8, 1), 0x88u);
    EXPECT_EQ(chip.read(0, sram_in_bar + 12, 4), 0x11223344u);
    chip.write(0, cfg_in_bar + cpuif::eq_base_lo, 8, 0x1122334455667788);
    EXPECT_EQ(chip.read(0, cfg_in_bar + cpuif::eq_base_hi, 4), 0x11223344u);
    EXPECT_EQ(chip.read(0, cfg_in_bar + cpuif::eq_base_lo, 8), 0x1122334455667788u);
    EXPECT_EQ(chip.read(0, cfg_in_bar + cpuif::eq_base_lo + 2, 2), 0x5566u);
    EXPECT_EQ(chip.journal().fault_count(), 0u);
    chip.write(0, cfg_in_bar + cpuif::eq_base_lo, 2, 0);
    EXPECT_EQ(chip.journal().fault_count(), 1u) << "half a register written";
    EXPECT_EQ(chip.read(4, dram_size, 4), UINT64_MAX) << "beyond HBM";
    EXPECT_EQ(chip.read(2, 0, 4), UINT64_MAX);
}

TEST(Gaudi2, DecodersStopAtOnce)
{
    FakeDriver driver;
    driver.reg(vdec::dcore0 + 3 * dcore_offset + vdec::instance_offset + vdec::graceful, 1);
    EXPECT_EQ(driver.reg(vdec::dcore0 + 3 * dcore_offset + vdec::instance_offset + vdec::graceful), 0x11u);
    driver.reg(vdec::pcie + vdec::graceful, 1);
    EXPECT_EQ(driver.reg(vdec::pcie + vdec::graceful) & 0x10, 0x10u);
}

TEST(Gaudi2, TimeGoesOn)
{
    using Ticks = std::chrono::duration<int64_t, std::ratio<1, 25'000'000>>;
    const FakeDriver driver;
    const auto now = [] {
        return static_cast<uint32_t>(
            std::chrono::floor<Ticks>(std::chrono::steady_clock::now().time_since_epoch()).count());
    };
    const uint32_t first = now();
    for (int i = 0; i < 1000; ++i) {
        const uint32_t before = now() - first;
        const uint32_t time = driver.reg(timestamp::value_lo) - first;
        EXPECT_GE(time, before);
        EXPECT_LE(time, now() - first);
    }
}

TEST(Gaudi2, CountsFlushes)
{
    const FakeDriver driver;
    const auto before = driver.chip->pcie_wrap().flushes();
    (void)driver.reg(hbw_flush);
    EXPECT_EQ(driver.chip->pcie_wrap().flushes(), before + 1);
}

TEST(Gaudi2, MmuInvalidationsEndAsTheDriverPolls)
{
    FakeDriver driver;
    driver.reg(stlb::pmmu + stlb::inv_all_start, 1);
    EXPECT_EQ(driver.reg(stlb::pmmu + stlb::inv_all_start), 0u);
    driver.reg(stlb::hmmu0 + stlb::range_inv, 7);
    EXPECT_EQ(driver.reg(stlb::hmmu0 + stlb::range_inv), 0u);
    driver.reg(stlb::pmmu + stlb::mem_cache_inv, 1);
    EXPECT_EQ(driver.reg(stlb::pmmu + stlb::mem_cache_inv_status), 1u);
    EXPECT_EQ(driver.reg(stlb::pmmu + stlb::sram_init), 0u);
}

class Resets : public ::testing::Test {
protected:
    void SetUp() override
    {
        driver.boot();
        driver.start_cpu_queue();
        driver.reg(cpuif::hw_state, 1);
        driver.chip->write(4, GiB, 8, 0x1234);
        driver.reg(tpc_status, 0);
        driver.reg(sm::base + 200 * 4, 7);
        driver.reg(sm::base + sm::cq_pi, 9);
        driver.reg(pdma0 + qm::pq_size, 12);
        driver.reg(pdma0 + qm::glbl_err_sts, 8);
    }
    void expect_engines_reset() const
    {
        EXPECT_EQ(driver.reg(tpc_status), 0xeau) << "a constant in a plain page";
        EXPECT_EQ(driver.reg(sm::base + 200 * 4), 0u);
        EXPECT_EQ(driver.reg(sm::base + sm::cq_pi), 0u);
        EXPECT_EQ(driver.reg(pdma0 + qm::pq_size), 0u);
        EXPECT_EQ(driver.reg(pdma0 + qm::glbl_err_sts), 0u);
    }
    static constexpr uint32_t tpc_status = 0x400bd84;
    static constexpr uint32_t pdma0 = 0x4c8a000;

    FakeDriver driver;
};

TEST_F(Resets, ComputeResetKeepsFirmwareAndMemory)
{
    EXPECT_EQ(driver.cpu(64).code, 0u);
    expect_engines_reset();
    EXPECT_EQ(driver.reg(psoc::boot_status), 3u);
    EXPECT_EQ(driver.reg(cpuif::hw_state), 1u);
    EXPECT_EQ(driver.chip->read(4, GiB, 8), 0x1234u);
    EXPECT_EQ(driver.cpu(18, 3).result, 3u) << "the CPU queue goes on";
}

TEST_F(Resets, HardResetGoesBackToPreboot)
{
    driver.reg(psoc::halt_irq, irq_halt_machine);
    ASSERT_TRUE(driver.poll_reg(psoc::boot_status, 16));
    expect_engines_reset();
    EXPECT_EQ(driver.reg(cpuif::hw_state), 0u);
    EXPECT_EQ(driver.chip->read(4, GiB, 8), 0u);
    driver.boot();
    driver.start_cpu_queue();
    EXPECT_EQ(driver.cpu(18, 3).result, 3u);
}

TEST_F(Resets, TheFunctionsResetIsAHardOneAndIdempotent)
{
    driver.chip->reset();
    driver.chip->reset();
    EXPECT_EQ(driver.reg(psoc::boot_status), 16u);
    expect_engines_reset();
    driver.boot();
}

} // namespace
} // namespace gaudiemu::chip
