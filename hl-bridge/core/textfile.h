// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <string>
#include <string_view>

namespace hl {

// Writes a file whole or not at all: a reader, and a full disk, see the old file or the new one, which keeps the old
// one's permissions. What is no regular file (a pipe, a terminal, a link), or cannot be replaced where it is (its
// folder is not writable, or it is mounted), is written to as it is. Errors: FileWrite, with the errno.
[[nodiscard]] Status write_text_file(const std::string &path, std::string_view text);

// Adds to the end of a file, which is made if it is missing. On a full disk a part may have been added. Errors:
// FileWrite.
[[nodiscard]] Status append_text_file(const std::string &path, std::string_view text);

} // namespace hl
