// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/interrupts.h"
#include "chip/registers.h"

#include <format>

namespace gaudiemu::chip {

using namespace gaudi2;

void Interrupts::raise(unsigned vector)
{
    if (vector >= msix_vectors) {
        journal_.fault(std::format("MSI-X vector {} of {}", vector, msix_vectors));
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

uint32_t Interrupts::read(uint32_t)
{
    return 0;
}

void Interrupts::write(uint32_t, uint32_t value, Origin)
{
    raise(value);
}

} // namespace gaudiemu::chip
