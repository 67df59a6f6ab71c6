// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/onnx/layoutprobe.h"
#include "inference/engine.h"

#include <functional>
#include <memory>
#include <vector>

namespace hl {

// How the layout of a model's threads is found, where the user left it open.
using LayoutMeasurement =
    std::function<Result<LayoutChoice>(const std::vector<ComputeLayout> &candidates, const ProbeModel &model)>;

// Loads an .onnx model into ONNX Runtime's CPU provider, with all graph optimisations. Inputs are one image (uint8 or
// float32, NCHW or NHWC, three channels), preprocessed on the worker, or the planes of an NV12 frame, bound where they
// lie (tight strides only: a copy here would be one that nobody counts). Outputs are written straight into the
// request's output memory. Tensor ids come from the .modelinfo, else from the model's metadata_props (key: the output's
// name). Errors: ModelMissing, ModelCorrupt, ModelUnsupported, ModelInfoMissing (its remedy holds the file to write),
// ModelInfoInvalid.
[[nodiscard]] Result<std::shared_ptr<Engine>> create_onnx_engine(const Model &model, const EngineOptions &options,
                                                                 std::shared_ptr<MemoryResolver> resolver,
                                                                 LayoutMeasurement measurement = measure_layouts);

} // namespace hl
