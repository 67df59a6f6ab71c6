// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi1fabric.h"
#include "chip/gaudi1registers.h"

#include <algorithm>

namespace gaudiemu::chip {

using namespace gaudi1;

std::expected<Place, AddressFault> Gaudi1Fabric::resolve(const Initiator &who, uint64_t address, uint64_t size)
{
    if (registers().is_register(address) || registers().is_sram(address))
        return resolve_registers(address, size);
    if (address < host_base)
        return resolve_hbm(address, address, size);
    uint64_t physical = address;
    if (!who.bypass) {
        if (address < host_va_base)
            return std::unexpected(AddressFault{address, "the host's memory, past the MMU", std::nullopt});
        auto translated = mmu_.translate(address, who.asid);
        if (!translated)
            return std::unexpected(fault_of(address, std::move(translated.error())));
        physical = translated->address;
        size = std::min(size, translated->run);
    }
    if (physical < host_base || physical - host_base >= host_size)
        return std::unexpected(AddressFault{address, "no memory of the host", std::nullopt});
    return Place{nullptr, physical - host_base, std::min(size, host_base + host_size - physical), std::nullopt};
}

} // namespace gaudiemu::chip
