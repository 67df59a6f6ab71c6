// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/latencyhistogram.h"
#include "gsthlframerate.h"
#include "gsthlinferqueue.h"

#include <gst/gst.h>

#include <atomic>
#include <cstdint>

// Times and counts of one run of hlinfer, from READY to READY. The source pad's task adds, any thread reads.
class GstHlInferStats {
public:
    // A frame is about to be pushed.
    void add(const GstHlInferQueue::Item &item) noexcept;

    // What this element adds to the age of a frame, waiting for downstream not counted: 99th percentile in ns, 0 while
    // too few frames were seen to say.
    [[nodiscard]] uint64_t latency() const noexcept;
    // "frames", "fps", "inferred" and "STAGE-p50", "-p95", "-p99" (guint64, ns) for copy, transfer, queue, infer,
    // total.
    void fill(GstStructure *structure) const;

private:
    hl::LatencyHistogram copy_, transfer_, queue_, infer_, total_, own_;
    GstHlFrameRate rate_;
    std::atomic<uint64_t> inferred_{0};
};
