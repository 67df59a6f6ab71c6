// SPDX-License-Identifier: LGPL-2.1-or-later
#include "tools/doctorreport.h"
#include "tools/peerreport.h"
#include "tools/savedtree.h"

#include "fakekernel.h"
#include "pcitopology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cstdlib>
#include <ranges>

using hl::PeerReport;
using hl::PeerVerdict;
using hl::test::PciTopology;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;

namespace {

std::filesystem::path file_of(const std::string &topology)
{
    return std::filesystem::path(std::getenv("HL_TEST_TOPOLOGIES")) / (topology + ".topo");
}

hl::PeerFinding finding_of(hl::PeerRoute route)
{
    return {.node = "/dev/video0",
            .driver = "cam",
            .path = {.route = route, .text = "so runs the way", .remedy = "move it"}};
}

hl::ImportVerdict answer(hl::ImportAnswer answer, hl::ImportCause cause)
{
    return {.answer = answer,
            .cause = cause,
            .proof = hl::ImportProof::Map,
            .text = "the driver's story",
            .remedy = "do so"};
}

std::vector<std::string> rows(const PeerReport &report)
{
    std::vector<std::string> out;
    for (const hl::PeerFinding &finding : report.findings)
        out.push_back(std::format("{} {} {} {} {}", finding.node, finding.kind, finding.pci,
                                  hl::peer_route_name(finding.path.route), hl::peer_verdict_name(finding.verdict)));
    return out;
}

hl::DoctorReport doctor_of(const std::string &root)
{
    return {.root = root,
            .device = hl::fail(hl::ErrorCode::DeviceNotFound, "open", "none"),
            .peers = PeerReport::make(root, nullptr, {})};
}

} // namespace

// Path and answer together make the verdict.
TEST(PeerVerdict, JoinsRouteAndAnswer)
{
    using enum hl::PeerRoute;
    const struct {
        hl::PeerRoute route;
        std::optional<hl::ImportVerdict> said;
        PeerVerdict verdict;
        const char *text;
    } cases[] = {
        {Switch, answer(hl::ImportAnswer::Imports, hl::ImportCause::None), PeerVerdict::Proven, "has mapped"},
        {HostBridge, answer(hl::ImportAnswer::Imports, hl::ImportCause::None), PeerVerdict::Proven, "has mapped"},
        {Unknown, answer(hl::ImportAnswer::Imports, hl::ImportCause::None), PeerVerdict::Proven, "has mapped"},
        {Switch, answer(hl::ImportAnswer::Refused, hl::ImportCause::NoPeerToPeer), PeerVerdict::Static,
         "the driver's story"},
        {Refused, answer(hl::ImportAnswer::Refused, hl::ImportCause::NoPeerToPeer), PeerVerdict::Refused,
         "so runs the way"},
        {NoKernel, answer(hl::ImportAnswer::Refused, hl::ImportCause::NoPeerToPeer), PeerVerdict::Refused,
         "so runs the way"},
        {NotPci, answer(hl::ImportAnswer::Refused, hl::ImportCause::MapsByCpu), PeerVerdict::MapsByCpu,
         "the driver's story"},
        {Unknown, answer(hl::ImportAnswer::Refused, hl::ImportCause::NoPeerToPeer), PeerVerdict::Unknown,
         "so runs the way"},
        {Switch, answer(hl::ImportAnswer::Unknown, hl::ImportCause::MapsLate), PeerVerdict::PathOnly, "was not tried"},
        {Switch, std::nullopt, PeerVerdict::PathOnly, "was not tried"},
        {Refused, std::nullopt, PeerVerdict::Refused, "so runs the way"},
    };
    for (const auto &row : cases) {
        hl::PeerFinding finding = finding_of(row.route);
        hl::judge_peer(finding, row.said ? &*row.said : nullptr);
        EXPECT_EQ(finding.verdict, row.verdict) << hl::peer_verdict_name(finding.verdict);
        EXPECT_THAT(finding.text, HasSubstr(row.text));
    }
}

// An import that was no map proves nothing of peer to peer.
TEST(PeerVerdict, AnAttachmentIsNoProof)
{
    hl::PeerFinding finding = finding_of(hl::PeerRoute::Switch);
    hl::ImportVerdict said = answer(hl::ImportAnswer::Imports, hl::ImportCause::None);
    said.proof = hl::ImportProof::Import;
    hl::judge_peer(finding, &said);
    EXPECT_EQ(finding.verdict, PeerVerdict::PathOnly);
}

TEST(PeerReport, JudgesTheNodesOfATree)
{
    const PciTopology machine(file_of("acs-redirect-xeon"));
    EXPECT_THAT(rows(PeerReport::make(machine.root(), nullptr, {})),
                ElementsAre("/dev/video0 video 0000:1b:00.0 host-bridge path-only",
                            "/dev/video1 video  not-pci refused", "mlx5_0 rdma 0000:1a:00.0 host-bridge path-only"));
}

// A server's eight Gaudis stand to each importer in their own way.
TEST(PeerReport, AsksEachGaudi)
{
    const PciTopology machine(file_of("two-gaudis"));
    const PeerReport report = PeerReport::make(machine.root(), nullptr, {});
    EXPECT_EQ(report.gaudis.size(), 2u);
    EXPECT_THAT(rows(report), ElementsAre("/dev/dri/card0 display 0000:05:00.0 switch path-only",
                                          "/dev/dri/renderD128 render 0000:05:00.0 switch path-only",
                                          "/dev/dri/card0 display 0000:05:00.0 refused refused",
                                          "/dev/dri/renderD128 render 0000:05:00.0 refused refused"));
}

// What a driver answered about one Gaudi's memory says nothing of another's.
TEST(PeerReport, AnAnswerHoldsForTheOpenedGaudiOnly)
{
    const PciTopology machine(file_of("two-gaudis"));
    hl::ImportFinding asked{.importer = hl::test::fake_card(hl::ImporterKind::Display)};
    asked.verdict[static_cast<size_t>(hl::ImportMemory::Device)] =
        answer(hl::ImportAnswer::Imports, hl::ImportCause::None);
    const std::vector live{asked};
    const PeerReport report = PeerReport::make(machine.root(), &live, "0000:03:00.0");
    EXPECT_THAT(rows(report), ElementsAre("/dev/dri/card0 display 0000:05:00.0 switch proven",
                                          "/dev/dri/card0 display 0000:05:00.0 refused refused"));
}

TEST(PeerReport, IsEmptyWithoutAGaudi)
{
    const hl::test::TemporaryDir nothing;
    const PeerReport report = PeerReport::make(nothing.path().string(), nullptr, {});
    EXPECT_TRUE(report.gaudis.empty());
    EXPECT_TRUE(report.findings.empty());
    EXPECT_THAT(doctor_of(nothing.path().string()).text(), HasSubstr("no Gaudi on its PCI bus"));
}

TEST(PeerReport, TextTellsWindowRouteAndRemedy)
{
    const PciTopology small(file_of("small-bar"));
    EXPECT_THAT(doctor_of(small.root()).text(), HasSubstr("shows peers 256 MiB of 96 GiB"));
    const PciTopology redirected(file_of("acs-redirect-intel"));
    const std::string text = doctor_of(redirected.root()).text();
    EXPECT_THAT(text, HasSubstr("0000:03:00.0: memory window 128 GiB, IOMMU DMA-FQ, driver habanalabs\n"));
    EXPECT_THAT(text, HasSubstr("/dev/video0  video  camera  0000:04:00.0  0000:03:00.0  refused  refused\n"));
    EXPECT_THAT(text, HasSubstr("    -> boot with pci=disable_acs_redir="));
}

TEST(PeerReport, JsonSaysTheSame)
{
    const PciTopology machine(file_of("acs-redirect-intel"));
    const json parsed = json::parse(doctor_of(machine.root()).json());
    EXPECT_EQ(parsed["root"], machine.root());
    EXPECT_EQ(parsed["gaudis"][0]["window_bytes"], uint64_t{128} << 30);
    EXPECT_EQ(parsed["gaudis"][0]["iommu"], "DMA-FQ");
    const json &peer = parsed["peers"][0];
    EXPECT_EQ(peer["node"], "/dev/video0");
    EXPECT_EQ(peer["route"], "refused");
    EXPECT_EQ(peer["meeting"], "0000:01:00.0");
    EXPECT_EQ(peer["acs_redirect"].size(), 2u);
    EXPECT_EQ(peer["verdict"], "refused");
}

// A saved tree says what the machine said.
TEST(SavedTree, ReadsLikeTheMachine)
{
    for (const auto &entry : std::filesystem::directory_iterator(file_of("x").parent_path())) {
        SCOPED_TRACE(entry.path().filename().string());
        const PciTopology machine(entry.path());
        const hl::test::TemporaryDir copy;
        ASSERT_TRUE(hl::save_tree(machine.root(), copy / "tree"));
        json original = json::parse(doctor_of(machine.root()).json());
        json saved = json::parse(doctor_of(copy / "tree").json());
        original.erase("root");
        saved.erase("root");
        EXPECT_EQ(original, saved);
        const auto before = PeerReport::make(machine.root(), nullptr, {});
        EXPECT_EQ(rows(before), rows(PeerReport::make(copy / "tree", nullptr, {})));
        // Into the same directory once more.
        EXPECT_TRUE(hl::save_tree(machine.root(), copy / "tree"));
    }
}

TEST(SavedTree, SaysWhereItCannotWrite)
{
    const PciTopology machine(file_of("small-bar"));
    const hl::test::TemporaryDir copy;
    const std::string file = copy.write("file", "");
    const auto saved = hl::save_tree(machine.root(), file);
    ASSERT_FALSE(saved);
    EXPECT_THAT(saved.error().cause, HasSubstr(file));
}
