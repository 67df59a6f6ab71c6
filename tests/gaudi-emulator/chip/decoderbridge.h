// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/gaudi2registers.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"

namespace gaudiemu::chip {

// The bridges of the ten video decoders. There is no decoder behind them; what is asked to stop gracefully has stopped
// (gaudi2.c gaudi2_stop_dcore_dec(), gaudi2_stop_pcie_dec() poll for it at every reset).
class DecoderBridge final : public RegisterBlock {
public:
    explicit DecoderBridge(RegisterFile &registers) : registers_(registers) {}

    [[nodiscard]] uint32_t read(uint32_t reg) override { return registers_.load(reg); }
    void write(uint32_t reg, uint32_t value, Origin) override
    {
        constexpr uint32_t stop = 0x1;
        constexpr uint32_t pending = 0x10;
        if (reg % gaudi2::page_size == gaudi2::vdec::graceful && (value & stop))
            value |= pending;
        registers_.store(reg, value);
    }

private:
    RegisterFile &registers_;
};

} // namespace gaudiemu::chip
