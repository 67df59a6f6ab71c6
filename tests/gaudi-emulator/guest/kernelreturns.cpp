// SPDX-License-Identifier: LGPL-2.1-or-later
#include "guest/kernelreturns.h"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <format>
#include <string_view>
#include <system_error>

namespace gaudiemu::guest {
namespace {

using namespace std::chrono_literals;

const std::filesystem::path tracing = "/sys/kernel/debug/tracing";

// One write is one command. Without O_TRUNC, which would forget all probes. 0 or errno.
int write_line(const std::filesystem::path &path, std::string_view line)
{
    const hl::UniqueFd file(::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC));
    return file && ::write(file.get(), line.data(), line.size()) >= 0 ? 0 : errno;
}

} // namespace

KernelReturns::KernelReturns(std::initializer_list<const char *> functions)
{
    static std::atomic<unsigned> count = 0;
    name_ = std::format("hl_{}_{}", ::getpid(), count++);
    instance_ = tracing / "instances" / name_;
    std::error_code error;
    std::filesystem::create_directory(instance_, error);
    if (error) {
        ADD_FAILURE() << instance_ << ": " << error.message();
        return;
    }
    for (const char *const function : functions) {
        std::string probe = std::format("{}/p{}", name_, probes_.size());
        if (const int refused = write_line(tracing / "kprobe_events", std::format("r:{} {}\n", probe, function))) {
            ADD_FAILURE() << "no probe at the return of " << function << ": " << std::strerror(refused);
            return;
        }
        probes_.push_back(std::move(probe));
    }
    pipe_.reset(::open((instance_ / "trace_pipe").c_str(), O_RDONLY | O_NONBLOCK | O_CLOEXEC));
    const int refused = pipe_ ? write_line(instance_ / "events" / name_ / "enable", "1") : errno;
    if (refused) {
        ADD_FAILURE() << instance_ << ": " << std::strerror(refused);
        pipe_.reset();
    }
}

KernelReturns::~KernelReturns()
{
    // A probe in use cannot be removed, nor an instance that is read.
    pipe_.reset();
    (void)write_line(instance_ / "events" / name_ / "enable", "0");
    std::error_code error;
    std::filesystem::remove(instance_, error);
    for (const auto &probe : probes_)
        (void)write_line(tracing / "kprobe_events", std::format("-:{}\n", probe));
}

// Takes all that there is: what several returns changed can be looked at once.
bool KernelReturns::wait(std::chrono::milliseconds bound)
{
    using namespace std::chrono;
    const auto end = steady_clock::now() + bound;
    std::array<char, 4096> lines{};
    pollfd wanted{.fd = pipe_.get(), .events = POLLIN, .revents = 0};
    for (auto left = bound; pipe_; left = ceil<milliseconds>(end - steady_clock::now())) {
        errno = 0; // an end of the file is none of the two below
        const int ready = left < 0ms ? 0 : ::poll(&wanted, 1, static_cast<int>(left.count()));
        if (ready == 0)
            return false;
        if (ready > 0 && ::read(pipe_.get(), lines.data(), lines.size()) > 0)
            return true;
        if (errno != EINTR && errno != EAGAIN) {
            ADD_FAILURE() << instance_ << ": " << std::strerror(errno);
            return false;
        }
    }
    return false;
}

bool KernelReturns::wait_until(const std::function<bool()> &done, std::chrono::milliseconds bound)
{
    using namespace std::chrono;
    const auto end = steady_clock::now() + bound;
    while (!done())
        if (!wait(std::max(0ms, ceil<milliseconds>(end - steady_clock::now()))))
            return false;
    return true;
}

} // namespace gaudiemu::guest
