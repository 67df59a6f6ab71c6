// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/stat.h>
#include <sys/types.h>

#include <functional>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// Processes with an open file that `wanted` says TRUE of, as far as this user may look (/proc/PID/fd), by number. Only
// files whose link begins with `prefix` ("/dev/", "/dmabuf:", "socket:") are asked about: stat(2) of others may block.
// Takes milliseconds.
[[nodiscard]] std::vector<pid_t> find_holders(std::string_view prefix,
                                              const std::function<bool(const struct stat &)> &wanted);

// Processes with an open dma-buf that this driver exported ("exp_name" in /proc/PID/fdinfo), likewise.
[[nodiscard]] std::vector<pid_t> find_dmabuf_holders(std::string_view exporter);

// "process 12 (gst-launch-1.0), process 13 (cat)"; "a process that cannot be seen" for none.
[[nodiscard]] std::string holders_text(const std::vector<pid_t> &pids);

} // namespace hl
