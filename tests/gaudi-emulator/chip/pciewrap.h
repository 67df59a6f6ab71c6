// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/registerblock.h"
#include "chip/registerfile.h"

#include <atomic>
#include <cstdint>

namespace gaudiemu::chip {

// The PCIe wrapper: a read of one of its registers pushes earlier inbound writes out (prop->hbw_flush_reg,
// common/command_submission.c, HL_CS_FLAGS_FLUSH_PCI_HBW_WRITES). Nothing is ever behind here; the reads are counted,
// so that a test can see the flush.
class PcieWrap final : public RegisterBlock {
public:
    PcieWrap(RegisterFile &registers, uint32_t flush_register) : registers_(registers), flush_(flush_register) {}

    [[nodiscard]] uint64_t flushes() const noexcept { return flushes_.load(std::memory_order_relaxed); }

    [[nodiscard]] uint32_t read(uint32_t reg) override
    {
        if (reg == flush_)
            flushes_.fetch_add(1, std::memory_order_relaxed);
        return registers_.load(reg);
    }
    void write(uint32_t reg, uint32_t value, Origin) override { registers_.store(reg, value); }

private:
    RegisterFile &registers_;
    const uint32_t flush_;
    std::atomic<uint64_t> flushes_ = 0;
};

} // namespace gaudiemu::chip
