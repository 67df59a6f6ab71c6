// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/nullengine.h"

#include <format>

namespace hl {

NullEngine::NullEngine(const Model &model, const EngineOptions &options)
{
    info_.name = "null";
    info_.model = model.name;
    info_.labels = model.labels;
    info_.input = InputKind::Nothing;
    info_.reads_device = true;
    info_.reads_host = true;
    info_.in_flight = options.in_flight > 0 ? options.in_flight : 1;
    info_.layout_source = "fixed";
}

Result<FrameTransform> NullEngine::configure(const FrameFormat &)
{
    return FrameTransform{};
}

Status NullEngine::submit(std::span<const InferRequest> requests, CompletionListener &listener)
{
    for (const InferRequest &request : requests)
        if (!request.frame.plane[0].memory.valid())
            continue; // a frame that no device knows: nothing to check, and nothing is read
        else if (auto status = validate(request.frame); !status)
            return status;
    std::unique_lock lock(mutex_);
    if (requests.size() > capacity - count_)
        return fail(ErrorCode::QueueFull, "submit inference",
                    std::format("{} requests are waiting, {} more do not fit", count_, requests.size()),
                    "wait for a completion");
    for (const InferRequest &request : requests)
        ring_[(first_ + count_++) % capacity] = {request.id, request.deadline, &listener};
    if (delivering_)
        return {};
    delivering_ = true;
    while (count_ > 0) {
        const Pending next = ring_[first_];
        first_ = (first_ + 1) % capacity;
        --count_;
        lock.unlock();
        const Clock::time_point now = Clock::now();
        Completion completion{.id = next.id, .status = {}, .started = now, .finished = now};
        if (now > next.deadline)
            completion.status = fail(ErrorCode::RunTimeout, "run inference", "the deadline passed before the start",
                                     "lower the frame rate or the number of requests in flight");
        next.listener->completed(std::move(completion));
        lock.lock();
    }
    delivering_ = false;
    return {};
}

} // namespace hl
