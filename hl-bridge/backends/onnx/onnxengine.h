// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/engine.h"

#include <memory>

namespace hl {

// Loads an .onnx model into ONNX Runtime's CPU provider, with all graph optimisations. Inputs are one image (uint8 or
// float32, NCHW or NHWC, three channels), preprocessed on the worker, or the planes of an NV12 frame, bound where they
// lie (tight strides only: a copy here would be one that nobody counts). Outputs are written straight into the
// request's output memory. Tensor ids come from the .modelinfo, else from the model's metadata_props (key: the output's
// name). Errors: ModelMissing, ModelCorrupt, ModelUnsupported, ModelInfoMissing (its remedy holds the file to write),
// ModelInfoInvalid.
[[nodiscard]] Result<std::shared_ptr<Engine>> create_onnx_engine(const Model &model, const EngineOptions &options,
                                                                 std::shared_ptr<MemoryResolver> resolver);

} // namespace hl
