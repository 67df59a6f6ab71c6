// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/labels.h"

#include "core/text.h"
#include "inference/boundedfile.h"

#include <algorithm>
#include <format>

namespace hl {
namespace {

constexpr size_t max_labels = 65536;
constexpr size_t max_file = 4u << 20;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";

std::unexpected<Error> refuse(std::string cause)
{
    return fail(ErrorCode::LabelsInvalid, "read label file", std::move(cause),
                "give a UTF-8 text file with one label per line, in the order of the model's classes");
}

// No zero either, which is no text.
bool utf8(std::string_view text) noexcept
{
    while (!text.empty()) {
        const size_t size = text[0] == 0 ? 0 : utf8_character(text);
        if (size == 0)
            return false;
        text.remove_prefix(size);
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
        labels.emplace_back(trimmed(rest.substr(0, end)));
        rest.remove_prefix(std::min(end + 1, rest.size()));
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
