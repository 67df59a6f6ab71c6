// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#define GST_TYPE_HL_COPIES (gst_hl_copies_get_type())
G_DECLARE_FINAL_TYPE(GstHlCopies, gst_hl_copies, GST, HL_COPIES, GstTracer)

// Registers the tracer "hlcopies".
gboolean gst_hl_copies_register(GstPlugin *plugin);
