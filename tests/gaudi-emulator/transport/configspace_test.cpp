// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/configspace.h"

#include <gtest/gtest.h>

#include <linux/pci_regs.h>

namespace gaudiemu::test {
namespace {

constexpr uint64_t gib = 1 << 30;

ConfigSpaceInit identity(std::variant<MsiCapability, MsixCapability> interrupts)
{
    return {.vendor = 0x1DA3,
            .device = 0x1020,
            .revision = 3,
            .class_code = 0x120000,
            .subsystem_vendor = 0x1111,
            .subsystem = 0x2222,
            .interrupts = interrupts};
}

const std::vector<Bar> bars{{.index = 0, .size = 64 << 10, .prefetchable = false, .is64 = false, .mapped = {}},
                            {.index = 2, .size = 32 * gib, .prefetchable = true, .is64 = true, .mapped = {}}};

// Where a capability lies; 0: there is none.
size_t capability(const ConfigSpace &config, uint8_t id)
{
    size_t at = config.read(PCI_CAPABILITY_LIST) & 0xFF;
    while (at != 0 && (config.read(at) & 0xFF) != id)
        at = config.read(at) >> 8 & 0xFF;
    return at;
}

TEST(ConfigSpaceTest, SaysWhatItIs)
{
    const ConfigSpace config(identity(MsiCapability{.vectors = 1}), bars);
    EXPECT_EQ(config.read(PCI_VENDOR_ID), 0x10201DA3U);
    EXPECT_EQ(config.read(PCI_CLASS_REVISION), 0x12000003U);
    EXPECT_EQ(config.read(PCI_COMMAND), uint32_t{PCI_STATUS_CAP_LIST} << 16);
    EXPECT_EQ(config.read(PCI_CACHE_LINE_SIZE), 0U); // header type 0, one function
    EXPECT_EQ(config.read(PCI_SUBSYSTEM_VENDOR_ID), 0x22221111U);
    EXPECT_EQ(config.read(PCI_INTERRUPT_LINE), 0U); // no pin
    EXPECT_EQ(config.read(0x100), 0U);              // no extended capability
}

// A guest writes all ones to learn a BAR's size.
TEST(ConfigSpaceTest, SizesBars)
{
    ConfigSpace config(identity(MsiCapability{}), bars);
    for (size_t offset = PCI_BASE_ADDRESS_0; offset <= PCI_BASE_ADDRESS_5; offset += 4)
        EXPECT_FALSE(config.write(offset, ~0U));
    EXPECT_EQ(config.read(PCI_BASE_ADDRESS_0), 0xFFFF0000U);
    EXPECT_EQ(config.read(PCI_BASE_ADDRESS_1), 0U);
    EXPECT_EQ(config.read(PCI_BASE_ADDRESS_2), 0xCU); // 64 bits, prefetchable; 32 GiB have no bit in the lower half
    EXPECT_EQ(config.read(PCI_BASE_ADDRESS_3), 0xFFFFFFF8U);
    EXPECT_EQ(config.read(PCI_BASE_ADDRESS_4), 0U);
    EXPECT_EQ(config.read(PCI_ROM_ADDRESS), 0U);
}

TEST(ConfigSpaceTest, IsAnExpressEndpoint)
{
    ConfigSpace config(identity(MsiCapability{}), bars);
    const auto at = capability(config, PCI_CAP_ID_EXP);
    ASSERT_NE(at, 0U);
    const auto flags = config.read(at) >> 16;
    EXPECT_EQ(flags & PCI_EXP_FLAGS_VERS, 2U);
    EXPECT_EQ((flags & PCI_EXP_FLAGS_TYPE) >> 4, uint32_t{PCI_EXP_TYPE_ENDPOINT});
    EXPECT_NE(config.read(at + PCI_EXP_DEVCAP) & PCI_EXP_DEVCAP_FLR, 0U);
    EXPECT_EQ(config.read(at + PCI_EXP_LNKCTL) >> 16 & PCI_EXP_LNKSTA_NLW, 16U << PCI_EXP_LNKSTA_NLW_SHIFT);

    EXPECT_FALSE(config.write(at + PCI_EXP_DEVCTL, 0x2830));
    EXPECT_EQ(config.read(at + PCI_EXP_DEVCTL), 0x2830U);
    EXPECT_TRUE(config.write(at + PCI_EXP_DEVCTL, 0x2830 | PCI_EXP_DEVCTL_BCR_FLR));
    EXPECT_EQ(config.read(at + PCI_EXP_DEVCTL), 0x2830U); // the bit reads as zero
}

TEST(ConfigSpaceTest, HasTheInterruptsThatItWasGiven)
{
    ConfigSpace msi(identity(MsiCapability{.vectors = 8}), bars);
    const auto at = capability(msi, PCI_CAP_ID_MSI);
    ASSERT_NE(at, 0U);
    EXPECT_EQ(capability(msi, PCI_CAP_ID_MSIX), 0U);
    EXPECT_EQ(msi.read(at) >> 16, uint32_t{PCI_MSI_FLAGS_64BIT | 3 << 1});
    EXPECT_FALSE(msi.write(at, ~0U));
    EXPECT_EQ(msi.read(at) >> 16, uint32_t{PCI_MSI_FLAGS_64BIT | 3 << 1 | PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE});
    EXPECT_FALSE(msi.write(at + PCI_MSI_ADDRESS_LO, ~0U));
    EXPECT_EQ(msi.read(at + PCI_MSI_ADDRESS_LO), ~3U);

    const MsixCapability given{
        .vectors = 128, .table_bar = 2, .table_offset = 0x1000, .pba_bar = 4, .pba_offset = 0x2000};
    const ConfigSpace msix(identity(given), bars);
    const auto there = capability(msix, PCI_CAP_ID_MSIX);
    ASSERT_NE(there, 0U);
    EXPECT_EQ(capability(msix, PCI_CAP_ID_MSI), 0U);
    EXPECT_EQ(msix.read(there) >> 16, 127U);
    EXPECT_EQ(msix.read(there + PCI_MSIX_TABLE), 0x1002U);
    EXPECT_EQ(msix.read(there + PCI_MSIX_PBA), 0x2004U);
}

TEST(ConfigSpaceTest, KeepsWhatIsNotWritable)
{
    ConfigSpace config(identity(MsixCapability{.vectors = 4}), bars);
    for (size_t offset = 0; offset < ConfigSpace::size; offset += 4)
        (void)config.write(offset, ~0U);
    EXPECT_EQ(config.read(PCI_VENDOR_ID), 0x10201DA3U);
    EXPECT_EQ(config.read(PCI_CLASS_REVISION), 0x12000003U);
    EXPECT_EQ(config.read(PCI_CAPABILITY_LIST), 0x40U);
    EXPECT_EQ(config.read(ConfigSpace::size - 4), 0U);
}

TEST(ConfigSpaceTest, KnowsWhoIsBusMasterUntilAReset)
{
    ConfigSpace config(identity(MsiCapability{}), bars);
    EXPECT_FALSE(config.bus_master());
    (void)config.write(PCI_COMMAND, PCI_COMMAND_MEMORY);
    EXPECT_FALSE(config.bus_master());
    (void)config.write(PCI_COMMAND, PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER);
    EXPECT_TRUE(config.bus_master());
    (void)config.write(PCI_BASE_ADDRESS_0, 0xE0000000);
    config.reset();
    EXPECT_FALSE(config.bus_master());
    EXPECT_EQ(config.read(PCI_BASE_ADDRESS_0), 0U);
}

} // namespace
} // namespace gaudiemu::test
