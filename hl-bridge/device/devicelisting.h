// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <optional>
#include <string>

namespace hl {

// A device that Device::open() would find, as it is known without opening anything: from sysfs. Fields that sysfs does
// not tell are empty.
struct DeviceListing {
    std::string name;     // as DeviceInfo::name
    std::string backend;  // that lists it: "sim", "kernel"; a "kernel" one may be opened by "synapse"
    std::string stand_in; // "SIM", "EMU", "HW"
    std::string chip;     // "Gaudi2"
    std::string spec;     // what open() takes for this device
    bool simulated = false;
    std::string pci_address;    // "0000:4d:00.0"
    std::string node;           // "/dev/accel/accel0"; empty: no driver made one
    std::string driver;         // that is bound to it: "habanalabs"
    std::string driver_version; // of a driver that has one; the kernel's own has none
    std::string firmware;       // version
    std::string status;         // the driver's word when it was listed: "Operational"
    std::optional<int> module;  // the chip's place on its board
    std::optional<int> numa_node;
};

} // namespace hl
