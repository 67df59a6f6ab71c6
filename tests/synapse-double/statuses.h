// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "synapseabi.h"

#include <optional>
#include <string_view>

namespace hl::dbl {

// "synFail" and so on, of the statuses that the facts name.
[[nodiscard]] std::optional<int> status_named(std::string_view name);
// One sentence. Of a status that is not known: "Unknown status".
[[nodiscard]] std::string_view status_description(synStatus status);

} // namespace hl::dbl
