// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/onnx/ortsession.h"
#include "inference/engine.h"
#include "inference/preprocess.h"

#include <string>
#include <vector>

namespace hl {

// A network and its description, brought together: what goes in and what comes out.
struct NetworkPlan {
    InputKind kind = InputKind::Image;
    ImageTarget image;               // kind Image
    FrameFormat planes;              // kind RawPlanes: format and size of the frames
    std::vector<size_t> plane_input; // kind RawPlanes: which input takes plane i
    std::vector<TensorInfo> inputs;  // in the network's order, all dimensions known
    std::vector<TensorInfo> outputs; // in the network's order, dimensions may be open until settle_outputs()
    std::string group_id;
};

// Checks the network against its description, and both against what this engine takes. Errors: ModelUnsupported,
// ModelInfoInvalid, ModelInfoMissing.
[[nodiscard]] Result<NetworkPlan> plan_network(const Network &network, const Model &model);

// Fills in what a first run has shown. Errors: ModelUnsupported, ModelInfoInvalid.
[[nodiscard]] Status settle_outputs(NetworkPlan &plan, std::span<const TensorShape> shapes, const Model &model);

// The description of a network as far as it can be told from the network itself, ids and ranges guessed: what a user
// starts from.
[[nodiscard]] ModelInfo guess_description(const Network &network, const std::string &model_name);

} // namespace hl
