// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/layoutchoice.h"

#include <algorithm>
#include <format>

namespace hl {
namespace {

using Seconds = std::chrono::duration<double>;

constexpr Seconds budget{0.4};
constexpr int most_rounds = 9;
constexpr int least_rounds = 3;
constexpr double decisive = 1.05;
// Less CPU than this in the median round: somebody else computes. The tick and the kernel's own threads take below 1 %.
constexpr double enough_cpu = 0.95;

constexpr unsigned spare = 4;        // requests waiting beyond those worked on, at most
constexpr unsigned short_spare = 16; // likewise where runs are short

// The value below which the part `q` of the values lies.
double quantile(std::vector<double> values, double q)
{
    std::ranges::sort(values);
    const double at = q * static_cast<double>(values.size() - 1);
    const auto low = static_cast<size_t>(at);
    const size_t high = std::min(low + 1, values.size() - 1);
    return values[low] + (values[high] - values[low]) * (at - static_cast<double>(low));
}

struct Rounds {
    std::vector<std::vector<double>> speed; // by candidate, then by round
    std::vector<double> cpu_share;          // the least of each round
};

Result<Rounds> run_rounds(size_t candidates, const SliceRunner &run, int rounds, Seconds slice)
{
    Rounds out{.speed = std::vector<std::vector<double>>(candidates), .cpu_share = {}};
    for (int round = 0; round < rounds; ++round) {
        double share = 1.0;
        for (size_t i = 0; i < candidates; ++i) {
            // There and back, so that no candidate always follows the same one.
            const size_t candidate = round % 2 == 0 ? i : candidates - 1 - i;
            const auto result = run(candidate, slice);
            if (!result)
                return std::unexpected(result.error());
            out.speed[candidate].push_back(result->per_second);
            share = std::min(share, result->cpu_share);
        }
        out.cpu_share.push_back(share);
    }
    return out;
}

std::vector<double> ratios(const std::vector<double> &a, const std::vector<double> &b)
{
    std::vector<double> out;
    for (size_t i = 0; i < a.size(); ++i)
        out.push_back(a[i] / b[i]);
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

// A caller that is done must find the next request waiting, also while the thread that submits is about to run. A
// request more per caller gave 2 to 5 % over one more in all (two callers, best rounds on a busy machine). Where runs
// are short, waking that thread for each of them costs much of one: with more requests waiting it is woken for several,
// at little latency. More than these only cool the caches. Where runs are slow, waking costs nothing beside one, while
// a request that waits grows older by a whole run, and nearer to its deadline.
unsigned requests_in_flight(unsigned callers, Seconds run_time)
{
    if (run_time > slow_run)
        return callers;
    return callers + (run_time < short_run ? std::min(4 * callers, short_spare) : std::min(callers, spare));
}

Result<LayoutChoice> choose_layout(const std::vector<ComputeLayout> &candidates, const SliceRunner &run,
                                   Seconds longest_run)
{
    const auto slices = static_cast<double>(candidates.size());
    const int rounds =
        std::clamp(static_cast<int>(budget / (longest_run * slices + Seconds(1e-9))), least_rounds, most_rounds);
    const auto measured = run_rounds(candidates.size(), run, rounds, budget / (rounds * slices));
    if (!measured)
        return std::unexpected(measured.error());
    LayoutChoice choice{.layout = candidates.front(), .decided = true, .reason = {}, .measured = {}};
    for (size_t i = 0; i < candidates.size(); ++i)
        choice.measured.push_back({candidates[i], quantile(measured->speed[i], 0.5)});

    size_t best = 0;
    for (size_t i = 1; i < candidates.size(); ++i) {
        const std::vector<double> against = ratios(measured->speed[i], measured->speed[best]);
        if (quantile(against, 0.25) > decisive) {
            best = i;
        } else if (const double upper = quantile(against, 0.75); upper > decisive) {
            choice.decided = false;
            choice.reason = std::format("{} x {} threads is {:.2f} to {:.2f} times as fast as {} x {}",
                                        candidates[i].callers, candidates[i].threads, quantile(against, 0.25), upper,
                                        candidates[best].callers, candidates[best].threads);
        }
    }
    if (const double share = quantile(measured->cpu_share, 0.5); share < enough_cpu) {
        choice.decided = false;
        choice.reason = std::format("other programs used the CPU: {:.0f} % of it was ours", 100.0 * share);
    }
    if (choice.decided)
        choice.layout = candidates[best];
    return choice;
}

} // namespace hl
