// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <string>
#include <string_view>
#include <vector>

namespace hl {

// Reads a label file: UTF-8 text, one label per line in the order of the model's classes, blanks around a label are
// dropped. An empty line is a class without a name, except at the end. Errors: LabelsInvalid (unreadable, not text, no
// label, more than 65536 labels).
[[nodiscard]] Result<std::vector<std::string>> read_labels(const std::string &path);
// The same of a file's text; `path` is what errors call it.
[[nodiscard]] Result<std::vector<std::string>> parse_labels(std::string_view text, const std::string &path);

} // namespace hl
