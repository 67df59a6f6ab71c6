// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/pcitree.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// Where PCI Express traffic between two functions runs, as Linux decides it.
enum class PeerRoute : uint8_t {
    Switch,     // below a bridge that both share: the processor sees none of it
    HostBridge, // through the processor's host bridge, which Linux trusts with it
    Refused,    // through a host bridge that Linux does not trust: it maps nothing
    NotPci,     // the importer is no PCI device, nor below one
    NoKernel,   // the kernel was built without peer-to-peer DMA
    Unknown,    // config space could not be read, or the tree lacks the functions
};

[[nodiscard]] std::string_view peer_route_name(PeerRoute route) noexcept;

// Whether the function `importer` can reach BARs of the function `exporter`, and what decides it.
struct PeerPath {
    PeerRoute route = PeerRoute::Unknown;
    std::string meeting;                  // the bridge where their paths meet; empty: only at a host bridge
    std::vector<std::string> redirecting; // ports on the way whose ACS sends requests up to the host bridge
    std::string text;                     // one sentence for people
    std::string remedy;                   // what would change a refusal; empty: nothing to change

    [[nodiscard]] bool reaches() const noexcept { return route == PeerRoute::Switch || route == PeerRoute::HostBridge; }
};

// The rules of drivers/pci/p2pdma.c calc_map_type_and_dist() in Linux 7.3; older kernels trust fewer host bridges.
// `importer` is empty for one that has no PCI function.
[[nodiscard]] PeerPath judge_peer_path(const PciTree &tree, const std::string &exporter, const std::string &importer);

} // namespace hl
