// SPDX-License-Identifier: LGPL-2.1-or-later
#include "habanalabs/chipnode.h"

#include <algorithm>
#include <filesystem>
#include <format>
#include <fstream>
#include <utility>

namespace hl::habanalabs {
namespace {

namespace fs = std::filesystem;

std::string first_line(const fs::path &path)
{
    std::ifstream file(path);
    std::string line;
    std::getline(file, line);
    return line;
}

// pci-sysfs.c numa_node_show: -1 where the machine has one node, or the firmware tells none.
std::optional<int> numa_node_of(const fs::path &device)
{
    std::ifstream file(device / "numa_node");
    int number = -1;
    if (!(file >> number) || number < 0)
        return std::nullopt;
    return number;
}

ChipNode read_chip(const std::string &sysfs, PciGaudi pci)
{
    const fs::path device = fs::path(sysfs) / "bus/pci/devices" / pci.address;
    // sysfs.c: the attributes hang on the PCI device since Linux 6.7, on the class device before.
    const fs::path attributes = pci.legacy ? device / "habanalabs" / std::format("hl{}", pci.accel) : device;
    std::error_code none;
    return {.pci = std::move(pci),
            .driver = fs::read_symlink(device / "driver", none).filename().string(),
            .status = first_line(attributes / "status"),
            .device_type = first_line(attributes / "device_type"),
            .firmware = first_line(attributes / "cpucp_ver"),
            .driver_version = first_line(device / "driver/module/version"),
            .numa_node = numa_node_of(device)};
}

} // namespace

std::string ChipNode::chip() const
{
    if (device_type.starts_with("GAUDI"))
        return "Gaudi" + device_type.substr(5);
    switch (pci.device) {
    case 0x1000:
    case 0x1010:
        return "Gaudi";
    case 0x1020:
        return "Gaudi2";
    default:
        return std::format("Gaudi ({:#06x})", pci.device);
    }
}

std::string ChipNode::name() const
{
    if (pci.accel < 0)
        return std::format("{} ({})", pci.address, chip());
    return std::format("{}{} ({}, {})", pci.legacy ? "hl" : "accel", pci.accel, chip(), pci.address);
}

std::optional<ChipKind> ChipNode::kind() const noexcept
{
    // habanalabs_drv.c ids; 0x1001, 0x1011 and 0x1021 are the same chips on cards that Intel's own driver knows.
    switch (pci.device) {
    case 0x1000:
    case 0x1001:
    case 0x1010:
    case 0x1011:
        return ChipKind::Gaudi;
    case 0x1020:
    case 0x1021:
        return ChipKind::Gaudi2;
    default:
        return std::nullopt;
    }
}

std::string ChipNode::stand_in() const
{
    return firmware.starts_with("emulated-gaudi") ? "EMU" : "HW";
}

std::string ChipNode::compute_node() const
{
    if (pci.accel < 0)
        return {};
    return std::format("{}{}", pci.legacy ? "/dev/hl" : "/dev/accel/accel", pci.accel);
}

std::string ChipNode::control_node() const
{
    if (pci.accel < 0)
        return {};
    return std::format("{}{}", pci.legacy ? "/dev/hl_controlD" : "/dev/accel/accel_controlD", pci.accel);
}

std::vector<ChipNode> find_chips(const std::string &sysfs)
{
    std::vector<ChipNode> chips;
    for (PciGaudi &pci : find_pci_gaudis(sysfs))
        chips.push_back(read_chip(sysfs, std::move(pci)));
    return chips;
}

std::optional<ChipNode> find_chip(const std::string &sysfs, const std::string &address)
{
    auto chips = find_chips(sysfs);
    const auto at = std::ranges::find(chips, address, [](const ChipNode &chip) { return chip.pci.address; });
    return at == chips.end() ? std::nullopt : std::optional(std::move(*at));
}

Result<ChipNode> chip_to_open(const std::string &sysfs, const std::string &address)
{
    const std::string operation = std::format("open {}", address);
    auto node = find_chip(sysfs, address);
    if (!node)
        return fail(ErrorCode::DeviceNotFound, operation, std::format("no Gaudi is at {}", address),
                    "see lspci -d 1da3:", ENODEV, address);
    if (node->compute_node().empty())
        return fail(ErrorCode::DeviceUnusable, operation,
                    node->driver.empty() ? std::format("{} has no driver", node->name())
                                         : std::format("the driver {} made no node for {}", node->driver, node->name()),
                    "load the driver (modprobe habanalabs) and see the kernel log; device=sim runs on the simulator "
                    "meanwhile",
                    ENXIO, node->name());
    return std::move(*node);
}

} // namespace hl::habanalabs
