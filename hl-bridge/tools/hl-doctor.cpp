// SPDX-License-Identifier: LGPL-2.1-or-later
//
// hl-doctor: tells of each V4L2 and DRM importer of this machine which memory it takes. docs/hl-doctor.md.
#include "core/error.h"
#include "device/device.h"
#include "tools/doctorreport.h"
#include "tools/savedtree.h"

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace {

using hl::DoctorReport;

constexpr const char *usage = R"(Usage: hl-doctor [--json] [--self-test] [--device=SPEC] [NODE...]
       hl-doctor [--json] --root=DIR
       hl-doctor --save=DIR

Offers frames of each kind of memory to every V4L2 and DRM importer (or to the NODEs only), and says which it takes
and why not the others, and where a Gaudi is plugged in, which PCI Express route leads from it to each importer. Streams
nothing, sets no format and no mode, unless it is to test itself.

  --json         one JSON object instead of the table
  --self-test    put each answer to the test: stream a frame, in the format the node has, and show one for a moment on
                 each display that nobody uses
  --device=SPEC  take device memory from this Gaudi (default: $HL_DEVICE, then auto)
  --save=DIR     save this machine's PCI tree to DIR
  --root=DIR     judge the routes of a tree saved in DIR instead of this machine; nothing is offered to any driver
  --help         this text

Exit status: 0 every node was judged; 1 some could not be (busy, no permission, nothing to try with), or
the report could not be written; 2 wrong usage;
3 a NODE is missing or is no importer; 4 the self-test contradicts an answer.
)";

struct Arguments {
    bool json = false;
    bool help = false;
    bool self_test = false;
    std::string device;
    std::string save, root; // directories
    std::vector<std::string> nodes;
};

// The V of an option NAME=V, or null.
std::optional<std::string> value_of(std::string_view word, std::string_view name)
{
    if (!word.starts_with(name) || word.size() == name.size())
        return std::nullopt;
    return std::string(word.substr(name.size()));
}

// Empty, with a message on stderr, where they are wrong.
std::optional<Arguments> parse(int count, char **values)
{
    Arguments out;
    bool options = true;
    for (int i = 1; i < count; ++i) {
        const std::string_view word = values[i];
        if (!options || !word.starts_with("-")) {
            out.nodes.emplace_back(word);
        } else if (word == "--") {
            options = false;
        } else if (word == "--json") {
            out.json = true;
        } else if (word == "--self-test") {
            out.self_test = true;
        } else if (word == "--help" || word == "-h") {
            out.help = true;
        } else if (const auto device = value_of(word, "--device=")) {
            out.device = *device;
        } else if (const auto save = value_of(word, "--save=")) {
            out.save = *save;
        } else if (const auto root = value_of(word, "--root=")) {
            out.root = *root;
        } else {
            (void)std::fprintf(stderr, "hl-doctor: there is no option %s\n%s", values[i], usage);
            return std::nullopt;
        }
    }
    if (!out.root.empty() && (!out.nodes.empty() || !out.device.empty() || out.self_test)) {
        (void)std::fprintf(stderr, "hl-doctor: a saved tree has no nodes to ask, to test or to take memory from\n%s",
                           usage);
        return std::nullopt;
    }
    if (!out.save.empty() && out.self_test) {
        (void)std::fprintf(stderr, "hl-doctor: --save judges nothing that --self-test could test\n%s", usage);
        return std::nullopt;
    }
    return out;
}

// A node that was not asked for and is no importer is no failure.
void judge_node(const std::string &node, bool named, const hl::ImportJudge &judge, DoctorReport &report)
{
    auto importers = hl::identify_importer(hl::Kernel::running(), node);
    if (importers) {
        for (const hl::Importer &importer : *importers)
            report.findings.push_back(judge.judge(importer));
    } else if (!named && importers.error().code == hl::ErrorCode::ImporterKindWrong) {
        report.others.push_back(node);
    } else {
        report.failures.push_back({node, std::move(importers.error())});
    }
}

void test_answers(const std::shared_ptr<hl::Device> &device, DoctorReport &report)
{
    constexpr std::chrono::seconds patience{5}; // a camera may take a second until its first frame
    const hl::ImportSelfTest test(hl::Kernel::running(), hl::make_import_frames_with(device), patience);
    for (hl::ImportFinding &finding : report.findings)
        report.trials.push_back(test.run(finding));
}

DoctorReport examine_tree(const std::string &root)
{
    return {.root = root,
            .host = hl::HostSupport::read(root),
            .device = hl::fail(hl::ErrorCode::DeviceNotFound, "open device", "a saved tree has none"),
            .peers = hl::PeerReport::make(root, nullptr, {})};
}

DoctorReport examine(const Arguments &arguments)
{
    if (!arguments.root.empty())
        return examine_tree(arguments.root);
    auto device = hl::Device::open(arguments.device);
    DoctorReport report{.host = hl::HostSupport::read(),
                        .device = device ? std::expected<hl::DeviceInfo, hl::Error>((*device)->info())
                                         : std::unexpected(device.error())};
    const hl::ImportJudge judge(device.value_or(nullptr));
    const bool named = !arguments.nodes.empty();
    for (const std::string &node : named ? arguments.nodes : hl::find_importer_nodes())
        judge_node(node, named, judge, report);
    if (arguments.self_test)
        test_answers(device.value_or(nullptr), report);
    report.peers = hl::PeerReport::make({}, &report.findings, report.device ? report.device->spec : std::string());
    return report;
}

// False, with a message on stderr, where not all of it could be written.
bool print(std::string_view text)
{
    errno = 0;
    if (std::fwrite(text.data(), 1, text.size(), stdout) == text.size() && std::fflush(stdout) == 0)
        return true;
    (void)std::fprintf(stderr, "hl-doctor: cannot write to standard output: %s\n", hl::errno_text(errno).c_str());
    return false;
}

int save(const std::string &directory)
{
    const auto saved = hl::save_tree({}, directory);
    if (saved)
        return 0;
    (void)std::fprintf(stderr, "hl-doctor: %s\n", saved.error().cause.c_str());
    return DoctorReport::NotJudged;
}

} // namespace

int main(int count, char **values)
try {
    const auto arguments = parse(count, values);
    if (!arguments)
        return DoctorReport::Usage;
    if (arguments->help)
        return print(usage) ? 0 : DoctorReport::NotJudged;
    if (!arguments->save.empty())
        return save(arguments->save);
    const DoctorReport report = examine(*arguments);
    return print(arguments->json ? report.json() : report.text()) ? report.exit_status() : DoctorReport::NotJudged;
} catch (const std::exception &error) { // out of memory
    (void)std::fprintf(stderr, "hl-doctor: %s\n", error.what());
    return DoctorReport::NotJudged;
}
