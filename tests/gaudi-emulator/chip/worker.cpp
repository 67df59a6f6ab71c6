// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/worker.h"

#include <utility>

namespace gaudiemu::chip {

Worker::Worker() : thread_([this] { run(); }) {}

Worker::~Worker()
{
    {
        const std::lock_guard lock(mutex_);
        ending_ = true;
    }
    posted_.notify_all();
    thread_.join();
}

void Worker::post(std::move_only_function<void()> job)
{
    {
        const std::lock_guard lock(mutex_);
        jobs_.push_back(std::move(job));
        ++posted_jobs_;
    }
    posted_.notify_one();
}

void Worker::wait_idle()
{
    if (std::this_thread::get_id() == thread_.get_id())
        return;
    std::unique_lock lock(mutex_);
    idle_.wait(lock, [this] { return jobs_.empty() && !busy_; });
}

std::optional<uint64_t> Worker::idle_by(std::chrono::steady_clock::time_point end)
{
    std::unique_lock lock(mutex_);
    if (!idle_.wait_until(lock, end, [this] { return jobs_.empty() && !busy_; }))
        return std::nullopt;
    return posted_jobs_;
}

void Worker::run()
{
    std::unique_lock lock(mutex_);
    while (true) {
        posted_.wait(lock, [this] { return ending_ || !jobs_.empty(); });
        if (jobs_.empty())
            return;
        auto job = std::move(jobs_.front());
        jobs_.pop_front();
        busy_ = true;
        lock.unlock();
        job();
        job = nullptr;
        lock.lock();
        busy_ = false;
        if (jobs_.empty())
            idle_.notify_all();
    }
}

bool settle(std::span<Worker *const> workers, std::chrono::seconds bound)
{
    const auto end = std::chrono::steady_clock::now() + bound;
    const auto round = [&] {
        std::optional<uint64_t> jobs = 0;
        for (Worker *const worker : workers) {
            const auto posted = worker->idle_by(end);
            jobs = jobs && posted ? std::optional(*jobs + *posted) : std::nullopt;
        }
        return jobs;
    };
    // Idle twice with nothing posted between: all were idle at once when the second round began.
    auto before = round();
    for (auto after = round(); before && after; before = after, after = round())
        if (before == after)
            return true;
    return false;
}

} // namespace gaudiemu::chip
