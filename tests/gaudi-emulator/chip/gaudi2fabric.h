// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fabric.h"
#include "chip/gaudi2mmu.h"

namespace gaudiemu::chip {

// Registers and SRAM are never translated, HBM and the host are unless the initiator bypasses the MMUs.
class Gaudi2Fabric final : public Fabric {
public:
    Gaudi2Fabric(RegisterFile &registers, const Hbm &hbm, HostBus &bus, Gaudi2Mmu &mmu, const RegisterRouter &router,
                 Interrupts &interrupts)
        : Fabric(registers, hbm, bus, router, interrupts), mmu_(mmu)
    {}

    [[nodiscard]] std::expected<Place, AddressFault> resolve(const Initiator &who, uint64_t address,
                                                             uint64_t size) override;

private:
    [[nodiscard]] std::expected<Place, AddressFault> resolve_virtual_hbm(const Initiator &who, uint64_t address,
                                                                         uint64_t size);
    [[nodiscard]] std::expected<Place, AddressFault> resolve_host(const Initiator &who, uint64_t address,
                                                                  uint64_t size);

    Gaudi2Mmu &mmu_;
};

} // namespace gaudiemu::chip
