// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlproperties.h"

#include <gst/gst.h>

#include <string>

enum GstHlInferCompute { GST_HL_INFER_COMPUTE_AUTO, GST_HL_INFER_COMPUTE_DEVICE, GST_HL_INFER_COMPUTE_HOST };

// hlinfer's settings, as the user left them. Guarded by the element's object lock; copied at READY to PAUSED.
struct GstHlInferSettings {
    std::string model;
    std::string model_info;
    std::string device;
    GstHlMemoryMode memory = GST_HL_MEMORY_AUTO;
    GstHlPlanes planes = GST_HL_PLANES_SINGLE;
    GstHlZeroCopy zero_copy = GST_HL_ZERO_COPY_AUTO;
    GstHlInferCompute compute = GST_HL_INFER_COMPUTE_AUTO;
    guint in_flight = 0;
    guint compute_threads = 0;
    guint interval = 0;
    guint64 timeout = 10 * GST_SECOND;
    std::string import_probe;
    bool device_imported = false; // no property: what import-probe has shown
};

// Installs the properties that mirror GstHlInferSettings, and the read-only "stats" (property id
// gst_hl_infer_stats_property).
void gst_hl_infer_install_properties(GObjectClass *klass);
inline constexpr guint gst_hl_infer_stats_property = 100;

// FALSE for an unknown id. The caller holds the object lock.
[[nodiscard]] bool gst_hl_infer_settings_set(GstHlInferSettings &settings, guint id, const GValue *value);
[[nodiscard]] bool gst_hl_infer_settings_get(const GstHlInferSettings &settings, guint id, GValue *value);
