// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/device.h"
#include "device/devicespec.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <filesystem>
#include <format>
#include <fstream>
#include <thread>

using hl::DeviceSpec;
using hl::ErrorCode;
using hl::test::Setting;

namespace {

// A made-up sysfs tree, named by HL_SYSFS while it lives.
class Sysfs {
public:
    Sysfs()
    {
        std::string path = (std::filesystem::temp_directory_path() / "hl-sysfs-XXXXXX").string();
        EXPECT_NE(::mkdtemp(path.data()), nullptr);
        root_ = path;
        std::filesystem::create_directories(root_ / "bus/pci/devices");
        ::setenv("HL_SYSFS", root_.c_str(), 1);
    }
    ~Sysfs()
    {
        ::unsetenv("HL_SYSFS");
        std::filesystem::remove_all(root_);
    }
    void add(const std::string &address, const std::string &vendor, const std::string &device,
             const std::string &function, int accel = -1, int module = -1)
    {
        const auto at = root_ / "bus/pci/devices" / address;
        std::filesystem::create_directories(at);
        std::ofstream(at / "vendor") << vendor << '\n';
        std::ofstream(at / "device") << device << '\n';
        std::ofstream(at / "class") << function << '\n';
        if (accel >= 0)
            std::filesystem::create_directories(at / "accel" / ("accel" + std::to_string(accel)));
        if (module >= 0)
            std::ofstream(at / "module_id") << module << '\n';
    }
    void add_gaudi2(int accel = 0, int module = 3)
    {
        add("0000:4d:00.0", "0x1da3", "0x1020", "0x120000", accel, module);
    }
    [[nodiscard]] std::string root() const { return root_.string(); }

private:
    std::filesystem::path root_;
};

} // namespace

TEST(DeviceSpec, ParsesItsGrammar)
{
    for (const char *text :
         {"auto", "sim", "sim:camera_1.a-B", "accel0", "accel12", "0000:4d:00.0", "module:3", "synapse",
          "synapse:accel0", "synapse:0000:4d:00.0", "synapse:module:3", "kernel", "kernel:accel0"}) {
        const auto spec = DeviceSpec::parse(text);
        ASSERT_OK(spec);
        EXPECT_EQ(spec->text(), text);
    }
    EXPECT_EQ(DeviceSpec::parse("0000:4D:00.0")->text(), "0000:4d:00.0");
    EXPECT_EQ(DeviceSpec::parse("accel007")->text(), "accel7");
    EXPECT_EQ(DeviceSpec::parse("synapse:auto")->text(), "synapse");
    EXPECT_EQ(DeviceSpec::parse("kernel:0000:4D:00.0")->text(), "kernel:0000:4d:00.0");
    EXPECT_EQ(DeviceSpec::parse("accel0")->runtime, DeviceSpec::Runtime::Any);
    EXPECT_EQ(DeviceSpec::parse("synapse:accel0")->runtime, DeviceSpec::Runtime::Synapse);
    EXPECT_EQ(DeviceSpec::parse("kernel:accel0")->runtime, DeviceSpec::Runtime::Kernel);
}

TEST(DeviceSpec, RefusesEverythingElse)
{
    const std::string long_name = "sim:" + std::string(65, 'a');
    for (const std::string &text : {std::string("sim:"),
                                    std::string("sim:a b"),
                                    std::string("sim:a/b"),
                                    std::string("sim:\xc3\xa9"),
                                    long_name,
                                    std::string("SIM"),
                                    std::string("accel"),
                                    std::string("accel-1"),
                                    std::string("accel0x1"),
                                    std::string("accel4294967296"),
                                    std::string("module:"),
                                    std::string("module:x"),
                                    std::string("0000:4d:00"),
                                    std::string("0000:4d:00.8"),
                                    std::string("0000:4g:00.0"),
                                    std::string("4d:00.0"),
                                    std::string("0"),
                                    std::string("synapse:"),
                                    std::string("synapse:sim"),
                                    std::string("kernel:sim:a"),
                                    std::string("kernel:synapse"),
                                    std::string("synapseaccel0"),
                                    std::string("synapse:kernel:accel0"),
                                    std::string("auto "),
                                    std::string("/dev/accel/accel0"),
                                    std::string(1 << 20, 'a')}) {
        const auto device = hl::Device::open(text);
        ASSERT_CODE(device, ErrorCode::DeviceSpec);
        EXPECT_LT(device.error().cause.size(), 200u);
        EXPECT_NE(device.error().remedy.find("sim:NAME"), std::string::npos);
    }
}

TEST(FindPciGaudis, LeavesOthersAndNetworkFunctionsOut)
{
    Sysfs sysfs;
    sysfs.add("0000:00:02.0", "0x8086", "0x1020", "0x030000");
    sysfs.add("0000:4d:00.1", "0x1da3", "0x1021", "0x020000"); // a Gaudi's NIC
    EXPECT_TRUE(hl::find_pci_gaudis(sysfs.root()).empty());
    sysfs.add("0000:9d:00.0", "0x1da3", "0x1020", "0x120000");
    sysfs.add_gaudi2(7, 3);
    const auto found = hl::find_pci_gaudis(sysfs.root());
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].address, "0000:4d:00.0");
    EXPECT_EQ(found[0].device, 0x1020);
    EXPECT_EQ(found[0].accel, 7);
    EXPECT_EQ(found[0].module, 3);
    EXPECT_EQ(found[1].accel, -1);
    EXPECT_EQ(found[1].module, -1);
    EXPECT_TRUE(hl::find_pci_gaudis("/nonexistent").empty());
}

TEST(DeviceOpen, AutoTakesTheSimulatorOnlyWithoutGaudi)
{
    Sysfs sysfs;
    const auto sim = hl::Device::open("auto");
    ASSERT_OK(sim);
    EXPECT_EQ((*sim)->info().spec, "sim");

    sysfs.add_gaudi2();
    const auto refused = hl::Device::open("auto");
    ASSERT_CODE(refused, ErrorCode::DeviceUnusable);
    EXPECT_NE(refused.error().cause.find("0000:4d:00.0"), std::string::npos);
    EXPECT_NE(refused.error().remedy.find("device=sim"), std::string::npos);
    EXPECT_OK(hl::Device::open("sim"));
}

TEST(DeviceOpen, HardwareIsNamedAsMissingOrUnusable)
{
    Sysfs sysfs;
    for (const char *spec : {"accel0", "module:3", "0000:4d:00.0"})
        EXPECT_CODE(hl::Device::open(spec), ErrorCode::DeviceNotFound);
    sysfs.add_gaudi2(0, 3);
    for (const char *spec : {"accel0", "module:3", "0000:4d:00.0", "0000:4D:00.0"})
        EXPECT_CODE(hl::Device::open(spec), ErrorCode::DeviceUnusable);
    for (const char *spec : {"accel1", "module:0", "0000:4d:00.1"})
        EXPECT_CODE(hl::Device::open(spec), ErrorCode::DeviceNotFound);
}

// A runtime that is asked for is not made up for by the simulator.
TEST(DeviceOpen, RuntimesAreOfRealDevices)
{
    Sysfs sysfs;
    for (const char *spec : {"kernel", "synapse", "kernel:accel0", "synapse:module:3"})
        EXPECT_CODE(hl::Device::open(spec), ErrorCode::DeviceNotFound);
    sysfs.add_gaudi2(0, 3);
    const hl::test::TemporaryDir empty;
    const Setting nowhere("HL_SYNAPSE_DIR", empty.path().c_str());
    EXPECT_CODE(hl::Device::open("synapse"), ErrorCode::SynapseMissing);
    EXPECT_CODE(hl::Device::open("kernel"), ErrorCode::DeviceUnusable);
    EXPECT_CODE(hl::Device::open("accel0"), ErrorCode::DeviceUnusable); // of the kernel backend: there is no SynapseAI
    const Setting synapse("HL_RUNTIME", "synapse");
    EXPECT_CODE(hl::Device::open("accel0"), ErrorCode::SynapseMissing);
    EXPECT_CODE(hl::Device::open("kernel:accel0"), ErrorCode::DeviceUnusable);
    EXPECT_OK(hl::Device::open("sim"));
    const Setting nothing("HL_RUNTIME", "gaudi");
    EXPECT_CODE(hl::Device::open("accel0"), ErrorCode::DeviceConfig);
}

TEST(DeviceOpen, HonoursVisibility)
{
    Sysfs sysfs;
    sysfs.add_gaudi2(0, 3);
    const auto code = [] { return hl::Device::open("module:3").error().code; };
    {
        const Setting modules("HABANA_VISIBLE_MODULES", "0,1,2");
        EXPECT_EQ(code(), ErrorCode::DeviceNotFound);
        // A hidden Gaudi is a Gaudi: auto does not take the simulator.
        const auto refused = hl::Device::open("auto");
        ASSERT_CODE(refused, ErrorCode::DeviceNotFound);
        EXPECT_NE(refused.error().cause.find("HABANA_VISIBLE_MODULES"), std::string::npos);
    }
    {
        const Setting modules("HABANA_VISIBLE_MODULES", "2,3");
        EXPECT_EQ(code(), ErrorCode::DeviceUnusable);
        const Setting devices("HABANA_VISIBLE_DEVICES", "1");
        EXPECT_EQ(code(), ErrorCode::DeviceNotFound);
    }
    for (const char *none : {"none", "void"}) {
        const Setting devices("HABANA_VISIBLE_DEVICES", none);
        EXPECT_EQ(code(), ErrorCode::DeviceNotFound);
    }
    for (const char *all : {"all", "0", ""}) {
        const Setting devices("HABANA_VISIBLE_DEVICES", all);
        EXPECT_EQ(code(), ErrorCode::DeviceUnusable);
    }
    for (const char *bad : {",", "0,", "a", "-1", "0;1"}) {
        const Setting modules("HABANA_VISIBLE_MODULES", bad);
        EXPECT_EQ(code(), ErrorCode::DeviceConfig);
    }
}

TEST(DeviceOpen, EmptyMeansTheEnvironmentThenAuto)
{
    Sysfs sysfs;
    {
        const std::string name = std::format("sim:from-environment-{}", ::getpid());
        const Setting device("HL_DEVICE", name.c_str());
        const auto opened = hl::Device::open("");
        ASSERT_OK(opened);
        EXPECT_EQ((*opened)->info().spec, name);
    }
    const Setting device("HL_DEVICE", nullptr);
    const auto opened = hl::Device::open("");
    ASSERT_OK(opened);
    EXPECT_EQ((*opened)->info().spec, "sim");
}

TEST(DeviceOpen, OneObjectPerChip)
{
    const auto a = hl::test::open_sim();
    EXPECT_EQ(hl::test::open_sim(), a);
    const auto named = hl::Device::open(std::format("sim:one-object-{}", ::getpid()));
    ASSERT_OK(named);
    EXPECT_NE(*named, a);
    EXPECT_NE((*named)->id(), a->id());
}

TEST(DeviceOpen, ThreadsMeetInOneObjectAndLeaveItTogether)
{
    std::vector<std::thread> threads;
    std::atomic<int> failures{0};
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&] {
            for (int i = 0; i < 50; ++i)
                if (!hl::Device::open(std::format("sim:threads-{}", ::getpid())))
                    ++failures; // a device that is just being destroyed must not look busy
        });
    for (auto &thread : threads)
        thread.join();
    EXPECT_EQ(failures, 0);
}

TEST(DeviceEnumerate, ListsTheSimulatorOnlyWithoutGaudi)
{
    Sysfs sysfs;
    auto found = hl::Device::enumerate();
    ASSERT_EQ(found.size(), 1u);
    EXPECT_EQ(found[0].spec, "sim");
    EXPECT_EQ(found[0].stand_in, "SIM");
    EXPECT_TRUE(found[0].simulated);
    EXPECT_TRUE(found[0].node.empty());

    sysfs.add_gaudi2(7, 3);
    sysfs.add("0000:9d:00.0", "0x1da3", "0x1020", "0x120000");
    found = hl::Device::enumerate();
    ASSERT_EQ(found.size(), 2u);
    EXPECT_EQ(found[0].spec, "0000:4d:00.0");
    EXPECT_EQ(found[0].node, "/dev/accel/accel7");
    EXPECT_EQ(found[0].module, 3);
    EXPECT_FALSE(found[0].simulated);
    EXPECT_TRUE(found[1].node.empty());
    EXPECT_EQ(found[1].module, std::nullopt);
}

TEST(DeviceEnumerate, ListsWhatOpenWouldTake)
{
    Sysfs sysfs;
    sysfs.add_gaudi2(7, 3);
    const auto count = [] { return hl::Device::enumerate().size(); };
    {
        const Setting modules("HABANA_VISIBLE_MODULES", "0,1");
        EXPECT_EQ(count(), 0u) << "a hidden Gaudi is a Gaudi: no simulator";
    }
    {
        const Setting modules("HABANA_VISIBLE_MODULES", "3");
        EXPECT_EQ(count(), 1u);
    }
    const Setting modules("HABANA_VISIBLE_MODULES", "three");
    EXPECT_EQ(count(), 1u) << "open() tells what is wrong with the list";
}
