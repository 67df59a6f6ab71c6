// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/uniquefd.h"

#include <string_view>

namespace hl::sim {

// Takes the machine-wide name of a "sim:NAME" device: an abstract unix socket, which the kernel takes back however the
// process ends. Held until the descriptor is closed. Errors: DeviceBusy naming the owner, FdLimit, DeviceUnusable.
[[nodiscard]] Result<UniqueFd> lock_name(std::string_view name);

} // namespace hl::sim
