// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"
#include "inference/engine.h"

#include <array>
#include <cstddef>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <vector>

// A device and an engine whose work ends when a test says so, for the tests of what schedules it.
namespace hl::test {

// Requests accepted by a fake and not yet completed. A test completes them by hand, in any order, on any thread.
template <class Request>
class Pending {
public:
    void add(const Request &request, CompletionListener &listener)
    {
        const std::lock_guard lock(mutex_);
        entries_[count_++ % entries_.size()] = {request, &listener};
    }
    [[nodiscard]] size_t size() const
    {
        const std::lock_guard lock(mutex_);
        return count_;
    }
    [[nodiscard]] Request at(size_t i) const
    {
        const std::lock_guard lock(mutex_);
        return entries_[i].request;
    }
    void complete(size_t i, Status status = {}, Clock::time_point started = {}, Clock::time_point finished = {})
    {
        Entry entry;
        {
            const std::lock_guard lock(mutex_);
            entry = entries_[i];
        }
        entry.listener->completed(
            {.id = entry.request.id, .status = std::move(status), .started = started, .finished = finished});
    }
    void clear()
    {
        const std::lock_guard lock(mutex_);
        count_ = 0;
    }

private:
    struct Entry {
        Request request;
        CompletionListener *listener = nullptr;
    };
    mutable std::mutex mutex_;
    std::array<Entry, 64> entries_;
    size_t count_ = 0;
};

// A device whose DMA only moves when told to. Host memory is plain vectors.
class FakeDevice : public Device {
public:
    const DeviceInfo &info() const noexcept override { return info_; }
    uint32_t generation() const noexcept override { return generation_; }
    bool lost() const noexcept override { return false; }
    Status recover() override { return {}; }
    Result<Memory> allocate(uint64_t size, Placement placement, hl::HostPages) override
    {
        if (allocate_fails)
            return fail(ErrorCode::MemoryFull, "allocate", "full");
        const std::lock_guard lock(mutex_);
        const uint64_t handle = ++handles_;
        memory_[handle].resize(size);
        return Memory{id(), generation_, handle, 0, size, placement};
    }
    Status release(const Memory &memory) override
    {
        const std::lock_guard lock(mutex_);
        memory_.erase(memory.handle);
        return {};
    }
    Result<UniqueFd> export_dmabuf(const Memory &) override { return UniqueFd(); }
    Result<Memory> resolve_dmabuf(int) override { return Memory{}; }
    Result<std::span<std::byte>> host_span(const Memory &memory) override
    {
        const std::lock_guard lock(mutex_);
        return std::span(memory_.at(memory.handle));
    }
    Status submit(std::span<const CopyRequest> requests, CompletionListener &listener) override
    {
        if (submit_fails)
            return fail(ErrorCode::CopyFailed, "copy", "refused");
        copies.add(requests[0], listener);
        return {};
    }
    Status flush_inbound_writes() override
    {
        ++flushes;
        return {};
    }
    Result<std::shared_ptr<Engine>> create_engine(const Model &, const EngineOptions &) override
    {
        return fail(ErrorCode::Internal, "", "");
    }
    Usage usage() const override { return {}; }

    [[nodiscard]] size_t live() const
    {
        const std::lock_guard lock(mutex_);
        return memory_.size();
    }

    bool allocate_fails = false, submit_fails = false;
    int flushes = 0;
    Pending<CopyRequest> copies;

private:
    DeviceInfo info_;
    uint32_t generation_ = 1;
    mutable std::mutex mutex_;
    uint64_t handles_ = 0;
    std::map<uint64_t, std::vector<std::byte>> memory_;
};

class FakeEngine : public Engine {
public:
    const EngineInfo &info() const noexcept override { return info_; }
    Result<FrameTransform> configure(const FrameFormat &) override { return FrameTransform{2, 2, 0, 0}; }
    Status submit(std::span<const InferRequest> requests, CompletionListener &listener) override
    {
        if (submit_fails)
            return fail(ErrorCode::SubmitFailed, "submit", "refused");
        requests_seen.add(requests[0], listener);
        if (inline_completion)
            listener.completed({.id = requests[0].id, .status = {}});
        return {};
    }

    ~FakeEngine() override
    {
        if (destroyed)
            destroyed->set_value(std::this_thread::get_id());
    }

    EngineInfo info_;
    std::promise<std::thread::id> *destroyed = nullptr;
    bool submit_fails = false, inline_completion = false;
    Pending<InferRequest> requests_seen;
};

} // namespace hl::test
