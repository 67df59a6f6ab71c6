// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <cstdint>
#include <map>
#include <string>

namespace hl {

// Files beside a model that hold tensors of it (ONNX "external data"), and how many bytes of each it says it needs.
using ExternalData = std::map<std::string, uint64_t>;

// Finds the external data of an ONNX file: of initializers, sparse ones too, and of tensors in attributes, in graphs of
// any depth, functions and training steps. Reads `fd` (which stays the caller's, `size` bytes) a window at a time and
// never its weights. `path` is for messages. Errors: ModelCorrupt for what is no sound protobuf file.
[[nodiscard]] Result<ExternalData> find_external_data(int fd, uint64_t size, const std::string &path);

// What has to hold before ONNX Runtime, which believes a file, gets to open it: it is sound and can be loaded, and what
// it would open besides lies in its own folder. Errors: ModelMissing, ModelCorrupt, ModelTooLarge, ModelDataOutside.
[[nodiscard]] Status check_model_file(const std::string &path);

} // namespace hl
