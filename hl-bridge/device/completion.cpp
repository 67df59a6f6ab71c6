// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/completion.h"

#include <utility>

namespace hl {

std::optional<Status> CompletionWaiter::wait(Deadline deadline)
{
    std::unique_lock lock(mutex_);
    const auto ready = [this] { return status_.has_value(); };
    // wait_until(time_point::max()) overflows in libstdc++'s clock conversion, so "no deadline" is its own path.
    if (deadline == no_deadline)
        done_.wait(lock, ready);
    else if (!done_.wait_until(lock, deadline, ready))
        return std::nullopt;
    return std::exchange(status_, std::nullopt);
}

void CompletionWaiter::completed(Completion completion) noexcept
{
    // Notify under the lock: the waiter may be destroyed as soon as wait() returns.
    const std::lock_guard lock(mutex_);
    status_ = std::move(completion.status);
    done_.notify_one();
}

} // namespace hl
