// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/uniquefd.h"

#include <string_view>

namespace hl::sim {

// Takes the machine-wide name of a "sim:NAME" device: an abstract unix socket, which the kernel takes back however the
// process ends. Held until the descriptor is closed. Errors: DeviceBusy naming the owner, FdLimit, DeviceUnusable.
[[nodiscard]] Result<UniqueFd> lock_name(std::string_view name);

// Puts a reference of `what` where the other end of the unix socket could read it. Nobody does: it goes when the last
// descriptor of the other end is closed, wherever that is. FALSE: errno says why not.
[[nodiscard]] bool leave_with(int socket, int what) noexcept;

} // namespace hl::sim
