// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/engineworkers.h"

#include "core/stragglers.h"

#include <algorithm>

namespace hl {
namespace {

constexpr size_t least_queue = 16;

} // namespace

EngineWorkers::EngineWorkers(const EngineInfo &info, std::vector<size_t> plane_input,
                             std::vector<std::shared_ptr<OrtRunner>> runners)
    : core_(std::make_shared<Core>())
{
    core_->ring.resize(std::max<size_t>(least_queue, 2 * std::max(info.in_flight, info.callers)));
    core_->plane_input = std::move(plane_input);
    core_->runners = std::move(runners);
    for (unsigned i = 0; i < core_->runners.size(); ++i)
        threads_.emplace_back([core = core_, i] { work(core, i); });
}

EngineWorkers::~EngineWorkers()
{
    {
        const std::lock_guard lock(core_->mutex);
        core_->stopping = true;
    }
    core_->work.notify_all();
    for (const auto &runner : core_->runners)
        runner->stop();
    // Joining oneself is impossible, and joining the others while this thread delivers could wait for them forever.
    const bool inside =
        std::ranges::any_of(threads_, [](const std::thread &t) { return t.get_id() == std::this_thread::get_id(); });
    if (inside) {
        join_elsewhere(std::move(threads_));
        return;
    }
    for (std::thread &thread : threads_)
        thread.join();
}

void EngineWorkers::work(const std::shared_ptr<Core> &core, unsigned index)
{
    for (;;) {
        EngineTask task;
        bool stopping = false;
        {
            std::unique_lock lock(core->mutex);
            core->work.wait(lock, [&] { return core->queued > 0 || core->stopping; });
            if (core->queued == 0)
                return;
            task = std::move(core->ring[core->first]);
            core->first = (core->first + 1) % core->ring.size();
            --core->queued;
            ++core->running;
            stopping = core->stopping;
        }
        Completion completion{.id = task.id, .status = {}, .started = Clock::now(), .finished = {}};
        if (stopping)
            completion.status = fail(ErrorCode::Cancelled, "run inference", "the engine was closed", {});
        else if (completion.started > task.deadline)
            completion.status = fail(ErrorCode::RunTimeout, "run inference", "the deadline passed before the start",
                                     "lower the frame rate or the number of requests in flight");
        else
            completion.status = execute(*core, index, task);
        completion.finished = Clock::now();
        {
            // Counted out before the listener is told, so that it may submit the next request at once.
            const std::lock_guard lock(core->mutex);
            --core->running;
            stopping = core->stopping;
        }
        if (stopping && !completion.status && completion.status.error().code == ErrorCode::RunFailed)
            completion.status = fail(ErrorCode::Cancelled, "run inference", "the engine was closed while it ran", {});
        const std::lock_guard lock(core->delivery);
        task.listener->completed(std::move(completion));
    }
}

Status EngineWorkers::execute(const Core &core, unsigned index, const EngineTask &task)
{
    OrtRunner &runner = *core.runners[index];
    if (task.plan) {
        task.plan->preprocess.run(task.view, task.region, task.plan->scratch[index].span(), runner.input(0));
    } else {
        for (size_t p = 0; p < core.plane_input.size(); ++p)
            // ONNX Runtime takes inputs as mutable and does not write to them.
            if (auto status = runner.bind_input(core.plane_input[p], const_cast<std::byte *>(task.view.data[p]));
                !status)
                return status;
    }
    return runner.run(task.output);
}

} // namespace hl
