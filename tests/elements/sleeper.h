// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <unistd.h>

#include <atomic>
#include <format>
#include <fstream>
#include <functional>
#include <iterator>
#include <string>
#include <thread>

namespace hltest {

// A thread whose sleep the kernel tells of. A wake-up makes it runnable before the waker's call has returned.
class Sleeper {
public:
    explicit Sleeper(std::function<void()> work)
        : thread_([this, work = std::move(work)] {
              tid_ = ::gettid();
              work();
          })
    {}
    [[nodiscard]] bool asleep() const
    {
        std::ifstream in(std::format("/proc/self/task/{}/stat", tid_.load()));
        const std::string text(std::istreambuf_iterator<char>(in), {});
        const size_t name = text.rfind(')');
        return name != std::string::npos && text.compare(name + 2, 1, "S") == 0;
    }
    void wait_asleep() const
    {
        while (!asleep())
            std::this_thread::yield();
    }
    void join() { thread_.join(); }

private:
    std::atomic<pid_t> tid_ = 0;
    std::jthread thread_;
};

} // namespace hltest
