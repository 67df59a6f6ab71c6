// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/commandbuffers.h"
#include "backends/kernel/driver.h"
#include "backends/kernel/hbmarenas.h"
#include "core/error.h"

#include <functional>
#include <memory>
#include <string>

namespace hl::kernel {

// Opens the compute node.
using DriverOpener = std::function<Result<std::unique_ptr<Driver>>()>;

// One open of a chip, with all that goes when it ends. The node is closed when its last user lets go.
struct Session {
    // Submissions that a queue keeps in the driver: two queues together stay below the 64 that Gaudi2's takes (gaudi2.c
    // GAUDI2_MAX_PENDING_CS).
    static constexpr size_t queue_depth = 24;

    // Errors: those of `opener`, MemoryHost, FdLimit, DeviceUnusable.
    [[nodiscard]] static Result<std::shared_ptr<Session>> open(const DriverOpener &opener, ChipKind chip,
                                                               const std::string &device);

    std::unique_ptr<Driver> driver; // first: the others are taken down through it
    uapi::HwIpInfo hw{};
    UniqueFd events; // readable when take_events() has news; invalid where the driver has no events
    CommandBuffers down, up;
    HbmArenas hbm;
};

} // namespace hl::kernel
