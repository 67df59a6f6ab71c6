// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/interrupts.h"
#include "chip/registerblock.h"

#include <cstdint>

namespace gaudiemu::chip {

// The Gaudi2's PCIE_MSIX: what is written is the vector that is raised.
class MsixDoorbell final : public RegisterBlock {
public:
    explicit MsixDoorbell(Interrupts &interrupts) : interrupts_(interrupts) {}

    [[nodiscard]] uint32_t read(uint32_t) override { return 0; }
    void write(uint32_t, uint32_t value, Origin) override { interrupts_.raise(value); }

private:
    Interrupts &interrupts_;
};

} // namespace gaudiemu::chip
