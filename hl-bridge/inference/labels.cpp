// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/labels.h"

#include "inference/boundedfile.h"

#include <algorithm>
#include <format>
#include <string_view>

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

bool utf8(std::string_view text) noexcept
{
    for (size_t i = 0; i < text.size();) {
        const auto c = static_cast<unsigned char>(text[i]);
        const size_t more = c < 0x80                  ? 0
                            : (c >= 0xc2 && c < 0xe0) ? 1
                            : (c >= 0xe0 && c < 0xf0) ? 2
                            : (c >= 0xf0 && c < 0xf5) ? 3
                                                      : 4;
        if (c == 0 || more == 4 || i + more >= text.size() + (more == 0 ? 1 : 0))
            return false;
        for (size_t k = 1; k <= more; ++k)
            if ((static_cast<unsigned char>(text[i + k]) & 0xc0) != 0x80)
                return false;
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
    if (!utf8(*text))
        return refuse(std::format("the label file {} is not UTF-8 text", path));

    std::string_view rest = *text;
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
