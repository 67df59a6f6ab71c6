// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/stlb.h"

#include <algorithm>

namespace gaudiemu::chip {

std::optional<uint64_t> Stlb::hop0(unsigned asid) const
{
    const std::lock_guard lock(mutex_);
    const auto it = hop0_.find(asid);
    return it == hop0_.end() ? std::nullopt : std::optional(it->second);
}

void Stlb::reset()
{
    const std::lock_guard lock(mutex_);
    hop0_.clear();
}

uint32_t Stlb::read(uint32_t reg)
{
    return registers_.load(reg);
}

void Stlb::write(uint32_t reg, uint32_t value, Origin)
{
    const uint32_t offset = reg - page_;
    if (offset == layout_.busy) {
        // gaudi2.c gaudi2_mmu_update_asid_hop0_addr(), gaudi.c gaudi_mmu_update_asid_hop0_addr(): bit 31 commits the
        // address, then must read back clear.
        const uint64_t address = static_cast<uint64_t>(registers_.load(page_ + layout_.hop0_low)) << 12 |
                                 static_cast<uint64_t>(registers_.load(page_ + layout_.hop0_high)) << 44;
        const std::lock_guard lock(mutex_);
        if (value & 0x80000000u)
            hop0_[registers_.load(page_ + layout_.asid)] = address;
        registers_.store(reg, value & 0x7fffffffu);
    } else if (std::ranges::contains(layout_.done_at_once, offset)) {
        registers_.store(reg, 0);
    } else if (offset == layout_.mem_cache_inv) {
        // gaudi2.c gaudi2_mmu_invalidate_cache_status_poll(): until the status is 1, which it then clears.
        registers_.store(page_ + layout_.mem_cache_inv_status, value & 1);
    } else {
        registers_.store(reg, value);
    }
}

} // namespace gaudiemu::chip
