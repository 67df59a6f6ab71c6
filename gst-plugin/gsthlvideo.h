// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/device.h"
#include "device/framelayout.h"
#include "gsthlptr.h"

#include <gst/gst.h>
#include <gst/video/video.h>

#include <array>
#include <optional>

// The caps our sink and source pads take, DMABuf first: "video/x-raw(memory:DMABuf), format=DMA_DRM, drm-format={...};
// video/x-raw, format={...}". Static storage.
extern const char *const gst_hl_video_caps;        // both structures
extern const char *const gst_hl_video_caps_dmabuf; // the first alone
extern const char *const gst_hl_video_caps_system; // the second alone

// The one way from fixed caps to a video info: real format, strides and size also under linear DMA_DRM caps, where
// gst_video_info_from_caps() gives size 0. FALSE for what we do not take.
[[nodiscard]] bool gst_hl_video_info_from_caps(const GstCaps *caps, GstVideoInfo *info);
[[nodiscard]] bool gst_hl_caps_are_dmabuf(const GstCaps *caps);
// The same video under the other memory feature, fixed; transfer full. `caps` must be fixed and ours.
[[nodiscard]] GstCaps *gst_hl_caps_to_dmabuf(const GstCaps *caps);
[[nodiscard]] GstCaps *gst_hl_caps_to_system(const GstCaps *caps);
// For caps negotiation: every structure of any caps (lists and ranges included) moved to the other memory feature;
// what has no linear equal there is left out. Other fields are kept. transfer full.
[[nodiscard]] GstCaps *gst_hl_caps_as_dmabuf(const GstCaps *caps);
[[nodiscard]] GstCaps *gst_hl_caps_as_system(const GstCaps *caps);

// Errors: FormatUnsupported.
[[nodiscard]] hl::Result<hl::FrameFormat> gst_hl_frame_format(const GstVideoInfo &info);

// The frame in `buffer` as the device knows it; nullopt if any of its memories is not of `device` (foreign). Strides
// and offsets come from the GstVideoMeta if there is one, else from `info`. Checked with hl::validate(). Errors:
// FrameTooSmall, FrameLayoutInvalid, MemoryStale, MemoryMapped. Holds no reference.
[[nodiscard]] hl::Result<std::optional<hl::FrameLayout>>
gst_hl_buffer_layout(GstBuffer *buffer, const GstVideoInfo &info, const hl::Device &device);

// A foreign frame mapped for reading for a scope, checked against its caps. Holds a reference on the buffer. Movable.
class GstHlMappedFrame {
public:
    // Errors: FrameTooSmall, FrameLayoutInvalid, CopyFailed (cannot be mapped).
    [[nodiscard]] static hl::Result<GstHlMappedFrame> map(GstBuffer *buffer, const GstVideoInfo &info);
    GstHlMappedFrame(GstHlMappedFrame &&other) noexcept;
    GstHlMappedFrame &operator=(GstHlMappedFrame &&other) noexcept;
    ~GstHlMappedFrame();
    [[nodiscard]] const hl::FrameView &view() const noexcept { return view_; }

private:
    GstHlMappedFrame() = default;
    void unmap() noexcept;

    GstPtr<GstBuffer> buffer_;
    std::array<GstMapInfo, hl::max_planes> map_{}; // one per plane; planes of one memory map it once each
    size_t mapped_ = 0;
    bool merged_ = false;
    hl::FrameView view_;
};
