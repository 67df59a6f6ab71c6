// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

// A GstBufferPool that hands out first what came back last: that memory is still in the processor's caches, where the
// queue of the base class would go round through all of it. Threads: as GstBufferPool.
#define GST_TYPE_HL_LIFO_POOL (gst_hl_lifo_pool_get_type())
G_DECLARE_DERIVABLE_TYPE(GstHlLifoPool, gst_hl_lifo_pool, GST, HL_LIFO_POOL, GstBufferPool)

struct _GstHlLifoPoolClass {
    GstBufferPoolClass parent_class;
};

// Gives `buffer`, which acquire_buffer() of this class returned (transfer full), back as the one that came back last,
// and returns the idle one that came back first (transfer full); `buffer` itself where no other is idle.
[[nodiscard]] GstBuffer *gst_hl_lifo_pool_exchange_for_oldest(GstHlLifoPool *self, GstBuffer *buffer);
