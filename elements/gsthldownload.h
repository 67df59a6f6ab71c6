// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthltransform.h"

#define GST_TYPE_HL_DOWNLOAD (gst_hl_download_get_type())
G_DECLARE_FINAL_TYPE(GstHlDownload, gst_hl_download, GST, HL_DOWNLOAD, GstHlTransform)

GST_ELEMENT_REGISTER_DECLARE(hldownload);
