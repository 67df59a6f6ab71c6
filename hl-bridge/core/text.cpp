// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/text.h"

namespace hl {
namespace {

// Of one UTF-8 character.
bool steers(std::string_view character) noexcept
{
    const auto byte = [=](size_t i) { return static_cast<unsigned char>(character[i]); };
    if (character.size() == 1)
        return byte(0) < ' ' || byte(0) == 0x7f;
    if (character.size() == 2)
        return byte(0) == 0xc2 && byte(1) < 0xa0; // U+0080 to U+009F
    // U+2028 to U+202E: line ends and directions; U+2066 to U+2069: directions.
    return character.size() == 3 && byte(0) == 0xe2 &&
           ((byte(1) == 0x80 && byte(2) >= 0xa8 && byte(2) <= 0xae) ||
            (byte(1) == 0x81 && byte(2) >= 0xa6 && byte(2) <= 0xa9));
}

} // namespace

std::string_view trimmed(std::string_view text) noexcept
{
    constexpr std::string_view blanks = " \t\r\n\f\v";
    const size_t first = text.find_first_not_of(blanks);
    return first == text.npos ? std::string_view() : text.substr(first, text.find_last_not_of(blanks) - first + 1);
}

// RFC 3629, 4: no overlong form, no half of a surrogate pair, nothing above U+10FFFF.
size_t utf8_character(std::string_view text) noexcept
{
    if (text.empty())
        return 0;
    const auto c = static_cast<unsigned char>(text[0]);
    const size_t size = c < 0x80 ? 1 : c < 0xe0 ? 2 : c < 0xf0 ? 3 : 4;
    if ((c >= 0x80 && c < 0xc2) || c > 0xf4 || size > text.size())
        return 0;
    unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
    unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
    for (size_t i = 1; i < size; ++i) {
        const auto next = static_cast<unsigned char>(text[i]);
        if (next < low || next > high)
            return 0;
        low = 0x80;
        high = 0xbf;
    }
    return size;
}

std::string shown(std::string_view text, size_t limit)
{
    std::string out;
    while (!text.empty()) {
        const size_t size = utf8_character(text);
        const std::string_view next = size && !steers(text.substr(0, size)) ? text.substr(0, size) : "?";
        if (out.size() + next.size() > limit)
            return out + "...";
        out += next;
        text.remove_prefix(size ? size : 1);
    }
    return out;
}

} // namespace hl
