// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/device.h"

#include <condition_variable>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <string>

namespace hl {

// The process's open devices, weakly: one object per chip, alive as long as someone uses it. With ImportCache the
// library's only global mutable state. Thread safe.
class DeviceTable {
public:
    using Opener = std::function<Result<std::unique_ptr<Device>>()>;

    [[nodiscard]] static DeviceTable &instance();

    // The object known as `key` (recovered if it was lost), else what `opener` makes. Waits for one that is just being
    // destroyed, so that its chip is free again.
    [[nodiscard]] Result<std::shared_ptr<Device>> get(const std::string &key, const Opener &opener);

private:
    std::mutex mutex_;
    std::condition_variable gone_;
    std::map<std::string, std::weak_ptr<Device>> devices_; // an entry stays until its object is destroyed
};

} // namespace hl
