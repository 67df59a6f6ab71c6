// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/latencyhistogram.h"

#include <gst/gst.h>

#include <atomic>
#include <cstdint>

// How many frames an element has let go, and how fast. One thread adds, any thread reads.
class GstHlFrameRate {
public:
    void add() noexcept;
    void reset() noexcept;
    // "frames" (guint64), and "fps" (gdouble): the mean from the first frame to the last, 0 until there are two.
    void fill(GstStructure *structure) const;

private:
    std::atomic<uint64_t> frames_{0};
    std::atomic<int64_t> first_ns_{0};
    std::atomic<int64_t> last_ns_{0};
};

// "STAGE-p50", "STAGE-p95", "STAGE-p99" (guint64, ns).
void gst_hl_stage_to_structure(const gchar *stage, const hl::LatencyHistogram &times, GstStructure *structure);
