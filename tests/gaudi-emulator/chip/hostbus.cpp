// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/hostbus.h"

#include <mutex>

namespace gaudiemu::chip {

void HostBus::attach(PciHost &host)
{
    const std::lock_guard lock(mutex_);
    host_ = &host;
}

std::expected<void, BusFault> HostBus::read(uint64_t bus_address, std::span<std::byte> into)
{
    const std::shared_lock lock(mutex_);
    if (!passes())
        return std::unexpected(BusFault{bus_address, "the link is down"});
    return host_->dma_read(bus_address, into);
}

std::expected<void, BusFault> HostBus::write(uint64_t bus_address, std::span<const std::byte> from)
{
    const std::shared_lock lock(mutex_);
    if (!passes())
        return std::unexpected(BusFault{bus_address, "the link is down"});
    return host_->dma_write(bus_address, from);
}

void HostBus::interrupt(unsigned vector)
{
    const std::shared_lock lock(mutex_);
    if (passes())
        host_->interrupt(vector);
}

void HostBus::close()
{
    const std::lock_guard lock(mutex_);
    open_ = false;
}

void HostBus::open()
{
    const std::lock_guard lock(mutex_);
    open_ = true;
}

void HostBus::lose()
{
    lost_.store(true, std::memory_order_release);
}

} // namespace gaudiemu::chip
