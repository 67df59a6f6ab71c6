// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/onnx/layoutcache.h"
#include "backends/onnx/ortsession.h"
#include "inference/engine.h"

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace hl {

// The layouts worth trying within `threads` threads (0: all cores) and `in_flight` requests (0: any number): one caller
// with all threads, a caller per thread, and one caller with one thread. The first is the one to take unmeasured: a
// caller per thread, unless that leaves threads idle.
[[nodiscard]] std::vector<ComputeLayout> candidate_layouts(unsigned threads, unsigned in_flight);

// Gives the session with that many threads per caller, opening it on first need.
using SessionFor = std::function<Result<std::shared_ptr<OrtSession>>(unsigned threads)>;

// Runs each candidate in turn, several times, on zeroed inputs; about 300 ms in all, more only where single runs are
// longer than that allows. Returns runs per second, in the order of the candidates.
[[nodiscard]] Result<std::vector<MeasuredLayout>>
measure_layouts(const std::vector<ComputeLayout> &candidates, const SessionFor &session_for,
                std::span<const EngineTensor> inputs, std::span<const EngineTensor> outputs, uint64_t output_bytes);

// The fastest; the earlier candidate where the difference is less than 5 %, which one measurement cannot tell apart.
[[nodiscard]] ComputeLayout best_layout(const std::vector<MeasuredLayout> &measured);

} // namespace hl
