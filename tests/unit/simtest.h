// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"

#include <gtest/gtest.h>

#include <fcntl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <cstdlib>
#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

// What the tests of devices share.

#define ASSERT_OK(expression) ASSERT_TRUE(::hl::test::succeeded(expression))
#define EXPECT_OK(expression) EXPECT_TRUE(::hl::test::succeeded(expression))
#define ASSERT_CODE(expression, wanted) ASSERT_TRUE(::hl::test::failed_with(expression, wanted))
#define EXPECT_CODE(expression, wanted) EXPECT_TRUE(::hl::test::failed_with(expression, wanted))

namespace hl::test {

template <class R>
testing::AssertionResult succeeded(const R &result)
{
    return result ? testing::AssertionSuccess() : testing::AssertionFailure() << result.error().details();
}

template <class R>
testing::AssertionResult failed_with(const R &result, ErrorCode wanted)
{
    if (result)
        return testing::AssertionFailure() << "succeeded, should fail with " << error_code_name(wanted);
    if (result.error().code == wanted)
        return testing::AssertionSuccess();
    return testing::AssertionFailure() << "should be " << error_code_name(wanted) << ": " << result.error().details();
}

// An environment variable for the life of the object.
class Setting {
public:
    Setting(const char *name, const char *value) : name_(name)
    {
        if (const char *old = std::getenv(name)) {
            had_ = true;
            old_ = old;
        }
        if (value)
            ::setenv(name, value, 1);
        else
            ::unsetenv(name);
    }
    Setting(const Setting &) = delete;
    Setting &operator=(const Setting &) = delete;
    ~Setting()
    {
        if (had_)
            ::setenv(name_, old_.c_str(), 1);
        else
            ::unsetenv(name_);
    }

private:
    const char *name_;
    bool had_ = false;
    std::string old_;
};

// No new descriptor can be made while it lives.
class NoMoreFds {
public:
    NoMoreFds()
    {
        ::getrlimit(RLIMIT_NOFILE, &before_);
        const int next = ::fcntl(0, F_DUPFD_CLOEXEC, 0);
        ::close(next);
        rlimit none = before_;
        none.rlim_cur = static_cast<rlim_t>(next);
        ::setrlimit(RLIMIT_NOFILE, &none);
    }
    NoMoreFds(const NoMoreFds &) = delete;
    NoMoreFds &operator=(const NoMoreFds &) = delete;
    ~NoMoreFds() { ::setrlimit(RLIMIT_NOFILE, &before_); }

private:
    rlimit before_{};
};

inline std::shared_ptr<Device> open_sim()
{
    auto device = Device::open("sim");
    if (!device) {
        ADD_FAILURE() << device.error().details();
        std::abort();
    }
    return *device;
}

// An allocation that has to succeed and, at the end, to be released.
class Owned {
public:
    Owned(std::shared_ptr<Device> device, uint64_t size, Placement placement) : device_(std::move(device))
    {
        auto memory = device_->allocate(size, placement);
        EXPECT_OK(memory);
        if (memory)
            memory_ = *memory;
    }
    Owned(const Owned &) = delete;
    Owned &operator=(const Owned &) = delete;
    ~Owned() { release(); }

    void release()
    {
        if (memory_.valid()) {
            EXPECT_OK(device_->release(memory_));
        }
        memory_ = {};
    }
    const Memory &operator*() const { return memory_; }
    const Memory *operator->() const { return &memory_; }

private:
    std::shared_ptr<Device> device_;
    Memory memory_;
};

// Keeps what it is told, in order, and whether two calls ever overlapped.
class Record final : public CompletionListener {
public:
    void completed(Completion completion) noexcept override
    {
        overlapped_ = overlapped_ || inside_.exchange(true);
        const std::lock_guard lock(mutex_);
        ends_.push_back(std::move(completion));
        inside_ = false;
        changed_.notify_all();
    }
    std::vector<Completion> wait(size_t count)
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return ends_.size() >= count; });
        return ends_;
    }
    size_t count()
    {
        const std::lock_guard lock(mutex_);
        return ends_.size();
    }
    [[nodiscard]] bool overlapped() const { return overlapped_; }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<Completion> ends_;
    std::atomic<bool> inside_{false};
    std::atomic<bool> overlapped_{false};
};

// One region: as much of one memory as fits into the other.
inline CopyRequest request(const Memory &from, const Memory &to, uint64_t id = 0)
{
    CopyRequest out{.id = id};
    out.region[0] = {.source = from, .target = to, .row_bytes = std::min(from.size, to.size)};
    out.regions = 1;
    return out;
}

// Copies the first `bytes` of one memory to another and waits.
inline Status copy(const std::shared_ptr<Device> &device, const Memory &from, const Memory &to, uint64_t bytes,
                   Deadline deadline = no_deadline)
{
    const CopyRegion region{.source = from, .target = to, .row_bytes = bytes};
    return device->copy({&region, 1}, deadline);
}

inline std::byte pattern(unsigned seed, size_t i)
{
    return static_cast<std::byte>((i * 7 + i / 251 + seed * 31 + 1) & 0xff);
}

// Fills host memory with a pattern of the seed.
inline void fill(const std::shared_ptr<Device> &device, const Memory &memory, unsigned seed)
{
    const auto span = device->host_span(memory);
    ASSERT_OK(span);
    for (size_t i = 0; i < span->size(); ++i)
        (*span)[i] = pattern(seed, i);
}

inline bool holds(const std::shared_ptr<Device> &device, const Memory &memory, unsigned seed)
{
    const auto span = device->host_span(memory);
    if (!span)
        return false;
    for (size_t i = 0; i < span->size(); ++i)
        if ((*span)[i] != pattern(seed, i))
            return false;
    return true;
}

} // namespace hl::test
