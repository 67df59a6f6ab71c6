// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace hl {

// Runs `work` on a thread that nobody joins. It ends by itself, soon; a process that exits meanwhile waits for it (at
// most 10 s), before the static objects of the libraries that `work` calls are destroyed: exit(3) runs what
// was registered last first, and those were registered at load or by earlier calls. Throws std::system_error where no
// thread can be had. Thread safe.
void run_straggler(std::function<void()> work);

// Joins `threads`, which end soon, on a straggler: for a destructor that runs on one of them.
void join_elsewhere(std::vector<std::thread> threads) noexcept;

} // namespace hl
