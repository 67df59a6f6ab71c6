// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>

namespace gaudiemu::chip {

// Tells the jobs of one life of the chip from those of the next: a reset ends the epoch, and a job that was begun in an
// older one gives up at its next look, without a trace in the new one.
class JobGate {
public:
    using Epoch = uint64_t;

    [[nodiscard]] Epoch epoch() const noexcept { return epoch_.load(std::memory_order_acquire); }
    [[nodiscard]] bool open(Epoch epoch) const noexcept { return epoch_.load(std::memory_order_acquire) == epoch; }

    // Ends the epoch and wakes whoever waits in it.
    void next();

    // Both return at once when the epoch ends; true: the time is over and the epoch lasts.
    bool wait(Epoch epoch, std::chrono::microseconds time);
    void wait_for_end(Epoch epoch);

private:
    std::atomic<Epoch> epoch_{1};
    std::mutex mutex_;
    std::condition_variable ended_;
};

} // namespace gaudiemu::chip
