// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fabric.h"
#include "chip/gaudi1mmu.h"

namespace gaudiemu::chip {

// The first Gaudi's: registers, SRAM and HBM are never translated. A user reaches the host through the MMU alone, by
// addresses above all others; who bypasses it finds the host's memory at host_base.
class Gaudi1Fabric final : public Fabric {
public:
    Gaudi1Fabric(RegisterFile &registers, const Hbm &hbm, HostBus &bus, const Gaudi1Mmu &mmu,
                 const RegisterRouter &router, Interrupts &interrupts)
        : Fabric(registers, hbm, bus, router, interrupts), mmu_(mmu)
    {}

    [[nodiscard]] std::expected<Place, AddressFault> resolve(const Initiator &who, uint64_t address,
                                                             uint64_t size) override;

private:
    const Gaudi1Mmu &mmu_;
};

} // namespace gaudiemu::chip
