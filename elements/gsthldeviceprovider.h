// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

// Lists Gaudis for GstDeviceMonitor and gst-device-monitor-1.0. docs/hldeviceprovider.md.
#define GST_TYPE_HL_DEVICE_PROVIDER (gst_hl_device_provider_get_type())
G_DECLARE_FINAL_TYPE(GstHlDeviceProvider, gst_hl_device_provider, GST, HL_DEVICE_PROVIDER, GstDeviceProvider)
GST_DEVICE_PROVIDER_REGISTER_DECLARE(hldeviceprovider)

// One of them: makes an hlinfer that uses it. GstHlDevice is an open device and another thing.
#define GST_TYPE_HL_LISTED_DEVICE (gst_hl_listed_device_get_type())
G_DECLARE_FINAL_TYPE(GstHlListedDevice, gst_hl_listed_device, GST, HL_LISTED_DEVICE, GstDevice)
