// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <mutex>
#include <optional>

namespace hl {

using Clock = std::chrono::steady_clock;
using Deadline = Clock::time_point;
inline constexpr Deadline no_deadline = Deadline::max();

// A queue that answers QueueFull to a caller who can wait is asked again after this time, and for so long.
inline constexpr std::chrono::milliseconds room_interval{1};
inline constexpr std::chrono::seconds longest_wait_for_room{5};

// The end of one submitted request.
struct Completion {
    uint64_t id = 0; // as given in the request
    Status status;
    Clock::time_point started{}; // when the hardware (or its stand-in) began it
    Clock::time_point finished{};
};

// Receives completions. Called by the device's side, one call at a time per device, never with a lock of the caller's
// held; it may come before the submit call has returned. It must return soon (no blocking work) and may submit further
// requests. Owned by the submitter, which keeps it alive until every request it submitted has completed.
class CompletionListener {
public:
    virtual void completed(Completion completion) noexcept = 0;

protected:
    ~CompletionListener() = default;
};

// Waits for one request at a time: for set-up work, staged CPU maps and tests. One thread.
class CompletionWaiter final : public CompletionListener {
public:
    // Returns the request's status, or nullopt when the deadline passed first; the request is then still under way and
    // the waiter must outlive it.
    [[nodiscard]] std::optional<Status> wait(Deadline deadline = no_deadline);

    void completed(Completion completion) noexcept override;

private:
    std::mutex mutex_;
    std::condition_variable done_;
    std::optional<Status> status_;
};

} // namespace hl
