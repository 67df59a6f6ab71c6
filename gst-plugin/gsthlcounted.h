// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"

#include <gst/gst.h>

// Elements that count their copies. Read by the hlcopies tracer; the same figures are in their `stats`.
#define GST_TYPE_HL_COUNTED (gst_hl_counted_get_type())
G_DECLARE_INTERFACE(GstHlCounted, gst_hl_counted, GST, HL_COUNTED, GstElement)

struct _GstHlCountedInterface {
    GTypeInterface parent;
    // The five counters since the element last left READY. Any thread.
    hl::CopyTotals (*get_totals)(GstHlCounted *self);
};

[[nodiscard]] hl::CopyTotals gst_hl_counted_totals(GstHlCounted *self);

// Writes the five counters as fields "cpu-copies" (guint64), "cpu-copy-bytes", "uploads", "upload-bytes", "downloads",
// "download-bytes", "p2p", "p2p-bytes", "read-backs", "read-back-bytes" into a structure: the one spelling used by
// stats, tracer and messages.
void gst_hl_counters_to_structure(const hl::CopyTotals &totals, GstStructure *structure);
// The same for what CPU maps of device frames forced: "map-downloads", "map-download-bytes", "map-uploads",
// "map-upload-bytes".
void gst_hl_map_counters_to_structure(const hl::CopyTotals &mapped, GstStructure *structure);
