// SPDX-License-Identifier: LGPL-2.1-or-later
#include "hbmpool.h"

#include <utility>

namespace hl::dbl {

std::expected<std::unique_ptr<HbmPool>, int> HbmPool::take(kernel::Driver &driver, uint64_t hbm_bytes)
{
    const auto handle = driver.allocate(hbm_bytes);
    if (!handle)
        return std::unexpected(handle.error());
    const auto mapping = driver.map_device(*handle);
    if (!mapping) {
        (void)driver.free(*handle);
        return std::unexpected(mapping.error());
    }
    return std::unique_ptr<HbmPool>(new HbmPool(driver, *handle, *mapping, hbm_bytes));
}

HbmPool::HbmPool(kernel::Driver &driver, uint64_t handle, uint64_t mapping, uint64_t bytes)
    : driver_(driver), handle_(handle), mapping_(mapping), arena_(bytes - reserved - 4096, alignment)
{
    // The runtime's own, so that what follows lies on no page boundary, as a user must expect.
    (void)arena_.allocate(alignment);
}

HbmPool::~HbmPool()
{
    (void)give_back();
}

int HbmPool::give_back()
{
    if (!std::exchange(taken_, false))
        return 0;
    if (const auto unmapped = driver_.unmap(mapping_); !unmapped)
        return unmapped.error();
    const auto freed = driver_.free(handle_);
    return freed ? 0 : freed.error();
}

std::optional<uint64_t> HbmPool::allocate(uint64_t bytes)
{
    const auto offset = arena_.allocate(bytes);
    if (!offset)
        return std::nullopt;
    live_[base() + *offset] = bytes;
    return base() + *offset;
}

bool HbmPool::free(uint64_t address)
{
    return live_.erase(address) != 0 && arena_.free(address - base());
}

bool HbmPool::holds(uint64_t address, uint64_t bytes) const
{
    auto at = live_.upper_bound(address);
    if (at == live_.begin())
        return false;
    --at;
    const uint64_t offset = address - at->first;
    return offset <= at->second && bytes <= at->second - offset;
}

} // namespace hl::dbl
