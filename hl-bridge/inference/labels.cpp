// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/labels.h"

#include "inference/boundedfile.h"

#include <algorithm>
#include <format>

namespace hl {
namespace {

constexpr size_t max_labels = 65536;
constexpr size_t max_file = 4u << 20;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr std::string_view blanks = " \t\r\f\v";

std::unexpected<Error> refuse(std::string cause)
{
    return fail(ErrorCode::LabelsInvalid, "read label file", std::move(cause),
                "give a UTF-8 text file with one label per line, in the order of the model's classes");
}

// RFC 3629, 4: no overlong form, no half of a surrogate pair, nothing above U+10FFFF. No zero either, which is no text.
bool utf8(std::string_view text) noexcept
{
    for (size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        const size_t more = c < 0x80 ? 0 : c < 0xe0 ? 1 : c < 0xf0 ? 2 : 3;
        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || more >= text.size() - i)
            return false;
        unsigned char low = c == 0xe0 ? 0xa0 : c == 0xf0 ? 0x90 : 0x80;
        unsigned char high = c == 0xed ? 0x9f : c == 0xf4 ? 0x8f : 0xbf;
        for (size_t k = 1; k <= more; ++k) {
            const auto next = static_cast<unsigned char>(text[i + k]);
            if (next < low || next > high)
                return false;
            low = 0x80;
            high = 0xbf;
        }
        i += more + 1;
    }
    return true;
}

} // namespace

Result<std::vector<std::string>> read_labels(const std::string &path)
{
    const auto text =
        read_bounded_file(path, max_file, ErrorCode::LabelsInvalid, ErrorCode::LabelsInvalid, "label file");
    if (!text)
        return std::unexpected(text.error());
    return parse_labels(*text, path);
}

Result<std::vector<std::string>> parse_labels(std::string_view text, const std::string &path)
{
    if (!utf8(text))
        return refuse(std::format("the label file {} is not UTF-8 text", path));

    std::string_view rest = text;
    if (rest.starts_with(byte_order_mark))
        rest.remove_prefix(byte_order_mark.size());
    std::vector<std::string> labels;
    while (!rest.empty()) {
        const size_t end = std::min(rest.find('\n'), rest.size());
        const auto line = rest.substr(0, end);
        rest.remove_prefix(std::min(end + 1, rest.size()));
        const size_t first = line.find_first_not_of(blanks);
        labels.emplace_back(first == line.npos ? std::string_view{}
                                               : line.substr(first, line.find_last_not_of(blanks) - first + 1));
        if (labels.size() > max_labels)
            return refuse(std::format("the label file {} has more than {} lines", path, max_labels));
    }
    while (!labels.empty() && labels.back().empty())
        labels.pop_back();
    if (labels.empty())
        return refuse(std::format("the label file {} has no labels", path));
    return labels;
}

} // namespace hl
