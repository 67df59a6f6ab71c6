// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <gst/gst.h>

#include <cstdint>
#include <string>

// What an element found about the frames that reach it, told once per (re)negotiation.
struct GstHlPlacementReport {
    std::string placement; // "device", "host" or "system"; "none" where a neighbour is about to fail
    std::string reason; // stable code: "own-pool", "upstream-pool", "pool-replaced", "pool-swallowed", "no-pool", ...
    uint64_t bytes_per_frame = 0;
    std::string cost; // what each frame costs, e.g. "1 CPU copy and 1 upload of 460800 bytes a frame"; empty: nothing
    std::string suggestion; // a line to paste, or what to change; empty: nothing better is known
    bool copies = false;    // a CPU copy is made, or worse: a WARNING
};

// Posts the element message "hl-placement" {element, placement, reason, bytes-per-frame, cost, suggestion}, and the
// same as INFO (WARNING where a CPU copy is made) so that gst-launch-1.0 prints it. Any thread.
void gst_hl_post_placement(GstElement *element, const GstHlPlacementReport &report);
