// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/peerreport.h"

#include <algorithm>
#include <filesystem>
#include <format>
#include <span>
#include <utility>

namespace hl {
namespace {

namespace fs = std::filesystem;

constexpr size_t memory_bar = 4; // of Gaudi and Gaudi2 alike: habanalabs gaudi.c and gaudi2.c, pci_bars_map()

// What a peer needs to see of it: six HBM stacks of 16 GiB, or four of 8.
uint64_t chip_memory(uint16_t device)
{
    constexpr uint64_t gib = uint64_t{1} << 30;
    return device == 0x1000 || device == 0x1010 ? 32 * gib : device == 0x1020 ? 96 * gib : 0;
}

GaudiPlace place_of(const PciTree &tree, PciGaudi gaudi)
{
    GaudiPlace out{.gaudi = std::move(gaudi)};
    out.memory_bytes = chip_memory(out.gaudi.device);
    if (const PciFunction *function = tree.find(out.gaudi.address)) {
        out.driver = function->driver;
        out.iommu = function->iommu;
        out.window_bytes = function->bar_bytes[memory_bar];
    }
    return out;
}

// A node, or an RDMA device, and where sysfs has it.
struct Candidate {
    std::string node, kind, driver, class_device;
    const ImportVerdict *answer = nullptr;
};

std::string driver_of(const std::string &class_device)
{
    std::error_code error;
    return fs::read_symlink(fs::path(class_device) / "device/driver", error).filename().string();
}

void add_class(const std::string &root, std::string_view name, std::string_view prefix, std::string_view kind,
               std::string_view nodes, std::vector<Candidate> &out)
{
    std::error_code error;
    std::vector<std::string> found;
    const std::string directory = std::format("{}/sys/class/{}", root, name);
    for (fs::directory_iterator at(directory, error), end; !error && at != end; at.increment(error))
        if (const std::string entry = at->path().filename().string();
            entry.starts_with(prefix) && !entry.contains('-')) // connectors are "card0-HDMI-A-1"
            found.push_back(entry);
    std::ranges::sort(found);
    for (const std::string &entry : found) {
        const std::string device = directory + '/' + entry;
        out.push_back({.node = std::string(nodes) + entry,
                       .kind = std::string(kind),
                       .driver = driver_of(device),
                       .class_device = device});
    }
}

std::vector<Candidate> candidates(const std::string &root, const std::vector<ImportFinding> *asked)
{
    std::vector<Candidate> out;
    for (const ImportFinding &finding : asked ? std::span(*asked) : std::span<const ImportFinding>()) {
        const auto &answer = finding.of(ImportMemory::Device);
        out.push_back({.node = finding.importer.node,
                       .kind = std::string(importer_kind_name(finding.importer.kind)),
                       .driver = finding.importer.driver,
                       .class_device = class_device_of(root, finding.importer.node),
                       .answer = answer ? &*answer : nullptr});
    }
    if (!asked) {
        add_class(root, "video4linux", "video", "video", "/dev/", out);
        add_class(root, "drm", "card", "display", "/dev/dri/", out);
        add_class(root, "drm", "renderD", "render", "/dev/dri/", out);
    }
    add_class(root, "infiniband", "", "rdma", "", out);
    return out;
}

} // namespace

std::string_view peer_verdict_name(PeerVerdict verdict) noexcept
{
    switch (verdict) {
    case PeerVerdict::Proven:
        return "proven";
    case PeerVerdict::PathOnly:
        return "path-only";
    case PeerVerdict::Static:
        return "importer-static";
    case PeerVerdict::MapsByCpu:
        return "maps-by-cpu";
    case PeerVerdict::Refused:
        return "refused";
    case PeerVerdict::Unknown:
        return "unknown";
    }
    return "?";
}

void judge_peer(PeerFinding &finding, const ImportVerdict *answer)
{
    const PeerPath &path = finding.path;
    const ImportCause cause = answer ? answer->cause : ImportCause::NoFrame;
    finding.remedy = path.remedy;
    if (answer && answer->answer == ImportAnswer::Imports &&
        (answer->proof == ImportProof::Map || answer->proof == ImportProof::Use)) {
        // What the driver did counts, whatever the tree made us think of it.
        finding.verdict = PeerVerdict::Proven;
        finding.text = path.reaches() ? path.text + "; the driver has mapped device memory"
                                      : "the driver has mapped device memory";
        finding.remedy.clear();
    } else if (cause == ImportCause::MapsByCpu) {
        finding.verdict = PeerVerdict::MapsByCpu;
        finding.text = answer->text;
        finding.remedy = answer->remedy;
    } else if (!path.reaches()) {
        finding.verdict = path.route == PeerRoute::Unknown ? PeerVerdict::Unknown : PeerVerdict::Refused;
        finding.text = path.text;
    } else if (cause == ImportCause::NoPeerToPeer) {
        finding.verdict = PeerVerdict::Static;
        finding.text = answer->text;
        finding.remedy = answer->remedy;
    } else {
        finding.verdict = PeerVerdict::PathOnly;
        finding.text = path.text + "; whether the driver uses it was not tried";
    }
}

PeerReport PeerReport::make(const std::string &root, const std::vector<ImportFinding> *asked, const std::string &opened)
{
    PeerReport out;
    const auto gaudis = find_pci_gaudis(root + "/sys");
    if (gaudis.empty())
        return out;
    const PciTree tree = PciTree::read(root);
    const auto importers = candidates(root, asked);
    for (const PciGaudi &gaudi : gaudis) {
        out.gaudis.push_back(place_of(tree, gaudi));
        for (const Candidate &importer : importers) {
            PeerFinding finding{.node = importer.node,
                                .kind = importer.kind,
                                .driver = importer.driver,
                                .pci = pci_address_of(importer.class_device),
                                .gaudi = gaudi.address};
            finding.path = judge_peer_path(tree, gaudi.address, finding.pci);
            judge_peer(finding, gaudi.address == opened ? importer.answer : nullptr);
            out.findings.push_back(std::move(finding));
        }
    }
    return out;
}

} // namespace hl
