// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/interrupts.h"
#include "chip/units.h"

#include <format>

namespace gaudiemu::chip {

void Interrupts::raise(unsigned vector)
{
    if (vector >= vectors_) {
        journal_.fault(std::format("interrupt vector {} of {}", vector, vectors_));
        return;
    }
    bus_.interrupt(vector);
}

bool Interrupts::ring(uint64_t bus_address, uint32_t value)
{
    const uint64_t doorbell = doorbell_.load(std::memory_order_acquire);
    if (!doorbell || bus_address < doorbell || bus_address - doorbell >= page_size)
        return false;
    raise(value);
    return true;
}

} // namespace gaudiemu::chip
