// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/mmu.h"

namespace hl::sim {

void Mmu::map(uint64_t address, uint64_t size, std::byte *bytes)
{
    table_.insert_or_assign(address, Mapping{size, bytes});
}

bool Mmu::unmap(uint64_t address)
{
    return table_.erase(address) != 0;
}

std::byte *Mmu::translate(uint64_t address, uint64_t length) const noexcept
{
    auto at = table_.upper_bound(address);
    if (at == table_.begin())
        return nullptr;
    --at;
    const uint64_t into = address - at->first;
    if (into > at->second.size || length > at->second.size - into)
        return nullptr;
    return at->second.bytes + into;
}

} // namespace hl::sim
