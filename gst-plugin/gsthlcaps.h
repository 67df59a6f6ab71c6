// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>
#include <gst/video/video.h>

// The caps our pads take, as strings of static storage: "video/x-raw(memory:DMABuf), format=DMA_DRM, drm-format={...}"
// and "video/x-raw, format={...}", with every format of hl::PixelFormat, and both, DMABuf first.
[[nodiscard]] const gchar *gst_hl_video_caps();
[[nodiscard]] const gchar *gst_hl_video_caps_dmabuf();
[[nodiscard]] const gchar *gst_hl_video_caps_system();

// The one way from fixed caps to a video info: real format, strides and size also under linear DMA_DRM caps, where
// gst_video_info_from_caps() gives size 0. FALSE for what we do not take.
[[nodiscard]] bool gst_hl_video_info_from_caps(const GstCaps *caps, GstVideoInfo *info);
[[nodiscard]] bool gst_hl_caps_are_dmabuf(const GstCaps *caps);
// Every structure of any caps (lists and ranges included) under that memory feature; what has no linear equal there is
// left out. Other fields are kept. transfer full.
[[nodiscard]] GstCaps *gst_hl_caps_to_dmabuf(const GstCaps *caps);
[[nodiscard]] GstCaps *gst_hl_caps_to_system(const GstCaps *caps);
