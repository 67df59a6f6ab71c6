// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <string>

namespace hl {

// Copies what hl-doctor reads of a machine's PCI tree from `root` ("" for the running machine) to below `directory`, in
// the same layout, so that hl-doctor --root reads it anywhere. Existing files are replaced. Errors: Internal, naming
// the file.
[[nodiscard]] Status save_tree(const std::string &root, const std::string &directory);

} // namespace hl
