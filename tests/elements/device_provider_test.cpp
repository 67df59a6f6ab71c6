// SPDX-License-Identifier: LGPL-2.1-or-later
#include "../unit/temporarydir.h"
#include "elementtesting.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <format>
#include <optional>
#include <string>
#include <vector>

namespace {

namespace fs = std::filesystem;

constexpr const char *address = "0000:4d:00.0";

// A machine with one Gaudi2 and its driver, as sysfs shows it. The node it names does not exist here: a provider that
// opened it would fail, and say less.
class Machine {
public:
    Machine()
    {
        fs::create_directories(device_ / "accel/accel987");
        fs::create_directories(root_.path() / "bus/pci/drivers/habanalabs");
        fs::create_directory_symlink(root_.path() / "bus/pci/drivers/habanalabs", device_ / "driver");
        fs::create_directories(root_.path() / "module/habanalabs");
        fs::create_directory_symlink(root_.path() / "module/habanalabs",
                                     root_.path() / "bus/pci/drivers/habanalabs/module");
        root_.write("module/habanalabs/version", "1.16.2\n");
        for (const auto &[name, text] :
             std::initializer_list<std::pair<const char *, const char *>>{{"vendor", "0x1da3\n"},
                                                                          {"device", "0x1020\n"},
                                                                          {"class", "0x120000\n"},
                                                                          {"module_id", "3\n"},
                                                                          {"device_type", "GAUDI2\n"},
                                                                          {"cpucp_ver", "hl-gaudi2-1.16.2\n"},
                                                                          {"status", "Operational\n"},
                                                                          {"numa_node", "1\n"}})
            root_.write(std::string("bus/pci/devices/") + address + "/" + name, text);
    }

private:
    hl::test::TemporaryDir root_;
    fs::path device_ = root_.path() / "bus/pci/devices" / address;
    hl::test::ScopedEnv sysfs_{"HL_SYSFS", root_.path().string()};
};

// A machine without a Gaudi.
class Bare {
    hl::test::TemporaryDir root_;
    hl::test::ScopedEnv sysfs_{"HL_SYSFS", root_.path().string()};
};

std::vector<GstPtr<GstDevice>> devices_of_class(const char *wanted)
{
    const auto monitor = GstPtr<GstDeviceMonitor>::adopt(gst_device_monitor_new());
    gst_device_monitor_add_filter(monitor.get(), wanted, nullptr);
    GList *const all = gst_device_monitor_get_devices(monitor.get());
    std::vector<GstPtr<GstDevice>> out;
    for (GList *at = all; at; at = at->next)
        out.push_back(GstPtr<GstDevice>::adopt(GST_DEVICE(at->data)));
    g_list_free(all);
    return out;
}

GstPtr<GstDevice> only_device()
{
    auto devices = devices_of_class("Gaudi");
    EXPECT_EQ(devices.size(), 1u);
    return devices.empty() ? GstPtr<GstDevice>() : devices.front();
}

std::optional<std::string> word(GstDevice *device, const char *field)
{
    const GstStructurePtr properties(gst_device_get_properties(device));
    const gchar *const text = gst_structure_get_string(properties.get(), field);
    return text ? std::optional<std::string>(text) : std::nullopt;
}

std::optional<int> number(GstDevice *device, const char *field)
{
    const GstStructurePtr properties(gst_device_get_properties(device));
    gint value = 0;
    return gst_structure_get_int(properties.get(), field, &value) ? std::optional<int>(value) : std::nullopt;
}

bool simulated(GstDevice *device)
{
    const GstStructurePtr properties(gst_device_get_properties(device));
    gboolean value = FALSE;
    EXPECT_TRUE(gst_structure_get_boolean(properties.get(), "simulated", &value));
    return value;
}

std::string display_name(GstDevice *device)
{
    const GCharPtr name(gst_device_get_display_name(device));
    return name.get();
}

std::string device_property(GstElement *element)
{
    gchar *text = nullptr;
    g_object_get(element, "device", &text, nullptr);
    const GCharPtr owned(text);
    return text ? text : "";
}

GstPtr<GstElement> make(const char *factory)
{
    return GstPtr<GstElement>::sink(gst_element_factory_make(factory, nullptr));
}

} // namespace

TEST(DeviceProvider, ShowsAGaudiAsSysfsDoes)
{
    const Machine machine;
    const auto device = only_device();
    ASSERT_TRUE(device);
    EXPECT_EQ(display_name(device.get()), "Intel Gaudi2 at 0000:4d:00.0");
    const std::pair<const char *, const char *> words[] = {
        {"pci-address", address},  {"device", address},          {"device.path", "/dev/accel/accel987"},
        {"device.api", "kernel"},  {"chip", "Gaudi2"},           {"stand-in", "HW"},
        {"driver", "habanalabs"},  {"driver-version", "1.16.2"}, {"firmware-version", "hl-gaudi2-1.16.2"},
        {"status", "Operational"},
    };
    for (const auto &[field, expected] : words)
        EXPECT_EQ(word(device.get(), field), expected) << field;
    EXPECT_EQ(number(device.get(), "module-id"), 3);
    EXPECT_EQ(number(device.get(), "numa-node"), 1);
    EXPECT_FALSE(simulated(device.get()));
}

TEST(DeviceProvider, TheSimulatorSaysThatItIsOne)
{
    const Bare machine;
    const auto device = only_device();
    ASSERT_TRUE(device);
    const char *const preset = g_getenv("HL_SIM_CHIP");
    EXPECT_EQ(display_name(device.get()), std::format("Simulated {} (no Gaudi is on the PCI bus)",
                                                      g_strcmp0(preset, "gaudi") == 0 ? "Gaudi" : "Gaudi2"));
    EXPECT_EQ(word(device.get(), "stand-in"), "SIM");
    EXPECT_EQ(word(device.get(), "device"), "sim");
    for (const char *absent : {"pci-address", "device.path", "driver", "driver-version", "firmware-version", "status"})
        EXPECT_EQ(word(device.get(), absent), std::nullopt) << absent;
    EXPECT_EQ(number(device.get(), "module-id"), std::nullopt);
    EXPECT_TRUE(simulated(device.get()));
}

TEST(DeviceProvider, IsFoundByTheWordsOfItsClass)
{
    const Machine machine;
    for (const char *wanted : {"Gaudi", "Filter/Analyzer/Video/Hardware", "Hardware/Gaudi"})
        EXPECT_EQ(devices_of_class(wanted).size(), 1u) << wanted;
    for (const auto &camera : devices_of_class("Video/Source"))
        EXPECT_EQ(word(camera.get(), "pci-address"), std::nullopt) << "no Gaudi among the cameras";
}

TEST(DeviceProvider, MakesAnElementThatUsesTheDevice)
{
    const Bare machine;
    const auto device = only_device();
    ASSERT_TRUE(device);
    const auto element = GstPtr<GstElement>::sink(gst_device_create_element(device.get(), "mine"));
    ASSERT_TRUE(element);
    EXPECT_STREQ(GST_OBJECT_NAME(gst_element_get_factory(element.get())), "hlinfer");
    EXPECT_STREQ(GST_OBJECT_NAME(element.get()), "mine");
    EXPECT_EQ(device_property(element.get()), "sim");
}

TEST(DeviceProvider, ReconfiguresElementsThatHaveNotOpenedADevice)
{
    const Machine machine;
    const auto device = only_device();
    ASSERT_TRUE(device);
    for (const char *factory : {"hlinfer", "hlupload", "hldownload"}) {
        const auto element = make(factory);
        EXPECT_TRUE(gst_device_reconfigure_element(device.get(), element.get())) << factory;
        EXPECT_EQ(device_property(element.get()), address) << factory;
    }
    const auto other = make("identity");
    EXPECT_FALSE(gst_device_reconfigure_element(device.get(), other.get()));

    const auto open = make("hlupload");
    g_object_set(open.get(), "device", "sim", nullptr);
    ASSERT_EQ(gst_element_set_state(open.get(), GST_STATE_READY), GST_STATE_CHANGE_SUCCESS);
    EXPECT_FALSE(gst_device_reconfigure_element(device.get(), open.get())) << "it has opened its device";
    EXPECT_EQ(device_property(open.get()), "sim");
    gst_element_set_state(open.get(), GST_STATE_NULL);
}

TEST(DeviceProvider, ItsLaunchLinePlays)
{
    const Bare machine;
    const auto device = only_device();
    ASSERT_TRUE(device);
    const auto line = word(device.get(), "launch-line");
    ASSERT_TRUE(line);
    gint status = -1;
    GError *error = nullptr;
    ASSERT_TRUE(g_spawn_command_line_sync(line->c_str(), nullptr, nullptr, &status, &error))
        << (error ? error->message : "");
    EXPECT_TRUE(g_spawn_check_wait_status(status, &error)) << (error ? error->message : "");
}

TEST(DeviceProvider, ListsAnewEachTime)
{
    {
        const Machine machine;
        EXPECT_EQ(word(only_device().get(), "device"), address);
    }
    const Bare machine;
    EXPECT_EQ(word(only_device().get(), "device"), "sim");
}
