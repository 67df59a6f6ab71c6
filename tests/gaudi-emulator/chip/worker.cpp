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

} // namespace gaudiemu::chip
