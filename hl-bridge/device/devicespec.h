// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// A parsed device specification: auto | sim | sim:NAME | accelN | DDDD:BB:DD.F | module:N, or one of a real Gaudi
// behind the software it is to be reached through, "synapse:" or "kernel:", which stand alone for its auto.
struct DeviceSpec {
    enum class Kind : uint8_t { Auto, Sim, Accel, Pci, Module };
    // Any: SynapseAI where it can be used, else the kernel's driver alone.
    enum class Runtime : uint8_t { Any, Kernel, Synapse };

    Kind kind = Kind::Auto;
    std::string name;               // Sim: NAME or empty; Pci: the address in lower case
    uint32_t number = 0;            // Accel, Module
    Runtime runtime = Runtime::Any; // of all but Sim

    // NAME is 1 to 64 of A-Z a-z 0-9 _ - and dot. Errors: DeviceSpec naming the grammar.
    [[nodiscard]] static Result<DeviceSpec> parse(std::string_view text);
    // The canonical text: equal for specifications that name the same thing.
    [[nodiscard]] std::string text() const;

    // What $HL_RUNTIME asks of specifications that leave it open: "synapse", "kernel", or "auto" as when it is not set.
    // Errors: DeviceConfig.
    [[nodiscard]] static Result<Runtime> runtime_from_environment();

    friend bool operator==(const DeviceSpec &, const DeviceSpec &) = default;
};

// A Gaudi found on the PCI bus (vendor 0x1da3; its network functions are left out).
struct PciGaudi {
    std::string address; // "0000:4d:00.0"
    uint16_t device = 0; // PCI device id
    int accel = -1;      // N of /dev/accel/accelN, -1: no driver made a node
    bool legacy = false; // the node is /dev/hlN, of the driver in Linux 5.16 to 6.6
    int module = -1;     // module_id from sysfs, -1: unknown
};

// $HL_SYSFS, a saved or made-up tree for tests and for reading another machine's; else "/sys".
[[nodiscard]] std::string sysfs_root();

// Reads `sysfs`/bus/pci/devices. `sysfs` is "/sys", or a saved or made-up tree. Ordered by address.
[[nodiscard]] std::vector<PciGaudi> find_pci_gaudis(const std::string &sysfs);

// Whether HABANA_VISIBLE_MODULES (a list of module ids) and HABANA_VISIBLE_DEVICES (a list of accel numbers, "all",
// "none" or "void") let this process use the device. An unset variable and an unknown number do not hide.
// Errors: DeviceConfig for a malformed list.
[[nodiscard]] Result<bool> visible(const PciGaudi &gaudi);

} // namespace hl
