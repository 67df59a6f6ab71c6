// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace hl {

// What a PCI Express function is in its tree (PCI Express Capabilities Register, Device/Port Type).
enum class PciPort : uint8_t { None, RootPort, SwitchUpstream, SwitchDownstream, OtherBridge };

// One PCI function, as sysfs shows it.
struct PciFunction {
    std::string address; // "0000:03:00.0"
    uint16_t vendor = 0;
    uint16_t device = 0;
    PciPort port = PciPort::None;
    std::string host_bridge;           // "pci0000:00"
    std::vector<std::string> upstream; // addresses of the bridges above, from the nearest to the root port
    std::array<uint64_t, 6> bar_bytes{};
    std::string iommu;  // type of its IOMMU group ("DMA-FQ", "identity"); empty: no IOMMU translates for it
    std::string driver; // empty: none is bound

    // Access Control Services. sysfs shows users without CAP_SYS_ADMIN the first 64 bytes of config space only
    // (drivers/pci/pci-sysfs.c pci_read_config).
    bool config_known = false;           // whether the extended config space could be read
    std::optional<uint16_t> acs_control; // its ACS Control Register; nullopt: it has no such capability, or is unknown
};

// The PCI functions of a machine, read once. A value.
class PciTree {
public:
    // Below `root`, which is "" for the running machine, or a saved or made-up tree with sys and proc.
    [[nodiscard]] static PciTree read(const std::string &root = {});

    [[nodiscard]] const PciFunction *find(const std::string &address) const noexcept;
    // The function that Linux asks about a host bridge: the first on its bus, if that is device 00.0 or a root port
    // (drivers/pci/p2pdma.c pci_host_bridge_dev). Null: none.
    [[nodiscard]] const PciFunction *host_bridge_device(const std::string &host_bridge) const noexcept;
    [[nodiscard]] const std::vector<PciFunction> &functions() const noexcept { return functions_; }

    // Whether the processor itself is one that Linux trusts to pass peer-to-peer traffic: AMD since family 0x17
    // (drivers/pci/p2pdma.c cpu_supports_p2pdma).
    [[nodiscard]] bool trusted_cpu() const noexcept { return trusted_cpu_; }
    // Whether the kernel has peer-to-peer DMA at all (CONFIG_PCI_P2PDMA); nullopt where it cannot be found out.
    [[nodiscard]] std::optional<bool> kernel_support() const noexcept { return kernel_support_; }

private:
    std::vector<PciFunction> functions_; // by address
    bool trusted_cpu_ = false;
    std::optional<bool> kernel_support_;
};

// The PCI function that a class device (/sys/class/..., /sys/dev/char/M:N) belongs to; empty where there is none.
[[nodiscard]] std::string pci_address_of(const std::string &class_device);
// The class device of a V4L2 or DRM node ("/dev/video0", "/dev/dri/card1", or a link to one) below `root`.
[[nodiscard]] std::string class_device_of(const std::string &root, const std::string &node);

} // namespace hl
