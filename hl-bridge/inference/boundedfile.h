// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <cstddef>
#include <string>

namespace hl {

// The bytes of a regular file of at most `limit` bytes. For files a user names: a directory, a device or a pipe is
// refused, never waited for. Errors: `missing` where it cannot be read, `invalid` where it is larger.
[[nodiscard]] Result<std::string> read_bounded_file(const std::string &path, size_t limit, ErrorCode missing,
                                                    ErrorCode invalid, const std::string &what);

} // namespace hl
