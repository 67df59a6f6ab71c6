// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#include <string>

// What a run came to: hlinfer's `stats` and the tracer's "hl-copies" message (transfer none).
struct Report {
    std::string camera;
    std::string how;
    const GstStructure *stats = nullptr;
    const GstStructure *copies = nullptr; // nullptr: the tracer said nothing

    // A few lines for people.
    [[nodiscard]] std::string text() const;
    // {camera, how, frames, fps, latency, backend, stand_in, placement, hops[]}, one line.
    [[nodiscard]] std::string json() const;
};
