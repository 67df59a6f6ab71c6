// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/engine.h"

#include <gst/gst.h>

// Rides with the tensors that hlinfer attaches: how the frame was fitted into the model's image, so that a decoder can
// go back (frame = (model - pad) / scale). Copied with the buffer.
struct GstHlTransformMeta {
    GstMeta meta;
    hl::FrameTransform transform;
    guint model_width; // pixels of the model's image
    guint model_height;
};

GType gst_hl_transform_meta_api_get_type();
const GstMetaInfo *gst_hl_transform_meta_get_info();
// transfer none; `buffer` must be writable.
GstHlTransformMeta *gst_hl_buffer_add_transform_meta(GstBuffer *buffer, const hl::FrameTransform &transform,
                                                     guint model_width, guint model_height);
// nullptr if there is none; transfer none.
GstHlTransformMeta *gst_hl_buffer_get_transform_meta(GstBuffer *buffer);
