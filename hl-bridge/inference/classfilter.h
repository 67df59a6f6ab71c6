// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// Reads a list of classes, "person,car" or "0,2": each a label, or the index of a class where no label reads like that.
// Blanks around an entry are dropped. `classes`: how many there are, 0: unknown. Returns what DecodeOptions::wanted
// takes; empty for an empty list. Errors: ClassUnknown, naming the entry and the labels there are.
[[nodiscard]] Result<std::vector<uint8_t>> parse_classes(std::string_view list, std::span<const std::string> labels,
                                                         uint32_t classes);

} // namespace hl
