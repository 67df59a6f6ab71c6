// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlptr.h"

#include <gst/gst.h>

#include <cstdint>

// Pictures of masks, used again once nobody has them any more: frame after frame, no memory is taken for pixels. One
// thread takes them, any thread lets them go, also after the pool itself is gone.
class GstHlMaskPool {
public:
    GstHlMaskPool() = default;
    GstHlMaskPool(GstHlMaskPool &&) noexcept = default;
    GstHlMaskPool &operator=(GstHlMaskPool &&other) noexcept;
    ~GstHlMaskPool();

    // A GRAY8 picture of width x height bytes, with a GstVideoMeta and undefined content. Its lines lie without a gap:
    // GStreamer 1.28's segmentationoverlay takes the width for the stride (gst_segmentation_overlay_resampling).
    [[nodiscard]] GstPtr<GstBuffer> take(uint32_t width, uint32_t height);

private:
    [[nodiscard]] GstPtr<GstBuffer> acquire(gsize bytes);
    void close() noexcept;

    GstPtr<GstBufferPool> pool_; // of pictures of up to `bytes_`
    gsize bytes_ = 0;
};
