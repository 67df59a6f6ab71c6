// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/journal.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"

#include <cstdint>
#include <format>

namespace gaudiemu::chip {

// The first Gaudi's sync managers, which are not built: without sync streams nobody counts on them. The driver clears
// them by messages at each open (gaudi.c gaudi_restore_sm_registers()); anything else from an engine is a fault.
class SyncObjects final : public RegisterBlock {
public:
    SyncObjects(RegisterFile &registers, Journal &journal) : registers_(registers), journal_(journal) {}

    [[nodiscard]] uint32_t read(uint32_t reg) override { return registers_.load(reg); }
    void write(uint32_t reg, uint32_t value, Origin) override
    {
        if (value)
            journal_.fault(std::format("sync manager: {:#x} for register {:#x} is not built", value, reg));
        registers_.store(reg, value);
    }

private:
    RegisterFile &registers_;
    Journal &journal_;
};

} // namespace gaudiemu::chip
