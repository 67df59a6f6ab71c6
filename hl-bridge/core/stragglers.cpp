// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/stragglers.h"

#include "core/log.h"

#include <chrono>
#include <condition_variable>
#include <memory>
#include <mutex>
#include <system_error>
#include <utility>

namespace hl {
namespace {

constexpr std::chrono::seconds exit_patience{10};

// Process-wide, because what it waits for is the end of the process.
class Stragglers {
public:
    ~Stragglers()
    {
        std::unique_lock lock(mutex_);
        if (!ended_.wait_for(lock, exit_patience, [this] { return running_ == 0; }))
            log(LogLevel::Error, "stragglers", "the process ends while a device still works for it");
    }

    void begin()
    {
        const std::lock_guard lock(mutex_);
        ++running_;
    }
    void end()
    {
        // Notified under the lock: the destructor may return as soon as it sees none running.
        const std::lock_guard lock(mutex_);
        --running_;
        ended_.notify_all();
    }

private:
    std::mutex mutex_;
    std::condition_variable ended_;
    unsigned running_ = 0;
};

Stragglers &stragglers()
{
    static Stragglers all;
    return all;
}

} // namespace

Straggler::Straggler()
{
    stragglers().begin();
}

Straggler::~Straggler()
{
    stragglers().end();
}

void run_straggler(std::function<void()> work)
{
    std::thread([straggler = std::make_unique<Straggler>(), work = std::move(work)]() mutable {
        std::exchange(work, nullptr)();
        straggler.reset();
    }).detach();
}

void join_elsewhere(std::vector<std::thread> threads) noexcept
{
    const auto shared = std::make_shared<std::vector<std::thread>>(std::move(threads));
    try {
        run_straggler([shared] {
            for (std::thread &thread : *shared)
                thread.join();
        });
    } catch (const std::system_error &) {
        for (std::thread &thread : *shared)
            thread.detach();
    }
}

} // namespace hl
