// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/cpuport.h"

namespace gaudiemu::chip {

std::expected<void, BusFault> CpuPort::read(uint64_t address, std::span<std::byte> into) const
{
    const auto bus = bus_address(address);
    return bus ? bus_.read(*bus, into) : std::unexpected(BusFault{address, "no host memory for the CPU"});
}

std::expected<void, BusFault> CpuPort::write(uint64_t address, std::span<const std::byte> from) const
{
    const auto bus = bus_address(address);
    return bus ? bus_.write(*bus, from) : std::unexpected(BusFault{address, "no host memory for the CPU"});
}

} // namespace gaudiemu::chip
