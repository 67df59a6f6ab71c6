// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/log.h"

#include <atomic>
#include <cstdio>

namespace hl {
namespace {

void stderr_sink(LogLevel level, std::string_view module, std::string_view text) noexcept
{
    if (level > LogLevel::Warning)
        return;
    std::fprintf(stderr, "hl-bridge %.*s: %s: %.*s\n", static_cast<int>(module.size()), module.data(),
                 level == LogLevel::Error ? "error" : "warning", static_cast<int>(text.size()), text.data());
}

// The one process-wide setting besides the device table: a log has to be reachable from where no object is.
constinit std::atomic<LogSink> current_sink{stderr_sink};

} // namespace

void set_log_sink(LogSink sink) noexcept
{
    current_sink.store(sink ? sink : stderr_sink, std::memory_order_release);
}

void log(LogLevel level, std::string_view module, std::string_view text) noexcept
{
    current_sink.load(std::memory_order_acquire)(level, module, text);
}

} // namespace hl
