// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/fakegaudi1driver.h"

#include <algorithm>
#include <chrono>

namespace gaudiemu::chip {
namespace {

using namespace gaudi1;

TEST(Gaudi1, IsWhatTheDriverLooksFor)
{
    const FakeGaudi1Driver driver;
    const auto identity = driver.chip->identity();
    EXPECT_EQ(identity.vendor, 0x1da3);
    EXPECT_EQ(identity.device, 0x1000);
    EXPECT_EQ(std::get<MsiCapability>(identity.interrupts).vectors, 1u);
    const auto bars = driver.chip->bars();
    ASSERT_EQ(bars.size(), 3u);
    EXPECT_EQ(bars[0].size, 64 * MiB);
    EXPECT_EQ(bars[1].index, 2u);
    EXPECT_EQ(bars[1].size, 128 * MiB);
    EXPECT_EQ(bars[2].index, 4u);
    EXPECT_GE(bars[2].size, 32 * GiB);
}

TEST(Gaudi1, TrapsWhatActsAndMapsTheRest)
{
    const FakeGaudi1Driver driver;
    const auto &areas = driver.chip->bars()[1].mapped;
    const auto mapped = [&](uint32_t reg) {
        return std::ranges::any_of(areas, [&](const Area &area) {
            return cfg_in_bar + reg >= area.offset && cfg_in_bar + reg < area.offset + area.size;
        });
    };
    for (const auto &place : queue_manager_places()) {
        EXPECT_FALSE(mapped(place.page)) << place.name;
        if (place.core_event) {
            EXPECT_FALSE(mapped(place.core_page)) << place.name;
        }
    }
    for (const uint32_t page : {psoc::page, cpuif::page, stlb::page, timestamp_page, pcie_wrap_page, pcie_core_page})
        EXPECT_FALSE(mapped(page)) << std::hex << page;
    for (const auto &[reg, value] : idle_constant_registers())
        EXPECT_TRUE(mapped(reg)) << std::hex << reg;
    for (const uint32_t block : sm::blocks)
        EXPECT_TRUE(mapped(block));
    EXPECT_TRUE(mapped(mmu::page));
}

TEST(Gaudi1, SramAndHbmAreTheirBars)
{
    const FakeGaudi1Driver driver;
    auto &chip = *driver.chip;
    chip.write(0, 8, 8, 0x1122334455667788);
    EXPECT_EQ(chip.read(0, 12, 4), 0x11223344u);
    EXPECT_EQ(chip.read(2, 8, 8), 0u) << "the SPI flash";
    chip.write(4, dram_size - 8, 8, 7);
    EXPECT_EQ(chip.read(4, dram_size - 8, 8), 7u);
    EXPECT_EQ(chip.read(4, dram_size, 4), UINT64_MAX);
}

// hl_pci_elbi_read() of CPU_BOOT_DEV_STS0 in gaudi_early_init().
TEST(Gaudi1Elbi, ReadsARegister)
{
    const FakeGaudi1Driver driver;
    auto &chip = *driver.chip;
    EXPECT_TRUE(chip.write_config(0xffc, 0));
    EXPECT_TRUE(chip.write_config(0xff0, 0xFCC4B150));
    EXPECT_TRUE(chip.write_config(0xff8, 0));
    EXPECT_EQ(chip.read_config(0xffc), 0x80000000u);
    EXPECT_EQ(chip.read_config(0xff4), device_status0);
    EXPECT_EQ(chip.read_config(0x40), std::nullopt) << "config space of its own";
    EXPECT_FALSE(chip.write_config(0x40, 0));
    EXPECT_EQ(chip.journal().fault_count(), 0u);
}

TEST(Gaudi1Elbi, RefusesWhatTheFirmwareDoes)
{
    const FakeGaudi1Driver driver;
    auto &chip = *driver.chip;
    EXPECT_TRUE(chip.write_config(0xff0, 0xFCC4B150));
    EXPECT_TRUE(chip.write_config(0xff8, 0x80000000));
    EXPECT_EQ(chip.read_config(0xffc), 0x40000000u) << "a write";
    EXPECT_TRUE(chip.write_config(0xff0, 0x1000));
    EXPECT_TRUE(chip.write_config(0xff8, 0));
    EXPECT_EQ(chip.read_config(0xffc), 0x40000000u) << "no register";
    EXPECT_EQ(chip.journal().fault_count(), 2u);
}

TEST(Gaudi1Boot, WalksFromPrebootToLinux)
{
    FakeGaudi1Driver driver;
    EXPECT_EQ(driver.reg(psoc::hw_state), 0u);
    driver.boot();
    EXPECT_EQ(driver.chip->journal().fault_count(), 0u) << driver.faults();
}

TEST(Gaudi1Boot, TheDescriptorNamesItsOwnRegisters)
{
    FakeGaudi1Driver driver;
    const auto descriptor = driver.load(std::vector<std::byte>(64, std::byte{1}));
    const auto word = [&](size_t index) {
        uint32_t value = 0;
        std::memcpy(&value, descriptor.data() + 16 + index * 4, sizeof value);
        return value;
    };
    EXPECT_EQ(word(0), 0x442204u);  // CPU_IF_PQ_BASE_ADDR_LOW
    EXPECT_EQ(word(16), 0xc4b300u); // PSOC_GLOBAL_CONF_CPU_BOOT_STATUS
    EXPECT_EQ(word(23), 0xc4b100u); // HW_STATE
    const std::string version(reinterpret_cast<const char *>(descriptor.data()) + 376);
    EXPECT_EQ(version.find("Preboot version hl-gaudi-1.10.0-fw-42.0.1-sec-3 "), 0u) << version;
}

class Gaudi1Firmware : public ::testing::Test {
protected:
    void SetUp() override { driver.start(); }

    FakeGaudi1Driver driver;
};

TEST_F(Gaudi1Firmware, AnswersInPlace)
{
    EXPECT_EQ(driver.cpu(18, 0xFE8CE7A5).result, 0xFE8CE7A5u);
    EXPECT_EQ(driver.cpu(30, 0).result, 0x0019001900190019u) << "gaudi_fetch_psoc_frequency()";
}

// gaudi_init_cpu_queues() asks with PQ_INIT_STATUS_READY_FOR_CP_SINGLE_MSI.
TEST_F(Gaudi1Firmware, TakesAQueueForOneMsi)
{
    const auto asked_with = [&](uint32_t value) {
        driver.reg(0x442200, 0);
        driver.reg(0x442230, value);
        driver.reg(driver.psoc(scratchpad::pi_update_irq), 484);
        EXPECT_TRUE(driver.chip->settle(FakeGaudi1Driver::bound));
        return driver.reg(0x442230);
    };
    EXPECT_EQ(asked_with(3), 2u);
    EXPECT_EQ(asked_with(1), 1u) << "a Gaudi2's";
}

TEST_F(Gaudi1Firmware, InfoIsOfAnHl205)
{
    ASSERT_TRUE(driver.cpu(14, host_base + FakeGaudi1Driver::info, 1760).answered);
    const auto text = [&](uint64_t at) {
        return std::string(driver.host.get<std::array<char, 128>>(FakeGaudi1Driver::info + at).data());
    };
    EXPECT_EQ(text(1568), "HL205");
    EXPECT_EQ(text(1428).find("emulated-gaudi"), 0u);
    EXPECT_EQ(driver.host.get<uint32_t>(FakeGaudi1Driver::info + 1156), 1u);
    EXPECT_EQ(driver.host.get<uint64_t>(FakeGaudi1Driver::info + 1560), 32 * GiB);
}

TEST_F(Gaudi1Firmware, KnowsNoComputeReset)
{
    EXPECT_EQ(driver.cpu(64).code, 3u);
    EXPECT_EQ(driver.chip->journal().fault_count(), 1u);
}

// Forty bits, of which the highest means the host.
TEST_F(Gaudi1Firmware, SeesTheHostAboveBit39Alone)
{
    EXPECT_EQ(driver.cpu(14, FakeGaudi1Driver::info, 1760).code, 2u);
    EXPECT_EQ(driver.cpu(14, 2 * host_base + FakeGaudi1Driver::info, 1760).code, 2u);
    EXPECT_EQ(driver.cpu(14, host_base + FakeGaudi1Driver::info, 1760).code, 0u);
}

TEST_F(Gaudi1Firmware, TheExtensionRegisterSaysWhichPartOfTheHost)
{
    const auto fetched_from = [&](uint32_t extension) {
        driver.reg(cpuif::cpu_msb_addr, extension);
        driver.cpu(18, 1, 0, false);
        EXPECT_TRUE(driver.chip->settle(FakeGaudi1Driver::bound));
        return driver.host.last_refused();
    };
    EXPECT_EQ(fetched_from(3) >> 39, 2u);
    EXPECT_EQ(fetched_from(5) >> 39, 4u);
}

TEST_F(Gaudi1Firmware, EventsRaiseTheOnlyVector)
{
    driver.send(Packets().raw(0, 0x1f000000));
    ASSERT_TRUE(driver.host.wait_interrupts(0, 1));
    EXPECT_EQ(driver.host.get<uint32_t>(FakeGaudi1Driver::event_queue + 4) >> 16, 0x8000u | event_dma0_qm);
    EXPECT_EQ(driver.reg(FakeGaudi1Driver::dma0 + qm::glbl_sts1), 8u) << "undefined opcode";
}

TEST_F(Gaudi1Firmware, HardResetGoesBackToPreboot)
{
    driver.reg(psoc::hw_state, 1);
    driver.chip->write(4, GiB, 8, 0x1234);
    driver.chip->write(0, 0x100, 8, 0x1234);
    const auto &[constant, value] = idle_constant_registers().front();
    driver.reg(constant, 0);
    driver.reg(driver.psoc(scratchpad::halt_irq), irq_halt_machine);
    ASSERT_TRUE(driver.poll_reg(driver.psoc(scratchpad::boot_status), 16));
    EXPECT_EQ(driver.reg(psoc::btm_fsm) & 0xf, 0u);
    EXPECT_EQ(driver.reg(psoc::hw_state), 0u);
    EXPECT_EQ(driver.chip->read(4, GiB, 8), 0u);
    EXPECT_EQ(driver.chip->read(0, 0x100, 8), 0u);
    EXPECT_EQ(driver.reg(constant), value);
    EXPECT_EQ(driver.reg(FakeGaudi1Driver::dma0 + qm::pq_size), 0u);
    driver.start();
    EXPECT_EQ(driver.cpu(18, 3).result, 3u);
}

TEST_F(Gaudi1Firmware, CountsFlushes)
{
    const auto before = driver.chip->pcie_wrap().flushes();
    (void)driver.reg(0xc01208);
    EXPECT_EQ(driver.chip->pcie_wrap().flushes(), before + 1);
}

TEST_F(Gaudi1Firmware, MmuInvalidationsEndAsTheDriverPolls)
{
    driver.reg(0xc1203c, 3);
    driver.reg(0xc1203c, 2);
    EXPECT_EQ(driver.reg(0xc1203c), 0u);
}

} // namespace
} // namespace gaudiemu::chip
