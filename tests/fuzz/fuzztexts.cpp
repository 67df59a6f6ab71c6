// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/faultlist.h"
#include "device/devicespec.h"
#include "fuzztargets.h"
#include "inference/labels.h"
#include "inference/modelinfo.h"

#include <glib.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <string>
#include <utility>

namespace hl::test {

void require(bool promise)
{
    if (!promise)
        std::abort();
}

// However long the input. GLib judges what UTF-8 is, and which of its characters are for people.
void require_readable(const Error &error)
{
    constexpr size_t longest_error = 1000;
    require(!error.operation.empty() && !error.cause.empty() && !error.remedy.empty());
    require(error.details().size() <= longest_error);
    require(g_utf8_validate_len(error.cause.data(), error.cause.size(), nullptr));
    for (const char *at = error.cause.c_str(); *at; at = g_utf8_next_char(at))
        require(!g_unichar_iscntrl(g_utf8_get_char(at)));
}

namespace {

constexpr const char *path = "given/model"; // in what is refused

void require_error(const Error &error, ErrorCode code)
{
    require(error.code == code);
    require_readable(error);
}

void require_usable(const TensorInfo &tensor)
{
    require(!tensor.name.empty());
    for (const int64_t dim : tensor.shape.dims())
        require(dim == -1 || dim > 0);
    for (const auto &[low, high] : tensor.ranges)
        require(std::isfinite(low) && std::isfinite(high) && low < high);
}

void require_usable(const PreprocessInfo &preprocess)
{
    for (size_t c = 0; c < 3; ++c)
        require(std::isfinite(preprocess.mean[c]) && std::isfinite(preprocess.scale_by[c]) &&
                preprocess.scale_by[c] != 0.f);
}

void require_equal(const TensorInfo &a, const TensorInfo &b)
{
    require(a.name == b.name && a.direction == b.direction && a.id == b.id && a.type == b.type && a.shape == b.shape &&
            a.column_major == b.column_major && a.ranges == b.ranges);
}

} // namespace

// What was read is usable, and what skeleton() writes of it reads the same.
void fuzz_modelinfo(std::span<const std::byte> text)
{
    const auto info = ModelInfo::parse(std::string(text_of(text)), path);
    if (!info)
        return require_error(info.error(), ErrorCode::ModelInfoInvalid);
    for (const TensorInfo &tensor : info->tensors)
        require_usable(tensor);
    require_usable(info->preprocess);

    const auto again = ModelInfo::parse(info->skeleton(), path);
    require(again.has_value());
    require(again->version == info->version && again->group_id == info->group_id);
    require(again->tensors.size() == info->tensors.size());
    for (size_t i = 0; i < info->tensors.size(); ++i)
        require_equal(again->tensors[i], info->tensors[i]);
}

// GLib judges what UTF-8 is.
void fuzz_labels(std::span<const std::byte> bytes)
{
    const std::string_view text = text_of(bytes);
    const bool is_text = text.empty() || g_utf8_validate_len(text.data(), text.size(), nullptr);
    const auto labels = parse_labels(text, path);
    if (!labels) {
        require_error(labels.error(), ErrorCode::LabelsInvalid);
        require(is_text != labels.error().cause.contains("not UTF-8"));
        return;
    }
    require(is_text && !labels->empty() && !labels->back().empty() && labels->size() <= 65536);
    for (const std::string &label : *labels)
        require(label.find('\n') == label.npos &&
                (label.empty() || g_utf8_validate_len(label.data(), label.size(), nullptr)));
}

// An item that is taken is a word of the grammar in faultlist.h, with blanks around it at most.
void fuzz_faults(std::span<const std::byte> bytes)
{
    const std::string_view text = text_of(bytes);
    auto list = sim::FaultList::parse(text);
    if (!list)
        return require_error(list.error(), ErrorCode::DeviceConfig);
    constexpr std::string_view blanks = " \t\r\n\f\v";
    for (size_t at = 0; text.find_first_not_of(blanks) != text.npos && at <= text.size();) {
        const size_t comma = std::min(text.find(',', at), text.size());
        std::string_view item = text.substr(at, comma - at);
        item.remove_prefix(std::min(item.find_first_not_of(blanks), item.size()));
        item = item.substr(0, item.find_last_not_of(blanks) + 1);
        require(!item.empty() && std::ranges::all_of(item, [](char c) { return c > ' ' && c < 127; }));
        at = comma + 1;
    }
    for (size_t i = 0; i < sim::fault_points; ++i) {
        const auto point = static_cast<sim::FaultPoint>(i);
        for (int event = 0; event < 3; ++event)
            require(!list->next(point) || list->strikes(point));
    }
    using enum sim::FaultPoint;
    for (const auto &[submission, end] : {std::pair{CopySubmit, Copy}, std::pair{Submit, Run}})
        for (int event = 0; event < 3; ++event) {
            const sim::Fault fault = list->next(submission, end);
            require(!fault || list->strikes(submission) || list->strikes(end));
            require(!fault.ends || (fault.error != 0 && list->strikes(end)));
        }
}

void fuzz_devicespec(std::span<const std::byte> text)
{
    const auto spec = DeviceSpec::parse(text_of(text));
    if (!spec)
        return require_error(spec.error(), ErrorCode::DeviceSpec);
    const auto again = DeviceSpec::parse(spec->text());
    require(again.has_value() && *again == *spec);
}

} // namespace hl::test
