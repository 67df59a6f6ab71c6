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
