// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlinferstream.h"

#include <gst/gst.h>

#include <atomic>
#include <cstdint>

// What hlinfer adds to the latency of its line: the time from its sink pad to its source pad, as measured, told in
// LATENCY queries and told anew when it has grown.
class GstHlInferLatency {
public:
    // Before a run.
    void reset();
    // Answers a LATENCY query with what upstream of `sink` says and our own; FALSE if upstream says nothing. Any
    // thread. `stream` may be null: outside of a run.
    [[nodiscard]] bool answer(GstPad *sink, const GstHlInferStream *stream, GstQuery *query);
    // For the task, with each frame: whether the pipeline has to ask again, since it was told of less.
    [[nodiscard]] bool outgrown(const GstHlInferStream &stream);

private:
    uint64_t frames_ = 0;           // of the task
    std::atomic<bool> live_{false}; // as upstream said
    std::atomic<GstClockTime> announced_{0};
};
