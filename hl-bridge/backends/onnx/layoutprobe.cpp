// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/layoutprobe.h"

#include "backends/onnx/alignedbuffer.h"
#include "backends/onnx/ortrunner.h"
#include "inference/preprocess.h"

#include <algorithm>
#include <barrier>
#include <chrono>
#include <ctime>
#include <format>
#include <optional>
#include <thread>

namespace hl {
namespace {

using Seconds = std::chrono::duration<double>;
using SteadyClock = std::chrono::steady_clock;

// Runs longer than this are as fast cold as warm.
constexpr Seconds long_run{0.03};

Seconds thread_cpu_time() noexcept
{
    timespec t{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
    return std::chrono::seconds(t.tv_sec) + std::chrono::nanoseconds(t.tv_nsec);
}

// The frame that is preprocessed in every run. Its pixels do not matter to the time.
struct BlankFrame {
    explicit BlankFrame(const ImageTarget &target)
        : format{.format = PixelFormat::RGB, .width = target.width, .height = target.height},
          placement(packed_placement(format)), bytes(placement.size)
    {}

    [[nodiscard]] FrameView view() const
    {
        FrameView out{.format = format};
        out.data[0] = bytes.span().data() + placement.offset[0];
        out.stride[0] = placement.stride[0];
        return out;
    }

    FrameFormat format;
    PlanePlacement placement;
    AlignedBuffer bytes;
};

struct Caller {
    OrtRunner runner;
    AlignedBuffer output;
    AlignedBuffer scratch;
};

class Probe {
public:
    explicit Probe(const ProbeModel &model) : model_(model)
    {
        if (model.plan.kind != InputKind::Image)
            return;
        frame_.emplace(model.plan.image);
        if (auto plan = Preprocess::plan(frame_->format, model.plan.image))
            preprocess_ = std::move(*plan);
    }

    // Makes a candidate's callers and warms them up.
    Status add(const ComputeLayout &layout);
    Result<LayoutSlice> run_slice(size_t candidate, Seconds slice);
    [[nodiscard]] Seconds longest_run() const noexcept { return longest_run_; }

private:
    struct Contestant {
        ComputeLayout layout;
        std::vector<Caller> callers;
    };
    // What one caller did.
    struct Share {
        uint64_t runs = 0;
        Status status;
        Seconds wall{0.0};
        Seconds cpu{0.0};
    };

    Status run_once(Caller &caller) const;
    void run_caller(Caller &caller, Seconds slice, Share &share) const;

    const ProbeModel &model_;
    std::optional<BlankFrame> frame_;
    std::optional<Preprocess> preprocess_;
    std::vector<Contestant> contestants_;
    Seconds longest_run_{0.0};
};

Status Probe::run_once(Caller &caller) const
{
    if (preprocess_)
        preprocess_->run(frame_->view(), {}, caller.scratch.span(), caller.runner.input(0));
    return caller.runner.run(caller.output.span().data());
}

Status Probe::add(const ComputeLayout &layout)
{
    Contestant contestant{.layout = layout, .callers = {}};
    Seconds single{0.0};
    for (unsigned i = 0; i < layout.callers; ++i) {
        auto session = model_.session_for(layout.threads, i);
        if (!session)
            return std::unexpected(session.error());
        Caller &caller = contestant.callers.emplace_back(
            OrtRunner(*session, model_.info.inputs, model_.info.outputs, true), AlignedBuffer(model_.info.output_bytes),
            AlignedBuffer(preprocess_ ? preprocess_->scratch_bytes() : 0));
        for (int warm = 0; warm < 2; ++warm) {
            const auto from = SteadyClock::now();
            if (auto status = run_once(caller); !status)
                return status;
            single = SteadyClock::now() - from;
            if (single > long_run)
                break;
        }
    }
    longest_run_ = std::max(longest_run_, single);
    contestants_.push_back(std::move(contestant));
    return {};
}

void Probe::run_caller(Caller &caller, Seconds slice, Share &share) const
{
    const auto begun = SteadyClock::now();
    const Seconds cpu = thread_cpu_time();
    do {
        share.status = run_once(caller);
        ++share.runs;
        share.wall = SteadyClock::now() - begun;
    } while (share.status && share.wall < slice);
    share.cpu = thread_cpu_time() - cpu;
}

// Runs all callers side by side for `slice`, at least once each.
Result<LayoutSlice> Probe::run_slice(size_t candidate, Seconds slice)
{
    Contestant &contestant = contestants_[candidate];
    const size_t n = contestant.callers.size();
    std::barrier start(static_cast<std::ptrdiff_t>(n));
    std::vector<Share> shares(n);
    const auto body = [&](size_t i) {
        start.arrive_and_wait();
        run_caller(contestant.callers[i], slice, shares[i]);
    };
    {
        std::vector<std::jthread> threads;
        for (size_t i = 1; i < n; ++i)
            threads.emplace_back(body, i);
        body(0);
    }
    LayoutSlice out;
    for (const Share &share : shares) {
        if (!share.status)
            return std::unexpected(share.status.error());
        out.per_second += static_cast<double>(share.runs) / share.wall.count();
        // A caller with helpers waits for them in its sleep; one without never has to wait.
        if (contestant.layout.threads == 1)
            out.cpu_share = std::min(out.cpu_share, share.cpu / share.wall);
    }
    return out;
}

} // namespace

Result<LayoutChoice> measure_layouts(const std::vector<ComputeLayout> &candidates, const ProbeModel &model)
{
    if (model.run_time > slow_run)
        return LayoutChoice{.layout = candidates.front(),
                            .decided = false,
                            .reason =
                                std::format("one run takes {:.1f} s, too long to try them", model.run_time.count()),
                            .measured = {}};
    Probe probe(model);
    for (const ComputeLayout &layout : candidates)
        if (auto status = probe.add(layout); !status)
            return std::unexpected(status.error());
    return choose_layout(
        candidates, [&](size_t candidate, Seconds slice) { return probe.run_slice(candidate, slice); },
        probe.longest_run());
}

} // namespace hl
