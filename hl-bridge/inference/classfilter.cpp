// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/classfilter.h"

#include "core/text.h"
#include "inference/tensordecoder.h"

#include <algorithm>
#include <charconv>
#include <format>
#include <optional>

namespace hl {

namespace {

constexpr size_t named_in_error = 10;

std::optional<uint32_t> index_of(std::string_view text) noexcept
{
    uint32_t index = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), index);
    return error == std::errc() && end == text.data() + text.size() ? std::optional(index) : std::nullopt;
}

std::unexpected<Error> unknown(std::string_view entry, std::span<const std::string> labels, uint32_t classes)
{
    std::string there;
    for (const auto &label : labels.first(std::min(labels.size(), named_in_error)))
        there += std::format("{}\"{}\"", there.empty() ? "" : ", ", shown(label));
    if (labels.size() > named_in_error)
        there += std::format(" and {} more", labels.size() - named_in_error);
    return fail(ErrorCode::ClassUnknown, "choose classes",
                std::format("\"{}\" is no class of this model; {}{}", shown(entry),
                            there.empty() ? "its labels are not known" : "its labels are " + there,
                            classes == 0 ? "" : std::format("; indices go from 0 to {}", classes - 1)),
                "give labels or indices of classes, with commas between, in the property classes");
}

void want(std::vector<uint8_t> &wanted, size_t index)
{
    if (wanted.size() <= index)
        wanted.resize(index + 1, 0);
    wanted[index] = 1;
}

} // namespace

Result<std::vector<uint8_t>> parse_classes(std::string_view list, std::span<const std::string> labels, uint32_t classes)
{
    std::vector<uint8_t> wanted;
    if (trimmed(list).empty())
        return wanted;
    const uint32_t limit = classes == 0 ? static_cast<uint32_t>(max_decoder_classes) : classes;
    while (true) {
        const auto comma = list.find(',');
        const auto entry = trimmed(list.substr(0, comma));
        bool found = false;
        for (size_t i = 0; i < std::min<size_t>(labels.size(), limit); ++i)
            if (!entry.empty() && labels[i] == entry) {
                want(wanted, i);
                found = true;
            }
        if (!found) {
            const auto index = index_of(entry);
            if (!index || *index >= limit)
                return unknown(entry, labels, classes);
            want(wanted, *index);
        }
        if (comma == std::string_view::npos)
            return wanted;
        list.remove_prefix(comma + 1);
    }
}

} // namespace hl
