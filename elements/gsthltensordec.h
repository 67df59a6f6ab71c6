// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/base/gstbasetransform.h>
#include <gst/gst.h>

#define GST_TYPE_HL_TENSOR_DEC (gst_hl_tensor_dec_get_type())
G_DECLARE_FINAL_TYPE(GstHlTensorDec, gst_hl_tensor_dec, GST, HL_TENSOR_DEC, GstBaseTransform)

GST_ELEMENT_REGISTER_DECLARE(hltensordec)
