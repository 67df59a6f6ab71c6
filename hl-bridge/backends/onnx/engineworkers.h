// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/onnx/alignedbuffer.h"
#include "backends/onnx/ortrunner.h"
#include "inference/engine.h"
#include "inference/preprocess.h"

#include <condition_variable>
#include <format>
#include <memory>
#include <mutex>
#include <span>
#include <thread>
#include <utility>
#include <vector>

namespace hl {

// How frames of one format become the model's image, with scratch for each worker.
struct FramePlan {
    FramePlan(const FrameFormat &source, Preprocess how, unsigned workers) : format(source), preprocess(std::move(how))
    {
        for (unsigned i = 0; i < workers; ++i)
            scratch.emplace_back(preprocess.scratch_bytes());
    }

    FrameFormat format;
    Preprocess preprocess;
    std::vector<AlignedBuffer> scratch;
};

// A checked request with its memories resolved.
struct EngineTask {
    uint64_t id = 0;
    Deadline deadline = no_deadline;
    Rect region;
    CompletionListener *listener = nullptr;
    std::shared_ptr<FramePlan> plan; // none: the planes are the inputs
    FrameView view;
    std::byte *output = nullptr;
};

// The threads that run a model, and the bounded queue before them. Completions are delivered by the workers, one at a
// time. Destruction completes what is queued with Cancelled, stops what runs before its network's next node, and waits
// for that; on a worker's own thread (the last reference dropped by a listener) it does not wait, but a process that
// exits does (core/stragglers.h).
class EngineWorkers {
public:
    // `plane_input`: for raw planes, which input takes plane i. One worker per runner.
    EngineWorkers(const EngineInfo &info, std::vector<size_t> plane_input,
                  std::vector<std::shared_ptr<OrtRunner>> runners);
    ~EngineWorkers();
    EngineWorkers(const EngineWorkers &) = delete;
    EngineWorkers &operator=(const EngineWorkers &) = delete;

    // Queues `count` tasks as `make(i)` returns them (Result<EngineTask>), all or none. Called under the queue's lock.
    // Errors: QueueFull, and make's.
    template <class Make>
    [[nodiscard]] Status submit(size_t count, CompletionListener &listener, Make make)
    {
        std::unique_lock lock(core_->mutex);
        const size_t room = core_->ring.size() - core_->queued - core_->running;
        if (count > room)
            return fail(ErrorCode::QueueFull, "submit inference",
                        std::format("{} requests are in flight, {} more do not fit", core_->ring.size() - room, count),
                        "wait for a completion, or raise in-flight");
        for (size_t i = 0; i < count; ++i) {
            Result<EngineTask> task = make(i);
            if (!task)
                return std::unexpected(std::move(task.error()));
            task->listener = &listener;
            core_->ring[(core_->first + core_->queued + i) % core_->ring.size()] = std::move(*task);
        }
        core_->queued += count;
        lock.unlock();
        for (size_t i = 0; i < count; ++i)
            core_->work.notify_one();
        return {};
    }

private:
    struct Core {
        std::mutex mutex;
        std::condition_variable work;
        std::vector<EngineTask> ring; // guarded by mutex, as all to `stopping`
        size_t first = 0;
        size_t queued = 0;
        size_t running = 0;
        bool stopping = false;
        std::mutex delivery; // held while a listener is told
        std::vector<size_t> plane_input;
        std::vector<std::shared_ptr<OrtRunner>> runners; // one a worker
    };

    static void work(const std::shared_ptr<Core> &core, unsigned index);
    static Status execute(const Core &core, unsigned index, const EngineTask &task);

    std::shared_ptr<Core> core_; // the threads' too
    std::vector<std::thread> threads_;
};

} // namespace hl
