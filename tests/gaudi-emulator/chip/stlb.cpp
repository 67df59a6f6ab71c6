// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/stlb.h"
#include "chip/registers.h"

namespace gaudiemu::chip {

using namespace gaudi2;

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
    switch (reg - page_) {
    case stlb::busy: {
        // gaudi2.c gaudi2_mmu_update_asid_hop0_addr(): bit 31 commits the address, then must read back clear.
        const uint64_t address = static_cast<uint64_t>(registers_.load(page_ + stlb::hop0_pa43_12)) << 12 |
                                 static_cast<uint64_t>(registers_.load(page_ + stlb::hop0_pa63_44)) << 44;
        const std::lock_guard lock(mutex_);
        if (value & 0x80000000u)
            hop0_[registers_.load(page_ + stlb::asid)] = address;
        registers_.store(reg, value & 0x7fffffffu);
        return;
    }
    case stlb::inv_all_start: // gaudi2.c gaudi2_mmu_init_common(), gaudi2_mmu_invalidate_cache_status_poll(): until 0
    case stlb::range_inv:
    case stlb::sram_init:
        registers_.store(reg, 0);
        return;
    case stlb::mem_cache_inv: // gaudi2_mmu_invalidate_cache_status_poll(): until the status is 1, which it then clears
        registers_.store(page_ + stlb::mem_cache_inv_status, value & 1);
        return;
    default:
        registers_.store(reg, value);
    }
}

} // namespace gaudiemu::chip
