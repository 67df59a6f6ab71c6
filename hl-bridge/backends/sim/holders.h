// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

namespace hl::sim {

// Processes that hold the socket with this inode open, as far as this user may look (/proc/PID/fd).
[[nodiscard]] std::vector<pid_t> socket_holders(ino_t inode);

// "process 12 (gst-launch-1.0), process 13 (cat)"; "a process that cannot be seen" for none.
[[nodiscard]] std::string holders_text(const std::vector<pid_t> &pids);

} // namespace hl::sim
