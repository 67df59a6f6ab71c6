// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace hl {

// `text` without the blanks (space, tab, line ends, form feed) at both its ends.
[[nodiscard]] std::string_view trimmed(std::string_view text) noexcept;

// Bytes of the UTF-8 character that `text` begins with; 0 where it begins with none.
[[nodiscard]] size_t utf8_character(std::string_view text) noexcept;

// What somebody else wrote, as a message may hold it: '?' for what would steer a terminal (control characters, and
// those that turn the direction of writing) and for each byte that is no UTF-8; "..." behind `limit` bytes, no
// character being cut in two.
[[nodiscard]] std::string shown(std::string_view text, size_t limit = 80);

} // namespace hl
