// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "devicerig.h"

#include <cstdint>
#include <vector>

// What the tables of the rules that a user of Device meets have in common.
namespace hl::test {

using DeviceRule = Rule<DeviceRig>;

inline constexpr auto device_placement = Placement::Device;
inline constexpr auto host_placement = Placement::Host;
inline constexpr auto range_error = refused(ErrorCode::MemoryRange, EINVAL);
inline constexpr auto foreign_error = refused(ErrorCode::MemoryForeign, EINVAL);

// Outcome of an allocation, which goes again if it was granted.
inline Status allocate(DeviceRig &rig, uint64_t size, Placement placement)
{
    const auto memory = rig.device->allocate(size, placement);
    return memory ? rig.device->release(*memory) : outcome(memory);
}

inline Status export_of(DeviceRig &rig, const Memory &memory)
{
    return outcome(rig.device->export_dmabuf(memory));
}

// Asks every kind of device.
inline void check_device_rules(const std::vector<DeviceRule> &rules)
{
    const auto columns = device_columns();
    check_rules<DeviceRig>(rules, columns);
}

} // namespace hl::test
