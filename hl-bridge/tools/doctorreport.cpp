// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/doctorreport.h"

#include <algorithm>
#include <array>
#include <format>
#include <utility>

namespace hl {
namespace {

// Rows of cells, set in columns.
class Table {
public:
    explicit Table(std::vector<std::string> heading) { add(std::move(heading)); }

    void add(std::vector<std::string> row)
    {
        width_.resize(std::max(width_.size(), row.size()));
        for (size_t i = 0; i < row.size(); ++i)
            width_[i] = std::max(width_[i], row[i].size());
        rows_.push_back(std::move(row));
    }

    [[nodiscard]] std::string text() const
    {
        std::string out;
        for (const auto &row : rows_) {
            std::string line;
            for (size_t i = 0; i < row.size(); ++i)
                line += std::format("{:<{}}  ", row[i], width_[i]);
            line.erase(line.find_last_not_of(' ') + 1);
            out += line + '\n';
        }
        return out;
    }

private:
    std::vector<std::vector<std::string>> rows_;
    std::vector<size_t> width_;
};

std::string fact(std::string_view what, std::string_view text)
{
    return std::format("{:<11} {}\n", what, text);
}

std::string state_of(const SharingNode &node)
{
    if (node.usable())
        return node.path;
    if (node.cause.empty())
        return std::format("{}: {}", node.path, errno_text(node.open_errno));
    return std::format("{}\n{:<11} -> {}", node.cause, "", node.remedy);
}

std::string host_text(const HostSupport &host)
{
    std::string out = fact("kernel", host.kernel);
    std::string udmabuf = state_of(host.udmabuf);
    constexpr uint64_t no_limit = uint64_t{1} << 40;
    if (host.udmabuf.usable() && host.udmabuf_limit.value_or(no_limit) < no_limit)
        udmabuf += std::format(", frames up to {} MiB", *host.udmabuf_limit >> 20);
    out += fact("udmabuf", udmabuf);
    std::string heaps;
    for (const SharingNode &heap : host.heaps)
        heaps += (heaps.empty() ? "" : ", ") + state_of(heap);
    out += fact("dma-heaps", heaps.empty() ? "none" : heaps);
    std::string pools;
    for (const HugePagePool &pool : host.huge_pages)
        pools += std::format("{}{} MiB: {} of {} free", pools.empty() ? "" : ", ", pool.page_bytes >> 20, pool.free,
                             pool.total);
    return out + fact("huge pages", pools.empty() ? "none" : pools);
}

std::string device_text(const DoctorReport &report)
{
    std::string chips;
    for (const GaudiPlace &place : report.peers.gaudis) {
        const PciGaudi &gaudi = place.gaudi;
        chips += std::format("{}{}", chips.empty() ? "" : ", ", gaudi.address);
        chips += gaudi.accel < 0 ? std::string(" (no driver)") : std::format(" (accel{})", gaudi.accel);
    }
    std::string out = fact("Gaudi", chips.empty() ? "none on the PCI bus" : chips);
    if (report.device)
        return out + fact("device", std::format("{} ({}, {})", report.device->name, report.device->stand_in,
                                                report.device->chip));
    const Error &error = report.device.error();
    out += fact("device", error.headline());
    return error.remedy.empty() ? out : out + fact("", error.remedy);
}

std::string cell(const std::optional<ImportVerdict> &verdict)
{
    if (!verdict)
        return "-";
    switch (verdict->answer) {
    case ImportAnswer::Imports:
        return verdict->proof == ImportProof::Import ? "yes*" : "yes";
    case ImportAnswer::Refused:
        return "no";
    case ImportAnswer::Unknown:
        return "?";
    }
    std::unreachable();
}

// One note for all that have the same story.
class Stories {
public:
    void add(std::string story, std::string_view teller)
    {
        const auto at = std::ranges::find(told_, story, &std::pair<std::string, std::string>::first);
        if (at == told_.end())
            told_.emplace_back(std::move(story), teller);
        else
            at->second += std::format(", {}", teller);
    }

    [[nodiscard]] std::string text() const
    {
        std::string out;
        for (const auto &[story, tellers] : told_)
            out += std::format("  {}: {}\n", tellers, story);
        return out;
    }

private:
    std::vector<std::pair<std::string, std::string>> told_; // story, tellers
};

std::string notes(const ImportFinding &finding)
{
    Stories stories;
    for (const ImportMemory memory : all_import_memories) {
        const auto &verdict = finding.of(memory);
        if (!verdict || verdict->answer == ImportAnswer::Imports || verdict->cause == ImportCause::NotADmabuf)
            continue;
        const auto code = import_cause_code(verdict->cause);
        std::string story = std::format("{} ({}, {}{}{})", verdict->text, code ? error_code_name(*code) : "",
                                        import_step_name(verdict->step), verdict->sys_errno ? ": " : "",
                                        errno_text(verdict->sys_errno));
        if (!verdict->remedy.empty())
            story += "\n    -> " + verdict->remedy;
        stories.add(std::move(story), import_memory_name(memory));
    }
    return stories.text();
}

std::string findings_text(const std::vector<ImportFinding> &findings)
{
    Table table({"NODE", "KIND", "DRIVER", "FORMAT", "PAGES", "HUGE-PAGES", "HEAP", "HEAP-MIB", "DEVICE"});
    std::string details;
    bool import_only = false;
    std::string simulated;
    for (const ImportFinding &finding : findings) {
        const Importer &importer = finding.importer;
        std::vector<std::string> row{importer.node, std::string(importer_kind_name(importer.kind)), importer.driver,
                                     finding.format.text.empty() ? "-" : finding.format.text};
        if (finding.format.plane_bytes.size() > 1)
            row.back() += std::format(" in {} planes", finding.format.plane_bytes.size());
        for (const ImportMemory memory : all_import_memories) {
            row.push_back(cell(finding.of(memory)));
            import_only |= row.back() == "yes*";
            if (const auto &verdict = finding.of(memory); verdict && verdict->cause == ImportCause::NotADmabuf)
                simulated = std::format("{}: {} ({})\n", import_memory_name(memory), verdict->text,
                                        error_code_name(ErrorCode::ImportSimulated));
        }
        table.add(std::move(row));
        if (const std::string note = notes(finding); !note.empty())
            details += std::format("\n{} ({})\n{}", importer.node, importer_kind_name(importer.kind), note);
    }
    std::string out = '\n' + table.text();
    if (import_only)
        out += "* judged by the import alone: the node has no planes to show a frame on\n";
    return out + simulated + details;
}

std::string trials_text(const DoctorReport &report)
{
    Table table({"NODE", "KIND", "DRIVER", "PAGES", "HUGE-PAGES", "HEAP", "HEAP-MIB", "DEVICE"});
    std::string details;
    for (size_t i = 0; i < report.trials.size(); ++i) {
        const Importer &importer = report.findings[i].importer;
        std::vector<std::string> row{importer.node, std::string(importer_kind_name(importer.kind)), importer.driver};
        Stories stories;
        for (const ImportMemory memory : all_import_memories) {
            const auto &trial = report.trials[i][static_cast<size_t>(memory)];
            row.emplace_back(trial ? trial_outcome_name(trial->outcome) : "-");
            if (!trial)
                continue;
            const bool wrong = contradicts(memory, *report.findings[i].of(memory), *trial);
            stories.add((wrong ? "CONTRADICTS THE ANSWER ABOVE: " : "") + trial->text, import_memory_name(memory));
        }
        table.add(std::move(row));
        details += std::format("\n{} ({})\n{}", importer.node, importer_kind_name(importer.kind), stories.text());
    }
    return "\nSelf-test\n" + table.text() + details;
}

bool contradicted(const DoctorReport &report)
{
    for (size_t i = 0; i < report.trials.size(); ++i)
        for (const ImportMemory memory : all_import_memories)
            if (const auto &trial = report.trials[i][static_cast<size_t>(memory)];
                trial && contradicts(memory, *report.findings[i].of(memory), *trial))
                return true;
    return false;
}

std::string binary_size(uint64_t bytes)
{
    constexpr uint64_t gib = uint64_t{1} << 30;
    return bytes >= gib ? std::format("{} GiB", bytes / gib) : std::format("{} MiB", bytes >> 20);
}

std::string place_text(const GaudiPlace &place)
{
    std::string out = std::format("{}: memory window {}, {}, driver {}\n", place.gaudi.address,
                                  place.window_bytes ? binary_size(place.window_bytes) : "none",
                                  place.iommu.empty() ? "no IOMMU" : std::format("IOMMU {}", place.iommu),
                                  place.driver.empty() ? "none" : place.driver);
    if (place.window_bytes < place.memory_bytes)
        out += std::format("  the window (BAR 4) shows peers {} of {}: frames beyond cannot be exported\n"
                           "    -> switch on large or \"above 4G\" PCI windows in the firmware's set-up\n",
                           binary_size(place.window_bytes), binary_size(place.memory_bytes));
    return out;
}

std::string peers_text(const PeerReport &peers)
{
    if (peers.gaudis.empty())
        return {};
    std::string out = "\nPeer to peer\n";
    for (const GaudiPlace &place : peers.gaudis)
        out += place_text(place);
    if (peers.findings.empty())
        return out;
    Table table({"NODE", "KIND", "DRIVER", "PCI", "GAUDI", "ROUTE", "VERDICT"});
    Stories stories;
    for (const PeerFinding &finding : peers.findings) {
        table.add({finding.node, finding.kind, finding.driver.empty() ? "-" : finding.driver,
                   finding.pci.empty() ? "-" : finding.pci, finding.gaudi,
                   std::string(peer_route_name(finding.path.route)), std::string(peer_verdict_name(finding.verdict))});
        stories.add(finding.remedy.empty() ? finding.text : finding.text + "\n    -> " + finding.remedy, finding.node);
    }
    return out + '\n' + table.text() + stories.text();
}

// Of no memory that can be made here is it known whether the importer takes it.
bool undecided(const ImportFinding &finding)
{
    const auto &pages = finding.of(ImportMemory::Pages);
    return pages && pages->answer == ImportAnswer::Unknown && pages->cause != ImportCause::MapsLate &&
           pages->cause != ImportCause::NeedsRequest;
}

bool is_no_importer(const DoctorFailure &failure)
{
    return failure.error.code == ErrorCode::ImporterMissing || failure.error.code == ErrorCode::ImporterKindWrong;
}

} // namespace

DoctorReport::Exit DoctorReport::exit_status() const
{
    if (std::ranges::any_of(failures, is_no_importer))
        return NoImporter;
    if (contradicted(*this))
        return Contradicted;
    return !failures.empty() || std::ranges::any_of(findings, undecided) ? NotJudged : AllJudged;
}

std::string DoctorReport::text() const
{
    if (!root.empty())
        return std::format("saved tree  {}\n", root) +
               (peers.gaudis.empty() ? "no Gaudi on its PCI bus\n" : peers_text(peers));
    std::string out = host_text(host) + device_text(*this);
    if (!findings.empty())
        out += findings_text(findings);
    else if (failures.empty())
        out += "\nno V4L2 or DRM node that imports video frames\n";
    if (!trials.empty())
        out += trials_text(*this);
    out += peers_text(peers);
    for (const DoctorFailure &failure : failures)
        out += std::format("\n{}\n  {}{}\n    -> {}\n", failure.node, failure.error.headline(),
                           failure.error.sys_errno ? std::format(" ({})", errno_text(failure.error.sys_errno)) : "",
                           failure.error.remedy);
    for (const std::string &other : others)
        out += std::format("{}{} is no importer of video frames\n", &other == &others.front() ? "\n" : "", other);
    return out;
}

} // namespace hl
