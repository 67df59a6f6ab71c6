// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <functional>
#include <mutex>
#include <optional>
#include <span>
#include <thread>

namespace gaudiemu::chip {

// One thread that runs jobs in the order of their posting: what a register write must not do itself (QEMU drops a
// device that answers late, hw/vfio-user/proxy.c x-msg-timeout, and stops a virtual CPU until it answers).
class Worker {
public:
    Worker();
    ~Worker(); // runs what is posted, then ends
    Worker(const Worker &) = delete;
    Worker &operator=(const Worker &) = delete;

    void post(std::move_only_function<void()> job);
    // Until everything that was posted before has run. Returns at once on the worker's own thread.
    void wait_idle();
    // How many jobs were ever posted, at a moment when none is left; nothing if there is no such moment before `end`.
    [[nodiscard]] std::optional<uint64_t> idle_by(std::chrono::steady_clock::time_point end);

private:
    void run();

    std::mutex mutex_;
    std::condition_variable posted_;
    std::condition_variable idle_;
    std::deque<std::move_only_function<void()>> jobs_;
    uint64_t posted_jobs_ = 0;
    bool busy_ = false;
    bool ending_ = false;
    std::thread thread_; // last: it starts with the rest in place
};

// Until none of the workers has anything left, and nothing that a job of one has posted to another; false if that takes
// longer.
[[nodiscard]] bool settle(std::span<Worker *const> workers, std::chrono::seconds bound);

} // namespace gaudiemu::chip
