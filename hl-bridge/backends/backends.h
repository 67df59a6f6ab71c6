// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/device.h"
#include "device/devicespec.h"

#include <memory>
#include <span>
#include <string_view>
#include <vector>

namespace hl {

// One way to reach a Gaudi. The table of them is the only place that knows all backends; none knows another.
struct Backend {
    std::string_view name;
    // True where this backend opens what the specification names. Never asked for DeviceSpec::Kind::Auto.
    bool (*takes)(const DeviceSpec &spec) noexcept;
    // Opens no node. The simulator is always there.
    std::vector<DeviceListing> (*enumerate)();
    // Makes the device object. Called once per device at a time, under the device table's lock.
    Result<std::unique_ptr<Device>> (*open)(const DeviceSpec &spec);
};

[[nodiscard]] std::span<const Backend> backends() noexcept;

} // namespace hl
