// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/completion.h"

#include <atomic>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

namespace hl {

// Calls listeners as CompletionListener wants it: one call at a time, on whichever thread. For one device. Thread safe.
class Delivery {
public:
    Delivery() { deferred_.reserve(64); }

    // Calls the listener; inside a call, the next one's turn comes when it has returned.
    void deliver(CompletionListener &listener, Completion completion);
    // True on a thread that is inside deliver(): it must not join another that may be waiting to deliver.
    [[nodiscard]] bool delivering_here() const noexcept { return deliverer_.load() == std::this_thread::get_id(); }

private:
    std::mutex one_at_a_time_;
    std::atomic<std::thread::id> deliverer_{};
    std::vector<std::pair<CompletionListener *, Completion>> deferred_; // guarded by one_at_a_time_
};

} // namespace hl
