// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/devicespec.h"
#include "importers/importjudge.h"
#include "importers/pcitree.h"
#include "importers/peerpath.h"

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace hl {

// What comes of a PCI function that imports and a Gaudi together.
enum class PeerVerdict : uint8_t {
    Proven,    // the driver mapped device memory
    PathOnly,  // a route is there; whether the driver uses it was not tried
    Static,    // a route is there, and the driver attaches dma-bufs without allowing peer-to-peer
    MapsByCpu, // the driver wants a kernel mapping
    Refused,   // topology, kernel or importer has no route; PeerPath::route tells which
    Unknown,
};

[[nodiscard]] std::string_view peer_verdict_name(PeerVerdict verdict) noexcept;

// One importer beside one Gaudi.
struct PeerFinding {
    std::string node; // "/dev/video0"; for network adapters their RDMA device, "mlx5_0"
    std::string kind; // as importer_kind_name(), or "rdma"
    std::string driver;
    std::string pci;   // the importer's function; empty: none
    std::string gaudi; // PCI address
    PeerPath path;
    PeerVerdict verdict = PeerVerdict::Unknown;
    std::string text;   // one sentence
    std::string remedy; // what to do; empty: nothing
};

// A Gaudi as its peers see it.
struct GaudiPlace {
    PciGaudi gaudi;
    std::string driver;        // empty: none is bound
    std::string iommu;         // as PciFunction::iommu
    uint64_t window_bytes = 0; // BAR 4, through which all peers reach its memory
    uint64_t memory_bytes = 0; // what that chip has
};

// Which of this machine's importers reach which Gaudi's memory, and what decides it.
struct PeerReport {
    std::vector<GaudiPlace> gaudis;
    std::vector<PeerFinding> findings; // by Gaudi, then node

    // `asked` are the live findings; what they say of device memory holds for the Gaudi at `opened` only. Where it is
    // null, the nodes that `root` shows are judged by their place alone. `root` as PciTree::read().
    [[nodiscard]] static PeerReport make(const std::string &root, const std::vector<ImportFinding> *asked,
                                         const std::string &opened);
};

// The verdict on a path, given what the driver answered to device memory (null: not asked).
void judge_peer(PeerFinding &finding, const ImportVerdict *answer);

} // namespace hl
