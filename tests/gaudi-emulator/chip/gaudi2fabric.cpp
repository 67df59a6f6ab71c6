// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/gaudi2fabric.h"
#include "chip/gaudi2registers.h"

#include <algorithm>

namespace gaudiemu::chip {

using namespace gaudi2;

std::expected<Place, AddressFault> Gaudi2Fabric::resolve(const Initiator &who, uint64_t address, uint64_t size)
{
    if (registers().is_register(address) || registers().is_sram(address))
        return resolve_registers(address, size);
    if (address < dram_base || address >= hbm_va_end)
        return resolve_host(who, address, size);
    return who.bypass ? resolve_hbm(address, address, size) : resolve_virtual_hbm(who, address, size);
}

std::expected<Place, AddressFault> Gaudi2Fabric::resolve_virtual_hbm(const Initiator &who, uint64_t address,
                                                                     uint64_t size)
{
    auto translated = mmu_.translate_hbm(address, who.asid);
    if (!translated)
        return std::unexpected(fault_of(address, std::move(translated.error())));
    return resolve_hbm(address, translated->address, std::min(size, translated->run));
}

std::expected<Place, AddressFault> Gaudi2Fabric::resolve_host(const Initiator &who, uint64_t address, uint64_t size)
{
    if (who.bypass) {
        if (address >= host_phys_end)
            return std::unexpected(AddressFault{address, "nothing lies there", std::nullopt});
        return Place{nullptr, address, std::min(size, host_phys_end - address), std::nullopt};
    }
    auto translated = mmu_.translate_host(address, who.asid);
    if (!translated)
        return std::unexpected(fault_of(address, std::move(translated.error())));
    return Place{nullptr, translated->address, std::min(size, translated->run), std::nullopt};
}

} // namespace gaudiemu::chip
