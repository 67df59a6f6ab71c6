// SPDX-License-Identifier: LGPL-2.1-or-later
#include "camera.h"

#include <gst/gst.h>

#include <algorithm>
#include <utility>

namespace {

// The node of a device that v4l2src opens; empty for other sources (a screen, a PipeWire node).
std::string node_of(GstDevice *device)
{
    g_autoptr(GstStructure) properties = gst_device_get_properties(device);
    const gchar *const api = properties ? gst_structure_get_string(properties, "device.api") : nullptr;
    const gchar *const path = properties ? gst_structure_get_string(properties, "device.path") : nullptr;
    return g_strcmp0(api, "v4l2") == 0 && path ? path : "";
}

Camera describe(GstDevice *device, std::string node)
{
    g_autofree gchar *name = gst_device_get_display_name(device);
    g_autoptr(GstCaps) caps = gst_device_get_caps(device);
    g_autoptr(GstCaps) raw = gst_caps_from_string("video/x-raw; video/x-raw(memory:DMABuf)");
    return {.node = std::move(node), .name = name, .raw = caps == nullptr || gst_caps_can_intersect(caps, raw) != FALSE};
}

} // namespace

std::vector<Camera> find_cameras()
{
    g_autoptr(GstDeviceMonitor) monitor = gst_device_monitor_new();
    (void)gst_device_monitor_add_filter(monitor, "Video/Source", nullptr);
    GList *const devices = gst_device_monitor_get_devices(monitor);
    std::vector<Camera> cameras;
    for (GList *item = devices; item; item = item->next) {
        auto *const device = GST_DEVICE(item->data);
        if (std::string node = node_of(device); !node.empty())
            cameras.push_back(describe(device, std::move(node)));
    }
    g_list_free_full(devices, gst_object_unref);
    std::ranges::sort(cameras, {}, &Camera::node);
    return cameras;
}

std::optional<Camera> find_camera(const std::string &node)
{
    for (Camera &camera : find_cameras())
        if (node.empty() || node == camera.node)
            return std::move(camera);
    // A node that the monitor does not list is for v4l2src to judge: its error says what is wrong with it.
    if (!node.empty())
        return Camera{.node = node, .name = node};
    return {};
}
