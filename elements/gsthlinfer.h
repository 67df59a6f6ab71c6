// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#define GST_TYPE_HL_INFER (gst_hl_infer_get_type())
G_DECLARE_FINAL_TYPE(GstHlInfer, gst_hl_infer, GST, HL_INFER, GstElement)

GST_ELEMENT_REGISTER_DECLARE(hlinfer);
