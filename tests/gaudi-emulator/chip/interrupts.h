// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hostbus.h"
#include "chip/journal.h"
#include "chip/registerblock.h"

#include <atomic>
#include <cstdint>

namespace gaudiemu::chip {

// MSI-X, by two doors: the doorbell block in the register space (PCIE_MSIX, value = vector), and a page of host memory
// that the driver names in the CPU-CP packet ENABLE_PCI_ACCESS (firmware_if.c hl_fw_send_pci_access_msg(), gaudi2.c
// gaudi2_late_init()): engines that think they write there raise the vector that they write.
class Interrupts final : public RegisterBlock {
public:
    Interrupts(HostBus &bus, Journal &journal) : bus_(bus), journal_(journal) {}

    void raise(unsigned vector);

    void set_virtual_doorbell(uint64_t bus_address) noexcept
    {
        doorbell_.store(bus_address, std::memory_order_release);
    }
    // True, and the vector raised: `bus_address` lies in the virtual doorbell's page.
    [[nodiscard]] bool ring(uint64_t bus_address, uint32_t value);

    [[nodiscard]] uint32_t read(uint32_t reg) override;
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    HostBus &bus_;
    Journal &journal_;
    std::atomic<uint64_t> doorbell_ = 0;
};

} // namespace gaudiemu::chip
