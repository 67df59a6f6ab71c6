// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"
#include "gsthlptr.h"

#include <gst/gst.h>

#include <memory>

// The GstContext type under which elements of one pipeline share a device. Its structure has one field "device" of
// GST_TYPE_HL_DEVICE.
#define GST_HL_DEVICE_CONTEXT_TYPE "gst.hl.device"

// A hl::Device as a GstObject, so that a GstContext can carry it. Immutable; one per hl::Device use, thread safe.
#define GST_TYPE_HL_DEVICE (gst_hl_device_get_type())
G_DECLARE_FINAL_TYPE(GstHlDevice, gst_hl_device, GST, HL_DEVICE, GstObject)

// transfer full
[[nodiscard]] GstPtr<GstHlDevice> gst_hl_device_wrap(std::shared_ptr<hl::Device> device);
// transfer none; lives as long as `device`.
[[nodiscard]] const std::shared_ptr<hl::Device> &gst_hl_device_get(GstHlDevice *device);

// Makes sure `slot` holds an open device that fits `spec`: asks neighbours for a context (downstream, then upstream,
// then the application by NEED_CONTEXT), else opens it, shares it by HAVE_CONTEXT. A lost device in the slot is
// replaced or recovered. On the simulator the element that opened it posts the WARNING "running on the simulator (SIM)"
// once. Call from NULL->READY or later, without the object lock. Errors: as hl::Device::open().
[[nodiscard]] hl::Status gst_hl_ensure_device(GstElement *element, const gchar *spec, GstPtr<GstHlDevice> &slot);

// For GstElementClass::set_context: takes the device out of `context` if `slot` is empty and `spec` allows it. Never
// replaces a device in use.
void gst_hl_handle_set_context(GstElement *element, GstContext *context, const gchar *spec, GstPtr<GstHlDevice> &slot);
// For CONTEXT queries; TRUE if answered.
gboolean gst_hl_handle_context_query(GstElement *element, GstQuery *query, const GstPtr<GstHlDevice> &device);
