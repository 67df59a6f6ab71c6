// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/devicespec.h"

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hl::habanalabs {

// The two kinds of chip that differ in how the driver is spoken to.
enum class ChipKind : uint8_t { Gaudi, Gaudi2 };

// A Gaudi as sysfs shows it, and its nodes. Reading it opens no node.
struct ChipNode {
    PciGaudi pci;
    std::string driver;           // that is bound to it; empty: none
    std::string status;           // the driver's word, e.g. "Operational", "In reset"; empty: unknown
    std::string device_type;      // likewise, e.g. "GAUDI2"
    std::string firmware;         // version of the firmware's CPU-CP
    std::string driver_version;   // of the driver's module, empty: it has none, as the kernel's own
    std::optional<int> numa_node; // of the machine, whose memory is near

    // "Gaudi2", "Gaudi2C"; by the PCI id where the driver says nothing; "Gaudi (0x1060)" for an unknown one.
    [[nodiscard]] std::string chip() const;
    // "accel0 (Gaudi2, 0000:4d:00.0)"; without a node "0000:4d:00.0 (Gaudi2)".
    [[nodiscard]] std::string name() const;
    // How it is driven; nullopt for chips that the kernel backend does not know.
    [[nodiscard]] std::optional<ChipKind> kind() const noexcept;
    // "EMU" where the firmware says that it is an emulation, else "HW".
    [[nodiscard]] std::string stand_in() const;
    // The node for work, which one process at a time may open. Empty: no driver made one.
    [[nodiscard]] std::string compute_node() const;
    // The node for questions, which any number of processes may open (habanalabs_drv.c hl_device_open_ctrl). Likewise.
    [[nodiscard]] std::string control_node() const;
};

// All of them, in the order of find_pci_gaudis(). `sysfs` as there.
[[nodiscard]] std::vector<ChipNode> find_chips(const std::string &sysfs);
// The one at this PCI address.
[[nodiscard]] std::optional<ChipNode> find_chip(const std::string &sysfs, const std::string &address);
// The same, for who wants to open it. Errors: DeviceNotFound, DeviceUnusable where no driver made a node for it.
[[nodiscard]] Result<ChipNode> chip_to_open(const std::string &sysfs, const std::string &address);

} // namespace hl::habanalabs
