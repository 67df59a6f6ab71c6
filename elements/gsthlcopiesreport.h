// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/copycounters.h"
#include "gsthlptr.h"

#include <cstdint>
#include <string>
#include <vector>

// One hop: an element and the pad its frames leave by (of a sink, the pad they come in by). An element's counters stand
// in its first hop alone, so that sums are right.
struct HlCopiesHop {
    std::string element; // its name
    std::string factory; // e.g. "videoconvert"
    std::string pad;
    std::string video;   // e.g. "NV12 640x480"
    std::string memory;  // of the frames: "device", "host", "system" or "mixed"
    bool sink = false;   // frames come in and none leave
    bool source = false; // no frames come in
    uint64_t frames = 0;
    uint64_t bytes = 0;       // of all frames, as their buffers say
    uint64_t passed = 0;      // frames that left in the memory they came in
    uint64_t made = 0;        // frames that left in other memory
    uint64_t repeated = 0;    // frames marked as repeats of one that left before
    uint64_t seen_copies = 0; // CPU copies of a foreign element that were seen from outside; part of totals
    hl::CopyTotals totals;

    [[nodiscard]] uint64_t bytes_per_frame() const noexcept { return frames ? bytes / frames : 0; }
    // "passed", "new", "mixed", or "taken" for a sink.
    [[nodiscard]] std::string identity() const;
    // One clause for people: what the element did with the frames.
    [[nodiscard]] std::string says() const;
};

// How the frames of one pipeline moved, hop by hop in the order they flow.
struct HlCopiesReport {
    std::string pipeline;
    std::vector<HlCopiesHop> hops;

    [[nodiscard]] hl::CopyTotals totals() const noexcept;
    // A table for people, ending in a newline.
    [[nodiscard]] std::string text() const;
    // {"pipeline", "hops": [...], "totals", "note"}, one line, ending in a newline.
    [[nodiscard]] std::string json() const;
    // "hl-copies" {pipeline, hops (GstValueArray of "hl-copies-hop"), totals ("hl-copies-totals"), note}.
    [[nodiscard]] GstStructurePtr structure() const;
};
