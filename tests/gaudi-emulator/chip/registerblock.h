// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>

namespace gaudiemu::chip {

// Who writes a register: the guest's CPU through the BAR, or an engine of the chip by a message.
enum class Origin : uint8_t { Host, Device };

// A block whose registers do something. `reg` is the offset from cfg_base, a multiple of 4.
class RegisterBlock {
public:
    virtual ~RegisterBlock() = default;
    [[nodiscard]] virtual uint32_t read(uint32_t reg) = 0;
    virtual void write(uint32_t reg, uint32_t value, Origin origin) = 0;

protected:
    RegisterBlock() = default;
    RegisterBlock(const RegisterBlock &) = delete;
    RegisterBlock &operator=(const RegisterBlock &) = delete;
};

} // namespace gaudiemu::chip
