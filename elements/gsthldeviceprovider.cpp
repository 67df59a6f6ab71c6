// SPDX-License-Identifier: LGPL-2.1-or-later

/**
 * SECTION:provider-hldeviceprovider
 * @title: hldeviceprovider
 * @short_description: lists the Gaudis of this machine
 *
 * Reads sysfs and opens no node, so that listing a device never takes it from who uses it, and needs no permission. The
 * simulator is listed only where no Gaudi is on the PCI bus. Devices that come later are not announced: ask again.
 */
#include "gsthldeviceprovider.h"

#include "device/device.h"
#include "gsthlcaps.h"
#include "gsthlptr.h"

#include <algorithm>
#include <array>
#include <format>
#include <string>
#include <string_view>

namespace {

// The words of hlinfer's own class, and the name to search for.
constexpr const gchar *device_class = "Filter/Analyzer/Video/Hardware/Gaudi";

} // namespace

struct _GstHlListedDevice {
    GstDevice parent;
    gchar *spec; // what the elements' `device` takes
};

struct _GstHlDeviceProvider {
    GstDeviceProvider parent;
};

G_DEFINE_FINAL_TYPE(GstHlListedDevice, gst_hl_listed_device, GST_TYPE_DEVICE)
G_DEFINE_FINAL_TYPE(GstHlDeviceProvider, gst_hl_device_provider, GST_TYPE_DEVICE_PROVIDER)
GST_DEVICE_PROVIDER_REGISTER_DEFINE(hldeviceprovider, "hldeviceprovider", GST_RANK_PRIMARY, GST_TYPE_HL_DEVICE_PROVIDER)

namespace {

std::string display_name(const hl::DeviceListing &device)
{
    if (device.simulated)
        return std::format("Simulated {} (no Gaudi is on the PCI bus)", device.chip);
    return std::format("Intel {} at {}", device.chip, device.pci_address);
}

void set_text(GstStructure *structure, const gchar *field, const std::string &text)
{
    if (!text.empty())
        gst_structure_set(structure, field, G_TYPE_STRING, text.c_str(), nullptr);
}

// What sysfs does not tell is left out.
GstStructurePtr properties_of(const hl::DeviceListing &device)
{
    GstStructurePtr out(gst_structure_new("hl-device-properties", "device.api", G_TYPE_STRING, device.backend.c_str(),
                                          "simulated", G_TYPE_BOOLEAN, gboolean{device.simulated}, nullptr));
    set_text(out.get(), "device.path", device.node);
    set_text(out.get(), "device", device.spec);
    set_text(out.get(), "chip", device.chip);
    set_text(out.get(), "stand-in", device.stand_in);
    set_text(out.get(), "pci-address", device.pci_address);
    set_text(out.get(), "status", device.status);
    set_text(out.get(), "driver", device.driver);
    set_text(out.get(), "driver-version", device.driver_version);
    set_text(out.get(), "firmware-version", device.firmware);
    if (device.module)
        gst_structure_set(out.get(), "module-id", G_TYPE_INT, *device.module, nullptr);
    if (device.numa_node)
        gst_structure_set(out.get(), "numa-node", G_TYPE_INT, *device.numa_node, nullptr);
    // gst-device-monitor-1.0 prints a line of its own for sources and sinks alone.
    set_text(out.get(), "launch-line",
             std::format("gst-launch-1.0 videotestsrc num-buffers=100 ! hlupload device={} ! hldownload ! fakesink",
                         device.spec));
    return out;
}

GstDevice *listed(const hl::DeviceListing &device)
{
    const GstPtr<GstCaps> caps = GstPtr<GstCaps>::adopt(gst_caps_from_string(gst_hl_video_caps()));
    auto *const self = GST_HL_LISTED_DEVICE(
        g_object_new(GST_TYPE_HL_LISTED_DEVICE, "display-name", display_name(device).c_str(), "device-class",
                     device_class, "caps", caps.get(), "properties", properties_of(device).get(), nullptr));
    self->spec = g_strdup(device.spec.c_str());
    return GST_DEVICE(self);
}

} // namespace

static GstElement *gst_hl_listed_device_create_element(GstDevice *device, const gchar *name)
{
    GstElement *const element = gst_element_factory_make("hlinfer", name);
    if (element)
        g_object_set(element, "device", GST_HL_LISTED_DEVICE(device)->spec, nullptr);
    return element;
}

// Any element of ours that has not opened its device yet.
static gboolean gst_hl_listed_device_reconfigure_element(GstDevice *device, GstElement *element)
{
    constexpr std::array<std::string_view, 3> ours{"hlinfer", "hlupload", "hldownload"};
    const GstElementFactory *const factory = gst_element_get_factory(element);
    if (!factory || !std::ranges::contains(ours, std::string_view(GST_OBJECT_NAME(factory))))
        return FALSE;
    {
        const GstObjectLocker lock(element);
        if (GST_STATE(element) > GST_STATE_NULL || GST_STATE_NEXT(element) > GST_STATE_NULL)
            return FALSE;
    }
    g_object_set(element, "device", GST_HL_LISTED_DEVICE(device)->spec, nullptr);
    return TRUE;
}

static void gst_hl_listed_device_finalize(GObject *object)
{
    g_free(GST_HL_LISTED_DEVICE(object)->spec);
    G_OBJECT_CLASS(gst_hl_listed_device_parent_class)->finalize(object);
}

static void gst_hl_listed_device_class_init(GstHlListedDeviceClass *klass)
{
    G_OBJECT_CLASS(klass)->finalize = gst_hl_listed_device_finalize;
    GST_DEVICE_CLASS(klass)->create_element = gst_hl_listed_device_create_element;
    GST_DEVICE_CLASS(klass)->reconfigure_element = gst_hl_listed_device_reconfigure_element;
}

static void gst_hl_listed_device_init(GstHlListedDevice *) {}

static GList *gst_hl_device_provider_probe(GstDeviceProvider *)
{
    GList *devices = nullptr;
    for (const hl::DeviceListing &device : hl::Device::enumerate())
        devices = g_list_append(devices, listed(device));
    return devices;
}

static void gst_hl_device_provider_class_init(GstHlDeviceProviderClass *klass)
{
    GST_DEVICE_PROVIDER_CLASS(klass)->probe = gst_hl_device_provider_probe;
    gst_device_provider_class_set_static_metadata(GST_DEVICE_PROVIDER_CLASS(klass), "Gaudi device provider",
                                                  device_class, "Lists Intel Gaudi accelerators without opening them",
                                                  "gst-habana");
}

static void gst_hl_device_provider_init(GstHlDeviceProvider *) {}
