// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/nodeaccess.h"
#include "habanalabs/chipnode.h"

#include <chrono>
#include <string>

namespace hl::habanalabs {

// What is known of a node that could not be opened.
struct OpenState {
    std::string device;      // ChipNode::name()
    std::string node;        // "/dev/accel/accel0"
    std::string status;      // ChipNode::status
    NodeAccess access;       // of the node, where it is missing or not permitted
    std::string holders;     // who has the device open, or memory of it: "process 12 (python3)"; empty: nobody seen
    bool held_by_us = false; // this process is one of them
    bool reset_seen = false; // `status` told of a reset since the first try

    // What there is to know of a chip's compute node after open(2) failed with `err`; all but reset_seen.
    [[nodiscard]] static OpenState look(const ChipNode &chip, int err);
};

// Whether a status is that of a device in a reset.
[[nodiscard]] bool in_reset(const std::string &status) noexcept;
// Whether it is that of a device that works; an empty one may be.
[[nodiscard]] bool operational(const std::string &status) noexcept;

// Whether to try again after open(2) failed with `err`, `waited` after the first try. The driver's words
// (habanalabs_drv.c hl_device_open): EAGAIN while the device is reset or a user is being released, which passes by
// itself; EBUSY while a context lives, which passes only when its holder goes.
[[nodiscard]] bool try_again(int err, const OpenState &state, std::chrono::milliseconds waited) noexcept;

// The error of a node that cannot be opened: DeviceBusy, DevicePermission, DeviceUnusable, DeviceNotFound, FdLimit.
[[nodiscard]] Error open_error(int err, const OpenState &state);

} // namespace hl::habanalabs
