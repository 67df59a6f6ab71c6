// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/onnx/layoutchoice.h"
#include "backends/onnx/networkplan.h"
#include "backends/onnx/ortsession.h"
#include "inference/engine.h"

#include <chrono>
#include <functional>
#include <memory>
#include <vector>

namespace hl {

// Gives the session, with that many threads per caller, that the caller with this number runs.
using SessionFor = std::function<Result<std::shared_ptr<OrtSession>>(unsigned threads, unsigned caller)>;

// What a measurement needs to know of a model.
struct ProbeModel {
    const NetworkPlan &plan;
    const EngineInfo &info; // inputs, outputs and output_bytes
    SessionFor session_for;
    std::chrono::duration<double> run_time; // of one run on one thread
};

// Measures the candidates with real runs on a blank frame of the model's size, preprocessing included where the engine
// does it. Opens sessions. A slow model's layouts are not tried, nor decided.
[[nodiscard]] Result<LayoutChoice> measure_layouts(const std::vector<ComputeLayout> &candidates,
                                                   const ProbeModel &model);

} // namespace hl
