// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "gsthlmaskpool.h"
#include "inference/tensordecoder.h"

#include <gst/gst.h>

#include <span>
#include <string>
#include <vector>

// Writes what a decoder found into a frame's GstAnalyticsRelationMeta. Streaming thread only.
class GstHlAnalyticsWriter {
public:
    // The classes' names; one without, or beyond the end, is called "class-" and its index.
    void set_labels(std::span<const std::string> labels);

    // Adds a GstAnalyticsODMtd per object; a GstAnalyticsSegmentationMtd per mask, related to its object in both
    // directions; and one GstAnalyticsClsMtd with all classes, best first. Keeps what is there. `buffer` must be
    // writable.
    void write(GstBuffer *buffer, const hl::Decoded &found, const hl::DecodeFrame &frame);

private:
    [[nodiscard]] GQuark name(uint32_t class_index);

    GstHlMaskPool masks_;
    std::vector<GQuark> names_; // by class, 0: not asked for yet
    std::vector<gfloat> levels_;
    std::vector<GQuark> quarks_;
};
