// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <functional>
#include <thread>
#include <vector>

namespace hl {

// For work that ends soon on a thread which the owner does not join. While one lives, a process that exits waits (at most
// 10 s), before the static objects of the libraries that the work calls are destroyed: exit(3) runs what was registered
// last first, and those were registered at load or by earlier calls. Thread safe.
class Straggler {
public:
    Straggler();
    Straggler(const Straggler &) = delete;
    Straggler &operator=(const Straggler &) = delete;
    ~Straggler();
};

// Runs `work` as a straggler, on a thread of its own. Throws std::system_error where no thread can be had. Thread safe.
void run_straggler(std::function<void()> work);

// Joins `threads`, which end soon, on a straggler: for a destructor that runs on one of them.
void join_elsewhere(std::vector<std::thread> threads) noexcept;

} // namespace hl
