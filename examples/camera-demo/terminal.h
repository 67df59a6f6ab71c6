// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#include <chrono>
#include <cstdint>

// Tells on stderr what was found, once a second: a line that is renewed in place on a terminal, a line each elsewhere.
class Terminal {
public:
    Terminal();
    // A frame with its detections, from its streaming thread (transfer none).
    void show(GstBuffer *frame);
    // Leaves the line that is renewed.
    void finish();

private:
    using Clock = std::chrono::steady_clock;
    const bool in_place_;
    uint64_t frames_ = 0;
    uint64_t shown_ = 0; // frames, at the last line
    Clock::time_point last_ = Clock::now();
};
