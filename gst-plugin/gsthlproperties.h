// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/memory.h"

#include <gst/gst.h>

// Enumerations that several elements have as properties.

// `memory`: which pool is proposed upstream.
enum GstHlMemoryMode { GST_HL_MEMORY_AUTO, GST_HL_MEMORY_HOST, GST_HL_MEMORY_DEVICE };
#define GST_TYPE_HL_MEMORY_MODE (gst_hl_memory_mode_get_type())
GType gst_hl_memory_mode_get_type();

// `zero-copy`: what happens where the CPU would have to copy a frame.
enum GstHlZeroCopy { GST_HL_ZERO_COPY_AUTO, GST_HL_ZERO_COPY_REQUIRE };
#define GST_TYPE_HL_ZERO_COPY (gst_hl_zero_copy_get_type())
GType gst_hl_zero_copy_get_type();

// `planes`: of how many memories, each a dma-buf, a frame of the proposed pool is made.
enum GstHlPlanes { GST_HL_PLANES_SINGLE, GST_HL_PLANES_MULTI };
#define GST_TYPE_HL_PLANES (gst_hl_planes_get_type())
GType gst_hl_planes_get_type();

// The placement of the proposed pool. `auto` is host, which every importer takes, unless import-probe has shown that
// the named one maps device memory.
[[nodiscard]] hl::Placement gst_hl_memory_mode_placement(GstHlMemoryMode mode, bool device_imported) noexcept;

// The property `import-probe`, a string: see gsthlimportprobe.h.
[[nodiscard]] GParamSpec *gst_hl_import_probe_spec(); // transfer full (floating)
