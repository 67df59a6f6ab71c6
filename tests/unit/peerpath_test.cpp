// SPDX-License-Identifier: LGPL-2.1-or-later
#include "importers/peerpath.h"

#include "pcitopology.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cstdlib>

using hl::PciTree;
using hl::test::PciTopology;
using testing::HasSubstr;

namespace {

std::filesystem::path topologies()
{
    return std::getenv("HL_TEST_TOPOLOGIES");
}

hl::PeerPath judge(const std::string &topology, const std::string &exporter, const std::string &importer)
{
    const PciTopology machine(topologies() / (topology + ".topo"));
    return hl::judge_peer_path(PciTree::read(machine.root()), exporter, importer);
}

std::string joined(const std::vector<std::string> &parts)
{
    std::string out;
    for (const std::string &part : parts)
        out += (out.empty() ? "" : ",") + part;
    return out;
}

} // namespace

TEST(PeerPath, IsWhatEachTopologyExpects)
{
    size_t machines = 0, expectations = 0;
    for (const auto &entry : std::filesystem::directory_iterator(topologies())) {
        SCOPED_TRACE(entry.path().filename().string());
        const PciTopology machine(entry.path());
        const PciTree tree = PciTree::read(machine.root());
        ++machines;
        for (const auto &expected : machine.expectations) {
            SCOPED_TRACE(expected.exporter + " " + expected.importer);
            ++expectations;
            const hl::PeerPath path = hl::judge_peer_path(tree, expected.exporter, expected.importer);
            EXPECT_EQ(hl::peer_route_name(path.route), expected.route) << path.text;
            if (expected.facts.contains("meeting")) {
                EXPECT_EQ(path.meeting, expected.facts.at("meeting"));
            }
            if (expected.facts.contains("redirecting")) {
                auto ports = path.redirecting;
                std::ranges::sort(ports);
                EXPECT_EQ(joined(ports), expected.facts.at("redirecting"));
            }
            EXPECT_FALSE(path.text.empty());
            EXPECT_EQ(path.reaches(), path.remedy.empty()) << path.remedy;
        }
        for (const auto &bar : machine.bars)
            EXPECT_EQ(tree.find(bar.address)->bar_bytes.at(bar.index), bar.bytes);
    }
    EXPECT_GE(machines, 14u);
    EXPECT_GE(expectations, 18u);
}

// Either way round: the kernel's rule asks the same ports.
TEST(PeerPath, IsTheSameBothWays)
{
    for (const auto &entry : std::filesystem::directory_iterator(topologies())) {
        SCOPED_TRACE(entry.path().filename().string());
        const PciTopology machine(entry.path());
        const PciTree tree = PciTree::read(machine.root());
        for (const auto &expected : machine.expectations)
            EXPECT_EQ(hl::judge_peer_path(tree, expected.importer, expected.exporter).route,
                      hl::judge_peer_path(tree, expected.exporter, expected.importer).route);
    }
}

TEST(PeerPath, NamesTheKernelParameterThatUndoesARedirect)
{
    const auto path = judge("acs-redirect-intel", "0000:03:00.0", "0000:04:00.0");
    EXPECT_THAT(path.remedy, HasSubstr("pci=disable_acs_redir=0000:02:00.0;0000:02:01.0"));
    EXPECT_THAT(path.text, HasSubstr("8086:3ec2"));
}

TEST(PeerPath, NamesTheSlotWhereNothingIsShared)
{
    const auto path = judge("vm-q35-root-ports", "0000:01:00.0", "0000:02:00.0");
    EXPECT_THAT(path.remedy, HasSubstr("same PCIe switch"));
    EXPECT_THAT(path.text, HasSubstr("0000:00:00.0 (8086:29c0)"));
}

TEST(PeerPath, DoesNotExistWithoutPci)
{
    const auto path = judge("same-switch-intel", "0000:03:00.0", "");
    EXPECT_EQ(path.route, hl::PeerRoute::NotPci);
    EXPECT_FALSE(path.reaches());
}

TEST(PeerPath, IsUnknownForAFunctionThatIsNotThere)
{
    const auto path = judge("same-switch-intel", "0000:03:00.0", "0000:99:00.0");
    EXPECT_EQ(path.route, hl::PeerRoute::Unknown);
    EXPECT_THAT(path.text, HasSubstr("0000:99:00.0"));
}

TEST(PciTree, ReadsPortsDriversAndIommuGroups)
{
    const PciTopology machine(topologies() / "acs-redirect-xeon.topo");
    const PciTree tree = PciTree::read(machine.root());
    const hl::PciFunction *const gaudi = tree.find("0000:19:00.0");
    ASSERT_NE(gaudi, nullptr);
    EXPECT_EQ(gaudi->vendor, 0x1da3);
    EXPECT_EQ(gaudi->host_bridge, "pci0000:16");
    EXPECT_EQ(joined(gaudi->upstream), "0000:18:00.0,0000:17:00.0,0000:16:02.0");
    EXPECT_EQ(gaudi->iommu, "DMA-FQ");
    EXPECT_EQ(gaudi->driver, "habanalabs");
    EXPECT_EQ(gaudi->bar_bytes.at(4), uint64_t{128} << 30);
    EXPECT_EQ(gaudi->acs_control, std::nullopt);
    EXPECT_EQ(tree.find("0000:16:02.0")->port, hl::PciPort::RootPort);
    EXPECT_EQ(tree.find("0000:17:00.0")->port, hl::PciPort::SwitchUpstream);
    EXPECT_EQ(tree.find("0000:18:00.0")->port, hl::PciPort::SwitchDownstream);
    EXPECT_EQ(tree.find("0000:18:00.0")->acs_control, 0x1d);
    EXPECT_EQ(tree.host_bridge_device("pci0000:16")->address, "0000:16:00.0");
}

// What another machine's tree may hold must not hang or crash its reader: capability lists that run in circles or out
// of the file, and files that are missing.
TEST(PciTree, SurvivesABrokenTree)
{
    const PciTopology machine(topologies() / "same-switch-intel.topo");
    const std::filesystem::path device = machine.root() + "/sys/bus/pci/devices/0000:03:00.0";
    for (const char fill : {'\xff', '\x41', '\x50'}) {
        std::ofstream(device / "config", std::ios::binary) << std::string(4096, fill);
        const PciTree tree = PciTree::read(machine.root());
        EXPECT_NE(tree.find("0000:03:00.0"), nullptr);
    }
    // Extended capabilities: 0x100 points at itself.
    std::string config(4096, '\0');
    config[0x100] = 1;
    config[0x103] = 0x10;
    std::ofstream(device / "config", std::ios::binary) << config;
    EXPECT_EQ(PciTree::read(machine.root()).find("0000:03:00.0")->acs_control, std::nullopt);
    for (const char *const name : {"config", "resource", "vendor", "class"})
        std::filesystem::remove(device / name);
    const PciTree tree = PciTree::read(machine.root());
    EXPECT_FALSE(tree.find("0000:03:00.0")->config_known);
    EXPECT_TRUE(PciTree::read("/nonexistent").functions().empty());
    EXPECT_EQ(PciTree::read("/nonexistent").kernel_support(), std::nullopt);
}

TEST(PciTree, FindsTheFunctionBehindAClassDevice)
{
    const PciTopology machine(topologies() / "same-switch-intel.topo");
    const std::filesystem::path device = machine.root() + "/sys/bus/pci/devices/0000:04:00.0";
    std::filesystem::create_directories(device / "video4linux/video0");
    EXPECT_EQ(hl::pci_address_of((device / "video4linux/video0").string()), "0000:04:00.0");
    EXPECT_EQ(hl::pci_address_of("/nonexistent"), "");
    EXPECT_EQ(hl::pci_address_of(machine.root()), "");
}
