// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/registerblock.h"
#include "chip/registerfile.h"

#include <chrono>
#include <ratio>

namespace gaudiemu::chip {

// The chip's 64-bit time, in units of its 25 MHz clock (gaudi2.c gaudi2_get_device_time(), gaudi2_enable_timestamp(),
// gaudi.c gaudi_get_device_time()): PSOC_TIMESTAMP.
class DeviceClock final : public RegisterBlock {
public:
    DeviceClock(RegisterFile &registers, uint32_t page) : registers_(registers), page_(page) {}

    [[nodiscard]] uint32_t read(uint32_t reg) override
    {
        const auto ticks = static_cast<uint64_t>(
            std::chrono::floor<Ticks>(std::chrono::steady_clock::now().time_since_epoch()).count());
        switch (reg - page_) {
        case 0x8: // CNTCVL
            return static_cast<uint32_t>(ticks);
        case 0xc: // CNTCVU
            return static_cast<uint32_t>(ticks >> 32);
        default:
            return registers_.load(reg);
        }
    }
    void write(uint32_t reg, uint32_t value, Origin) override { registers_.store(reg, value); }

private:
    using Ticks = std::chrono::duration<int64_t, std::ratio<1, 25'000'000>>;

    RegisterFile &registers_;
    const uint32_t page_;
};

} // namespace gaudiemu::chip
