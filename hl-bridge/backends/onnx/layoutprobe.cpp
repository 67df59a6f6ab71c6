// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/layoutprobe.h"

#include "backends/onnx/alignedbuffer.h"
#include "backends/onnx/ortrunner.h"

#include <algorithm>
#include <atomic>
#include <barrier>
#include <chrono>
#include <optional>
#include <thread>

namespace hl {
namespace {

using Seconds = std::chrono::duration<double>;
using SteadyClock = std::chrono::steady_clock;

constexpr Seconds budget{0.3};
constexpr int rounds = 3;
constexpr double decisive = 1.05;

struct Caller {
    std::unique_ptr<OrtRunner> runner;
    AlignedBuffer output;
};

// One candidate, warmed up.
struct Contestant {
    std::vector<Caller> callers;
    double best = 0.0;
    Seconds single{0.0}; // how long one run took when warm
};

// Runs all callers side by side for `slice`, at least once each. Returns runs per second.
Result<double> run_slice(Contestant &contestant, Seconds slice)
{
    const size_t n = contestant.callers.size();
    std::barrier start(static_cast<std::ptrdiff_t>(n));
    std::vector<uint64_t> runs(n, 0);
    std::vector<Status> status(n);
    std::vector<SteadyClock::time_point> begun(n), ended(n);
    const auto body = [&](size_t i) {
        Caller &caller = contestant.callers[i];
        start.arrive_and_wait();
        begun[i] = SteadyClock::now();
        do {
            status[i] = caller.runner->run(caller.output.span().data());
            ++runs[i];
            ended[i] = SteadyClock::now();
        } while (status[i] && ended[i] - begun[i] < slice);
    };
    {
        std::vector<std::jthread> threads;
        for (size_t i = 1; i < n; ++i)
            threads.emplace_back(body, i);
        body(0);
    }
    double per_second = 0.0;
    for (size_t i = 0; i < n; ++i) {
        if (!status[i])
            return std::unexpected(status[i].error());
        per_second += static_cast<double>(runs[i]) / Seconds(ended[i] - begun[i]).count();
    }
    return per_second;
}

Result<Contestant> prepare(const ComputeLayout &layout, const SessionFor &session_for,
                           std::span<const EngineTensor> inputs, std::span<const EngineTensor> outputs,
                           uint64_t output_bytes)
{
    auto session = session_for(layout.threads);
    if (!session)
        return std::unexpected(session.error());
    Contestant out;
    for (unsigned i = 0; i < layout.callers; ++i) {
        Caller caller{std::make_unique<OrtRunner>(*session, inputs, outputs, true), AlignedBuffer(output_bytes)};
        for (int warm = 0; warm < 2; ++warm) {
            const auto from = SteadyClock::now();
            if (auto status = caller.runner->run(caller.output.span().data()); !status)
                return std::unexpected(status.error());
            out.single = SteadyClock::now() - from;
            if (out.single > budget / 10)
                break; // long enough that warmth is noise
        }
        out.callers.push_back(std::move(caller));
    }
    return out;
}

} // namespace

std::vector<ComputeLayout> candidate_layouts(unsigned threads, unsigned in_flight)
{
    const unsigned all = threads > 0 ? threads : usable_cores();
    const unsigned callers = in_flight > 0 ? std::min(all, in_flight) : all;
    std::vector<ComputeLayout> out;
    const auto add = [&](ComputeLayout layout) {
        if (std::ranges::find(out, layout) == out.end())
            out.push_back(layout);
    };
    if (callers < all)
        add({1, all});
    add({callers, 1});
    add({1, all});
    add({1, 1});
    return out;
}

Result<std::vector<MeasuredLayout>> measure_layouts(const std::vector<ComputeLayout> &candidates,
                                                    const SessionFor &session_for, std::span<const EngineTensor> inputs,
                                                    std::span<const EngineTensor> outputs, uint64_t output_bytes)
{
    std::vector<Contestant> contestants;
    Seconds longest{0.0};
    for (const ComputeLayout &layout : candidates) {
        auto contestant = prepare(layout, session_for, inputs, outputs, output_bytes);
        if (!contestant)
            return std::unexpected(contestant.error());
        longest = std::max(longest, contestant->single);
        contestants.push_back(std::move(*contestant));
    }
    const Seconds slice = budget / (rounds * static_cast<double>(contestants.size()));
    const int times = longest > slice ? 1 : rounds;
    // In turns, the best of each: a neighbour's burst of load then hits a round, not a candidate.
    for (int round = 0; round < times; ++round)
        for (Contestant &contestant : contestants) {
            const auto speed = run_slice(contestant, slice);
            if (!speed)
                return std::unexpected(speed.error());
            contestant.best = std::max(contestant.best, *speed);
        }
    std::vector<MeasuredLayout> out;
    for (size_t i = 0; i < candidates.size(); ++i)
        out.push_back({candidates[i], contestants[i].best});
    return out;
}

ComputeLayout best_layout(const std::vector<MeasuredLayout> &measured)
{
    MeasuredLayout best = measured.front();
    for (const MeasuredLayout &m : measured)
        if (m.per_second > best.per_second * decisive)
            best = m;
    return best.layout;
}

} // namespace hl
