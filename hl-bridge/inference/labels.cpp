// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/labels.h"

#include "core/uniquefd.h"

#include <glib.h>

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <format>
#include <string_view>

namespace hl {

namespace {

constexpr size_t max_labels = 65536;
constexpr size_t max_file = 4u << 20;
constexpr std::string_view byte_order_mark = "\xef\xbb\xbf";
constexpr std::string_view blanks = " \t\r\f\v";

std::unexpected<Error> refuse(std::string cause, int sys_errno = 0)
{
    return fail(ErrorCode::LabelsInvalid, "read label file", std::move(cause),
                "give a UTF-8 text file with one label per line, in the order of the model's classes", sys_errno);
}

Result<std::string> read_file(const std::string &path)
{
    // O_NONBLOCK: opening a FIFO must not wait for its writer.
    const UniqueFd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK));
    if (!file)
        return refuse(std::format("cannot open the label file {}", path), errno);
    std::string text;
    char part[4096];
    for (;;) {
        const ssize_t got = ::read(file.get(), part, sizeof part);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return refuse(std::format("cannot read the label file {}", path), errno);
        if (got == 0)
            return text;
        text.append(part, static_cast<size_t>(got));
        if (text.size() > max_file)
            return refuse(std::format("the label file {} is larger than {} bytes", path, max_file));
    }
}

} // namespace

Result<std::vector<std::string>> read_labels(const std::string &path)
{
    const auto text = read_file(path);
    if (!text)
        return std::unexpected(text.error());
    // g_utf8_validate_len() also refuses NUL bytes.
    if (!g_utf8_validate_len(text->data(), text->size(), nullptr))
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
        return refuse(std::format("the label file {} names no label", path));
    return labels;
}

} // namespace hl
