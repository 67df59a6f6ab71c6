// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/delivery.h"

namespace hl {

void Delivery::deliver(CompletionListener &listener, Completion completion)
{
    if (delivering_here()) {
        // A listener submitted a request that ended at once: its turn comes when the listener has returned.
        deferred_.emplace_back(&listener, std::move(completion));
        return;
    }
    const std::lock_guard lock(one_at_a_time_);
    deliverer_ = std::this_thread::get_id();
    listener.completed(std::move(completion));
    for (size_t i = 0; i < deferred_.size(); ++i) {
        const auto next = deferred_[i].first;
        next->completed(std::move(deferred_[i].second)); // may append
    }
    deferred_.clear();
    deliverer_ = std::thread::id{};
}

} // namespace hl
