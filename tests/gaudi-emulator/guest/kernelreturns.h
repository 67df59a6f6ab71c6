// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/uniquefd.h"

#include <chrono>
#include <filesystem>
#include <functional>
#include <initializer_list>
#include <string>
#include <vector>

namespace gaudiemu::guest {

// Hears of the returns of some functions of the kernel that are entered after the constructor, by return probes in a
// tracing instance of its own (Documentation/trace/kprobetrace.rst).
class KernelReturns {
public:
    // Functions that are called, not inlined: "module:function" or "function". One that takes no probe fails the test,
    // and every wait is in vain.
    explicit KernelReturns(std::initializer_list<const char *> functions);
    ~KernelReturns();
    KernelReturns(const KernelReturns &) = delete;
    KernelReturns &operator=(const KernelReturns &) = delete;

    // Until one returns, if none has since the last call. False: not within so long.
    [[nodiscard]] bool wait(std::chrono::milliseconds bound);
    // Until `done` says so, which is asked at once and after each return. False likewise.
    [[nodiscard]] bool wait_until(const std::function<bool()> &done, std::chrono::milliseconds bound);

private:
    std::string name_; // of the instance, and of the probes' group
    std::filesystem::path instance_;
    std::vector<std::string> probes_;
    hl::UniqueFd pipe_;
};

} // namespace gaudiemu::guest
