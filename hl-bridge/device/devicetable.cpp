// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/devicetable.h"

namespace hl {

DeviceTable &DeviceTable::instance()
{
    // Never destroyed: a device may outlive static destruction (a GStreamer object that leaks).
    static auto *table = new DeviceTable;
    return *table;
}

Result<std::shared_ptr<Device>> DeviceTable::get(const std::string &key, const Opener &opener)
{
    std::unique_lock lock(mutex_);
    std::shared_ptr<Device> device;
    gone_.wait(lock, [&] {
        const auto at = devices_.find(key);
        if (at == devices_.end())
            return true;
        device = at->second.lock();
        return device != nullptr; // else its destructor runs now
    });
    if (device) {
        lock.unlock();
        if (device->lost())
            if (auto recovered = device->recover(); !recovered)
                return std::unexpected(std::move(recovered.error()));
        return device;
    }
    auto opened = opener();
    if (!opened)
        return std::unexpected(std::move(opened.error()));
    device = std::shared_ptr<Device>(opened->release(), [this, key](Device *dying) {
        delete dying;
        const std::lock_guard table(mutex_);
        devices_.erase(key);
        gone_.notify_all();
    });
    devices_[key] = device;
    return device;
}

} // namespace hl
