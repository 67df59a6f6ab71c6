// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <string>

namespace hl {

// Where the data lie that `owner`, a model or its description, names `location`: a file in owner's own folder or below
// it, whatever links lead there. A stranger's file is not to choose what else of this machine is read. Thread safe.
// Errors: ModelDataOutside, ModelMissing.
[[nodiscard]] Result<std::string> find_data_file(const std::string &owner, const std::string &location);

} // namespace hl
