// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"
#include "gsthlallocator.h"
#include "gsthllifopool.h"
#include "gsthlproperties.h"
#include "gsthlptr.h"

#include <gst/gst.h>
#include <gst/video/video.h>

#include <functional>
#include <memory>
#include <optional>

// A pool of video frames in one placement. Works under system-memory and DMA_DRM caps. Every buffer has a GstVideoMeta
// with the real format, added in alloc_buffer. Supports the options VIDEO_META and VIDEO_ALIGNMENT; max is unbounded
// unless configured; accepts a larger size than the layout needs; the buffer's size is exactly the configured one. A
// buffer is one memory, or with GST_HL_PLANES_MULTI one for each plane, which begins at the memory's first byte.
#define GST_TYPE_HL_BUFFER_POOL (gst_hl_buffer_pool_get_type())
G_DECLARE_FINAL_TYPE(GstHlBufferPool, gst_hl_buffer_pool, GST, HL_BUFFER_POOL, GstHlLifoPool)

// transfer full (sunk)
[[nodiscard]] GstPtr<GstBufferPool> gst_hl_buffer_pool_new(std::shared_ptr<hl::Device> device, hl::Placement placement,
                                                           GstHlPlanes planes = GST_HL_PLANES_SINGLE);
// The same with an allocator that other pools use too: stopping this pool leaves the recycled memories to them.
[[nodiscard]] GstPtr<GstBufferPool> gst_hl_buffer_pool_new_shared(GstPtr<GstHlAllocator> allocator,
                                                                  GstHlPlanes planes = GST_HL_PLANES_SINGLE);

[[nodiscard]] GstHlAllocator *gst_hl_buffer_pool_allocator(GstHlBufferPool *self); // transfer none
// The error that made the last acquire or start fail, moved out; nullopt if none.
[[nodiscard]] std::optional<hl::Error> gst_hl_buffer_pool_take_error(GstHlBufferPool *self);

// For a pool that is offered to a neighbour: an allocation that fails there is told to `handler`, on the thread that
// asked, with `owner` alive during the call. The neighbour is then answered FLUSHING, so that it stops without an error
// message of its own, which could only say that a buffer was refused. Call before the pool is offered.
using GstHlPoolErrorHandler = void (*)(GstElement *owner, const hl::Error &error);
void gst_hl_buffer_pool_set_error_handler(GstHlBufferPool *self, GstElement *owner, GstHlPoolErrorHandler handler);

// Asked when the pool starts, on the thread that starts it; what it finds wrong is told to the handler. Call before the
// pool is offered.
void gst_hl_buffer_pool_set_start_check(GstHlBufferPool *self, std::function<hl::Status()> check);

// Stops `pool` and frees what lies in it, also while some of its frames are out: GstBufferPool would keep all of them
// until the last has come back.
void gst_hl_buffer_pool_retire(GstBufferPool *pool);

// Configures `pool` for `caps` (size 0: what the layout needs) and activates it when `activate`. Errors:
// FormatUnsupported, MemoryFull, ...
[[nodiscard]] hl::Status gst_hl_buffer_pool_setup(GstBufferPool *pool, GstCaps *caps, guint size, guint min, guint max,
                                                  bool activate);
