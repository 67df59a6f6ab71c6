// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthltransform.h"

#define GST_TYPE_HL_UPLOAD (gst_hl_upload_get_type())
G_DECLARE_FINAL_TYPE(GstHlUpload, gst_hl_upload, GST, HL_UPLOAD, GstHlTransform)

GST_ELEMENT_REGISTER_DECLARE(hlupload);
