// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <string_view>

namespace hl {

enum class LogLevel { Error, Warning, Info, Debug };

// Where hl-bridge's log lines go. The default drops all but errors and warnings, which it writes to stderr; the
// GStreamer plugin installs a sink that feeds a debug category. The sink is called from any thread and must not call
// back into hl-bridge. It is a plain function, so installing it is one atomic store.
using LogSink = void (*)(LogLevel level, std::string_view module, std::string_view text) noexcept;

// Replaces the sink; nullptr restores the default. Thread safe; meant to be called once, at load.
void set_log_sink(LogSink sink) noexcept;
void log(LogLevel level, std::string_view module, std::string_view text) noexcept;

} // namespace hl
