// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/hostbus.h"
#include "chip/journal.h"

#include <atomic>
#include <cstdint>

namespace gaudiemu::chip {

// MSI or MSI-X. A Gaudi2 has two doors to it: a block in its register space (MsixDoorbell), and a page of host memory
// that the driver names in the CPU-CP packet ENABLE_PCI_ACCESS (firmware_if.c hl_fw_send_pci_access_msg(), gaudi2.c
// gaudi2_late_init()): engines that think they write there raise the vector that they write.
class Interrupts {
public:
    Interrupts(HostBus &bus, Journal &journal, unsigned vectors) : bus_(bus), journal_(journal), vectors_(vectors) {}

    void raise(unsigned vector);

    void set_virtual_doorbell(uint64_t bus_address) noexcept
    {
        doorbell_.store(bus_address, std::memory_order_release);
    }
    // True, and the vector raised: `bus_address` lies in the virtual doorbell's page.
    [[nodiscard]] bool ring(uint64_t bus_address, uint32_t value);

private:
    HostBus &bus_;
    Journal &journal_;
    const unsigned vectors_;
    std::atomic<uint64_t> doorbell_ = 0;
};

} // namespace gaudiemu::chip
