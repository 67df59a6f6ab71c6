// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

namespace hl::dbl {

// The release whose ABI the double has, and whose recipes it takes.
inline constexpr int double_major = 1, double_minor = 21;

// What synDriverGetVersion says. In a file of its own, so that one of the wrong doubles differs in nothing else.
extern const char *const version_text;

} // namespace hl::dbl
