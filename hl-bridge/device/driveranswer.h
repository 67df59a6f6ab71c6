// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <cerrno>
#include <chrono>

// What an errno of the habanalabs driver means, said once for the backend that meets it and the one that plays it.
namespace hl {

// How long the driver is to leave a submission alone before it resets the device.
inline constexpr std::chrono::seconds driver_patience{5};

[[nodiscard]] constexpr bool says_no_descriptor(int err) noexcept
{
    return err == EMFILE || err == ENFILE;
}

// Of a memory call: the device is not operational (memory.c hl_mem_ioctl), or was unplugged (drm_ioctl).
[[nodiscard]] constexpr bool call_says_lost(int err) noexcept
{
    return err == EBUSY || err == ENODEV;
}

// Of a submission or a wait for one, besides: it was aborted by a reset, or timed out, upon which the driver resets
// (command_submission.c hl_wait_ioctl, hl_wait_for_fence), or a reset had begun.
[[nodiscard]] constexpr bool submission_says_lost(int err) noexcept
{
    return call_says_lost(err) || err == EIO || err == ETIMEDOUT || err == EPERM;
}

// What a refused call is to the user: `otherwise`, unless the errno says more than that.
[[nodiscard]] constexpr ErrorCode refusal_code(int err, ErrorCode otherwise) noexcept
{
    return call_says_lost(err) ? ErrorCode::DeviceLost : says_no_descriptor(err) ? ErrorCode::FdLimit : otherwise;
}

} // namespace hl
