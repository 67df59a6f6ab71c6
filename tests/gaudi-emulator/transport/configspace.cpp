// SPDX-License-Identifier: LGPL-2.1-or-later
#include "transport/configspace.h"

#include <linux/pci_regs.h>

#include <bit>

namespace gaudiemu {
namespace {

// Where the capabilities lie: behind the header, the PCIe capability first (0x3C bytes in version 2).
constexpr size_t express_at = PCI_STD_HEADER_SIZEOF;
constexpr size_t interrupts_at = 0x80;

constexpr uint32_t link_16_lanes = 16U << 4; // PCI_EXP_LNKCAP_MLW

} // namespace

ConfigSpace::ConfigSpace(const ConfigSpaceInit &init, std::span<const Bar> bars)
{
    lay_out_header(init, bars);
    lay_out_express(express_at, interrupts_at);
    std::visit([this](const auto &capability) { lay_out(capability, interrupts_at); }, init.interrupts);
    reset();
}

void ConfigSpace::reset()
{
    words_ = initial_;
    bus_master_ = false;
}

uint32_t ConfigSpace::read(size_t offset) const
{
    return words_[offset / sizeof(uint32_t)];
}

bool ConfigSpace::write(size_t offset, uint32_t value)
{
    const auto index = offset / sizeof(uint32_t);
    words_[index] = (words_[index] & ~writable_[index]) | (value & writable_[index]);
    if (offset == PCI_COMMAND)
        bus_master_ = (words_[index] & PCI_COMMAND_MASTER) != 0;
    // The bit reads as zero always (PCI Express base specification 7.5.3.4): it is not among the writable ones.
    return offset == express_at + PCI_EXP_DEVCTL && (value & PCI_EXP_DEVCTL_BCR_FLR) != 0;
}

void ConfigSpace::put(size_t offset, uint32_t value, uint32_t writable)
{
    initial_[offset / sizeof(uint32_t)] = value;
    writable_[offset / sizeof(uint32_t)] = writable;
}

void ConfigSpace::put16(size_t offset, uint16_t value, uint16_t writable)
{
    const auto shift = (offset % sizeof(uint32_t)) * 8;
    initial_[offset / sizeof(uint32_t)] |= uint32_t{value} << shift;
    writable_[offset / sizeof(uint32_t)] |= uint32_t{writable} << shift;
}

void ConfigSpace::lay_out_header(const ConfigSpaceInit &init, std::span<const Bar> bars)
{
    put16(PCI_VENDOR_ID, init.vendor);
    put16(PCI_DEVICE_ID, init.device);
    put16(PCI_COMMAND, 0,
          PCI_COMMAND_MEMORY | PCI_COMMAND_MASTER | PCI_COMMAND_PARITY | PCI_COMMAND_SERR | PCI_COMMAND_INTX_DISABLE);
    put16(PCI_STATUS, PCI_STATUS_CAP_LIST);
    put(PCI_CLASS_REVISION, init.class_code << 8 | init.revision);
    put16(PCI_CACHE_LINE_SIZE, 0, 0xFFFF);
    for (const auto &bar : bars)
        lay_out_bar(bar);
    put16(PCI_SUBSYSTEM_VENDOR_ID, init.subsystem_vendor);
    put16(PCI_SUBSYSTEM_ID, init.subsystem);
    put(PCI_CAPABILITY_LIST, express_at);
    put16(PCI_INTERRUPT_LINE, 0, 0xFF); // and no interrupt pin: there is no INTx
}

void ConfigSpace::lay_out_bar(const Bar &bar)
{
    const size_t at = PCI_BASE_ADDRESS_0 + bar.index * sizeof(uint32_t);
    const uint64_t address = ~(bar.size - 1);
    uint32_t type = PCI_BASE_ADDRESS_SPACE_MEMORY;
    if (bar.prefetchable)
        type |= PCI_BASE_ADDRESS_MEM_PREFETCH;
    if (bar.is64) {
        type |= PCI_BASE_ADDRESS_MEM_TYPE_64;
        put(at + sizeof(uint32_t), 0, static_cast<uint32_t>(address >> 32));
    }
    put(at, type, static_cast<uint32_t>(address) & ~0xFU);
}

void ConfigSpace::lay_out_express(size_t at, size_t next)
{
    put(at, PCI_CAP_ID_EXP | static_cast<uint32_t>(next << 8) | (2U | PCI_EXP_TYPE_ENDPOINT << 4) << 16);
    put(at + PCI_EXP_DEVCAP, PCI_EXP_DEVCAP_EXT_TAG | PCI_EXP_DEVCAP_RBER | PCI_EXP_DEVCAP_FLR | 1U /* 256 bytes */);
    put16(at + PCI_EXP_DEVCTL, PCI_EXP_DEVCTL_RELAX_EN | PCI_EXP_DEVCTL_READRQ_512B, 0x7FFF);
    put(at + PCI_EXP_LNKCAP, PCI_EXP_LNKCAP_SLS_16_0GB | link_16_lanes);
    put16(at + PCI_EXP_LNKCTL, 0, PCI_EXP_LNKCTL_ASPMC | PCI_EXP_LNKCTL_RCB | PCI_EXP_LNKCTL_CCC);
    put16(at + PCI_EXP_LNKSTA, PCI_EXP_LNKSTA_CLS_16_0GB | link_16_lanes);
    put16(at + PCI_EXP_DEVCTL2, 0, 0x1F); // completion timeout
    put(at + PCI_EXP_LNKCAP2,
        PCI_EXP_LNKCAP2_SLS_2_5GB | PCI_EXP_LNKCAP2_SLS_5_0GB | PCI_EXP_LNKCAP2_SLS_8_0GB | PCI_EXP_LNKCAP2_SLS_16_0GB);
    put16(at + PCI_EXP_LNKCTL2, PCI_EXP_LNKCTL2_TLS_16_0GT, PCI_EXP_LNKCTL2_TLS);
}

void ConfigSpace::lay_out(const MsiCapability &msi, size_t at)
{
    const auto log2_vectors = static_cast<uint16_t>(std::bit_width(msi.vectors) - 1);
    put16(at, PCI_CAP_ID_MSI);
    put16(at + PCI_MSI_FLAGS, static_cast<uint16_t>(PCI_MSI_FLAGS_64BIT | log2_vectors << 1),
          PCI_MSI_FLAGS_ENABLE | PCI_MSI_FLAGS_QSIZE);
    put(at + PCI_MSI_ADDRESS_LO, 0, ~3U);
    put(at + PCI_MSI_ADDRESS_HI, 0, ~0U);
    put16(at + PCI_MSI_DATA_64, 0, 0xFFFF);
}

void ConfigSpace::lay_out(const MsixCapability &msix, size_t at)
{
    put16(at, PCI_CAP_ID_MSIX);
    put16(at + PCI_MSIX_FLAGS, static_cast<uint16_t>(msix.vectors - 1), PCI_MSIX_FLAGS_ENABLE | PCI_MSIX_FLAGS_MASKALL);
    put(at + PCI_MSIX_TABLE, msix.table_offset | msix.table_bar);
    put(at + PCI_MSIX_PBA, msix.pba_offset | msix.pba_bar);
}

} // namespace gaudiemu
