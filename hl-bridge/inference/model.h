// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "inference/modelinfo.h"

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// A model as named by a user, before an engine has loaded it.
struct Model {
    std::string name;                // for people: the file's name or "builtin:demo"
    std::string path;                // of the network's file; empty where the description alone is enough (engine=null)
    std::string info_path;           // of the .modelinfo read, or the one that would be looked for
    std::optional<ModelInfo> info;   // as read; an engine may complete it from the model's own metadata
    std::vector<std::string> labels; // one per class, from the label file; empty: none

    // `reference`: a path, or "builtin:NAME" for installed data ($HL_DATA_DIR, then the installed directory).
    // `info_path`: empty = "<model>.modelinfo" beside it if present. Errors: ModelMissing, ModelInfoInvalid,
    // LabelsInvalid.
    [[nodiscard]] static Result<Model> load(std::string_view reference, std::string_view info_path = {});
};

} // namespace hl
