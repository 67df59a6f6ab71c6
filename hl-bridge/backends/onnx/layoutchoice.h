// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/onnx/layoutcache.h"
#include "core/error.h"

#include <chrono>
#include <functional>
#include <string>
#include <vector>

namespace hl {

// The layouts worth trying within `threads` threads (0: all cores) and `in_flight` requests (0: any number): one caller
// with all threads, a caller per thread, and one caller with one thread. The first is the one to take unmeasured: a
// caller per thread, unless that leaves threads idle.
[[nodiscard]] std::vector<ComputeLayout> candidate_layouts(unsigned threads, unsigned in_flight);

// Runs shorter than the one cost little beside what surrounds them; for a dozen of the other nobody wants to wait.
inline constexpr std::chrono::milliseconds short_run{2};
inline constexpr std::chrono::milliseconds slow_run{500};

// Requests to keep submitted so that none of so many callers starves, where a run takes so long.
[[nodiscard]] unsigned requests_in_flight(unsigned callers, std::chrono::duration<double> run_time);

// What one candidate did in one slice of time.
struct LayoutSlice {
    double per_second = 0.0; // runs
    double cpu_share = 1.0;  // of the time its threads wanted to compute, how much they were given; 1 where unknown
};

// Runs a candidate, by its number, for about as long as given, at least one run per caller.
using SliceRunner = std::function<Result<LayoutSlice>(size_t candidate, std::chrono::duration<double> slice)>;

struct LayoutChoice {
    ComputeLayout layout;
    bool decided = false;                 // else the layout is the first candidate, and nothing is to be remembered
    std::string reason;                   // why it is not decided
    std::vector<MeasuredLayout> measured; // medians, in the order of the candidates
};

// Runs the candidates in turns and compares them round by round, so that what slows a round slows both sides of each
// comparison. A candidate wins where it is more than 5 % faster in three quarters of the rounds, and loses where it is
// not in three quarters; between the two the noise decides, and that is no decision. Nor is what was measured while
// other programs had the CPU. `longest_run` is the longest of the candidates' single runs; takes about 400 ms, more
// only where nine such runs per candidate and caller are longer. Errors: the runner's.
[[nodiscard]] Result<LayoutChoice> choose_layout(const std::vector<ComputeLayout> &candidates, const SliceRunner &run,
                                                 std::chrono::duration<double> longest_run);

} // namespace hl
