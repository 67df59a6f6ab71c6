// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/device.h"
#include "device/framelayout.h"

#include <gst/gst.h>

#include <cstdint>

// Moving whole frames, for elements that wait for it.

// Bytes of pixels in a frame, without the padding of its rows: what the counters count.
[[nodiscard]] uint64_t gst_hl_frame_bytes(const hl::FrameFormat &format) noexcept;

// One DMA of a frame between two layouts of the same format and different or equal strides; at most one of them in Host
// placement. Waits for it, at most ten seconds. Errors: as hl::Device::copy().
[[nodiscard]] hl::Status gst_hl_frame_transfer(hl::Device &device, const hl::FrameLayout &from,
                                               const hl::FrameLayout &to);

// Copies a frame by the CPU into a layout in Host placement of the same format. Errors: as hl::Device::host_span().
[[nodiscard]] hl::Status gst_hl_frame_write(hl::Device &device, const hl::FrameView &from, const hl::FrameLayout &to);

// gst_hl_memory_filled_by_peer() of any of its memories. True on the simulator as well, whose device memory no other
// driver can reach: there it only tells that nobody here filled it.
[[nodiscard]] bool gst_hl_buffer_filled_by_peer(GstBuffer *buffer);

// Gives `to`, which holds the same picture in other memory, the flags, timestamps and metas of `from`. Metas that speak
// of the memory itself stay behind, as do those without a transform function (in 1.26: GstTensorMeta). `to` must be
// writable.
void gst_hl_buffer_copy_metadata(GstBuffer *from, GstBuffer *to);
