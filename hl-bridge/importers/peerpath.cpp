// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/peerpath.h"

#include <algorithm>
#include <array>
#include <format>

namespace hl {
namespace {

// drivers/pci/p2pdma.c pci_p2pdma_whitelist, names from include/linux/pci_ids.h, Linux 7.3.
struct TrustedBridge {
    uint16_t vendor;
    uint16_t device;        // any_device: all of them
    bool same_only = false; // only where both functions lie below this host bridge
};
constexpr uint16_t any_device = 0xffff;
constexpr std::array trusted_bridges{
    TrustedBridge{0x8086, 0x3c00, true},                                      // Xeon E5
    TrustedBridge{0x8086, 0x3c01, true}, TrustedBridge{0x8086, 0x2f00, true}, // Xeon E5/E7 v3
    TrustedBridge{0x8086, 0x2f01, true}, TrustedBridge{0x8086, 0x2030},       // Skylake-E
    TrustedBridge{0x8086, 0x2031},       TrustedBridge{0x8086, 0x2032},       TrustedBridge{0x8086, 0x2033},
    TrustedBridge{0x8086, 0x2020},       TrustedBridge{0x8086, 0x09a2}, // Ice Lake-SP and later
    TrustedBridge{0x8086, 0x0b25},                                      // DSA of Sapphire Rapids
    TrustedBridge{0x8086, 0x0cfe},                                      // IAX of Sapphire Rapids
    TrustedBridge{0x8086, 0x11fb},                                      // DSA of Granite Rapids-D
    TrustedBridge{0x8086, 0x1212},                                      // DSA and IAA of Diamond Rapids
    TrustedBridge{0x8086, 0x1216},       TrustedBridge{0x8086, 0x4940}, // QAT
    TrustedBridge{0x8086, 0x4942},       TrustedBridge{0x8086, 0x4944},       TrustedBridge{0x8086, 0x4946},
    TrustedBridge{0x8086, 0x4948},       TrustedBridge{0x1ae0, any_device}, // Google
    TrustedBridge{0x10de, 0x2f95},                                          // NVIDIA
    TrustedBridge{0x10de, 0x2f96},       TrustedBridge{0x10de, 0x2f97},       TrustedBridge{0x10de, 0x2f98},
};

// P2P Request Redirect, P2P Completion Redirect, P2P Egress Control (linux/pci_regs.h).
constexpr uint16_t acs_redirects = 0x04 | 0x08 | 0x20;

bool trusts(const PciFunction *bridge, bool same_bridge)
{
    if (!bridge)
        return false;
    const auto at = std::ranges::find_if(trusted_bridges, [&](const TrustedBridge &entry) {
        return entry.vendor == bridge->vendor && (entry.device == any_device || entry.device == bridge->device);
    });
    return at != trusted_bridges.end() && (same_bridge || !at->same_only);
}

// The function itself and the bridges above it.
std::vector<std::string> way_up(const PciFunction &function)
{
    std::vector<std::string> out{function.address};
    out.insert(out.end(), function.upstream.begin(), function.upstream.end());
    return out;
}

std::string join(const std::vector<std::string> &parts, std::string_view separator)
{
    std::string out;
    for (const std::string &part : parts)
        out += (out.empty() ? "" : std::string(separator)) + part;
    return out;
}

// What lies between the two, and the ports on it that could not be read.
struct Way {
    std::string meeting;
    std::vector<std::string> redirecting;
    std::vector<std::string> unread;
};

void note_port(const PciTree &tree, const std::string &address, Way &way)
{
    const PciFunction *port = tree.find(address);
    if (!port || !port->config_known)
        way.unread.push_back(address);
    else if (port->acs_control.value_or(0) & acs_redirects)
        way.redirecting.push_back(address);
}

// The meeting bridge counts among the ports on the exporter's side.
Way way_between(const PciTree &tree, const PciFunction &exporter, const PciFunction &importer)
{
    Way way;
    const auto ours = way_up(exporter), theirs = way_up(importer);
    const auto common = std::ranges::find_first_of(ours, theirs);
    if (common == ours.end())
        return way;
    way.meeting = *common;
    for (auto at = ours.begin(); at != common + 1; ++at)
        note_port(tree, *at, way);
    for (auto at = theirs.begin(); *at != *common; ++at)
        note_port(tree, *at, way);
    return way;
}

std::string bridge_text(const PciTree &tree, const PciFunction &function)
{
    const PciFunction *bridge = tree.host_bridge_device(function.host_bridge);
    return bridge ? std::format("{} ({:04x}:{:04x})", bridge->address, bridge->vendor, bridge->device)
                  : function.host_bridge;
}

PeerPath through_host_bridge(const PciTree &tree, const PciFunction &exporter, const PciFunction &importer, Way way)
{
    const bool same_bridge = exporter.host_bridge == importer.host_bridge;
    const PciFunction *const ours = tree.host_bridge_device(exporter.host_bridge);
    const PciFunction *const theirs = tree.host_bridge_device(importer.host_bridge);
    // With one host bridge Linux takes "same" as given (p2pdma.c host_bridge_whitelist).
    const bool listed = same_bridge ? trusts(ours, true) : trusts(ours, false) && trusts(theirs, false);
    const std::string redirected =
        way.redirecting.empty() ? std::string()
                                : std::format("ACS redirect at {} sends their traffic up", join(way.redirecting, ", "));
    PeerPath out{.meeting = way.meeting, .redirecting = std::move(way.redirecting)};
    const std::string through = bridge_text(tree, exporter);
    if (tree.trusted_cpu() || listed) {
        out.route = PeerRoute::HostBridge;
        out.text =
            std::format("peer to peer through the host bridge {}, {}{}{}", through,
                        tree.trusted_cpu() ? "as on every AMD processor since Zen" : "which is on the kernel's list",
                        redirected.empty() ? "" : "; ", redirected);
        return out;
    }
    out.route = PeerRoute::Refused;
    const std::string distrust =
        std::format("the kernel does not trust the host bridge {} with peer-to-peer traffic", through);
    if (!redirected.empty()) {
        out.text = std::format("both lie below {}, but {}, and {}", out.meeting, redirected, distrust);
        out.remedy = std::format("boot with pci=disable_acs_redir={} (devices behind these ports are then no longer "
                                 "isolated from each other), or switch ACS off in the firmware's set-up",
                                 join(out.redirecting, ";"));
        return out;
    }
    out.text = std::format("no bridge is above both, and {}", distrust);
    out.remedy = "put the card into a slot below the same PCIe switch as the Gaudi";
    return out;
}

} // namespace

std::string_view peer_route_name(PeerRoute route) noexcept
{
    switch (route) {
    case PeerRoute::Switch:
        return "switch";
    case PeerRoute::HostBridge:
        return "host-bridge";
    case PeerRoute::Refused:
        return "refused";
    case PeerRoute::NotPci:
        return "not-pci";
    case PeerRoute::NoKernel:
        return "no-kernel-support";
    case PeerRoute::Unknown:
        return "unknown";
    }
    return "?";
}

PeerPath judge_peer_path(const PciTree &tree, const std::string &exporter, const std::string &importer)
{
    if (importer.empty())
        return {.route = PeerRoute::NotPci,
                .text = "it is no PCI device (nor below one), so no peer-to-peer path leads to it",
                .remedy = "use host placement (memory=host)"};
    // drivers/pci/p2pdma.h: without the option every distance is negative.
    if (tree.kernel_support() == false)
        return {.route = PeerRoute::NoKernel,
                .text = "this kernel was built without peer-to-peer DMA (CONFIG_PCI_P2PDMA)",
                .remedy = "use a kernel with CONFIG_PCI_P2PDMA=y"};
    const PciFunction *const provider = tree.find(exporter), *const client = tree.find(importer);
    if (!provider || !client)
        return {.text = std::format("sysfs does not show {}", provider ? importer : exporter)};
    Way way = way_between(tree, *provider, *client);
    if (way.meeting.empty() || !way.redirecting.empty())
        return through_host_bridge(tree, *provider, *client, std::move(way));
    if (!way.unread.empty())
        return {.meeting = way.meeting,
                .text = std::format("both lie below {}, but the ACS bits of {} cannot be read", way.meeting,
                                    join(way.unread, ", ")),
                .remedy = "ask again as root: the kernel shows users the first 64 bytes of config space only"};
    return {.route = PeerRoute::Switch,
            .meeting = way.meeting,
            .text = std::format("peer to peer below {}: the frames do not pass the processor", way.meeting)};
}

} // namespace hl
