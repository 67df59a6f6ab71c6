// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/gaudi1registers.h"
#include "chip/interrupts.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"

#include <cstdint>

namespace gaudiemu::chip {

// The first Gaudi's PCIE_CORE: each bit that is written to MSI_REQ raises a vector. The driver has one, and lets each
// job end with such a write (gaudi.c gaudi_add_end_of_cb_packets()).
class MsiRequest final : public RegisterBlock {
public:
    MsiRequest(RegisterFile &registers, Interrupts &interrupts) : registers_(registers), interrupts_(interrupts) {}

    [[nodiscard]] uint32_t read(uint32_t reg) override { return registers_.load(reg); }
    void write(uint32_t reg, uint32_t value, Origin) override
    {
        if (reg != gaudi1::msi_request)
            return registers_.store(reg, value);
        for (unsigned vector = 0; vector < 32; ++vector)
            if (value >> vector & 1)
                interrupts_.raise(vector);
    }

private:
    RegisterFile &registers_;
    Interrupts &interrupts_;
};

} // namespace gaudiemu::chip
