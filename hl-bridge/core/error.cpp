// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/error.h"

#include <cstring>
#include <format>
#include <utility>

namespace hl {

std::string_view error_code_name(ErrorCode code) noexcept
{
    switch (code) {
#define HL_X(name, text, meaning)                                                                                      \
    case ErrorCode::name:                                                                                              \
        return text;
        HL_ERROR_CODES(HL_X)
#undef HL_X
    }
    return "HL-INT-001";
}

std::string_view error_code_meaning(ErrorCode code) noexcept
{
    switch (code) {
#define HL_X(name, text, meaning)                                                                                      \
    case ErrorCode::name:                                                                                              \
        return meaning;
        HL_ERROR_CODES(HL_X)
#undef HL_X
    }
    return "unknown error";
}

std::string errno_text(int sys_errno)
{
    if (sys_errno == 0)
        return {};
    // strerrorname_np and strerrordesc_np (glibc 2.32) return static strings, so no thread shares a buffer.
    const char *name = strerrorname_np(sys_errno);
    const char *text = strerrordesc_np(sys_errno);
    return std::format("{} ({}, {})", name ? name : "E?", sys_errno, text ? text : "unknown");
}

std::string Error::headline() const
{
    return std::format("{}: {}", error_code_name(code),
                       cause.empty() ? error_code_meaning(code) : std::string_view(cause));
}

std::string Error::details() const
{
    std::string text = std::format("{}: {}", error_code_name(code), error_code_meaning(code));
    if (!operation.empty())
        text += std::format("; operation: {}", operation);
    if (!device.empty())
        text += std::format("; device: {}", device);
    if (sys_errno != 0)
        text += std::format("; errno: {}", errno_text(sys_errno));
    if (!cause.empty())
        text += std::format("; cause: {}", cause);
    if (!remedy.empty())
        text += std::format("; remedy: {}", remedy);
    return text;
}

std::unexpected<Error> fail(ErrorCode code, std::string operation, std::string cause, std::string remedy, int sys_errno,
                            std::string device)
{
    return std::unexpected(
        Error{code, std::move(operation), sys_errno, std::move(device), std::move(cause), std::move(remedy)});
}

} // namespace hl
