// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/engine.h"

#include <cstdint>
#include <span>

namespace hl {

// What decides which objects and classes are reported. All may change from frame to frame.
struct DecodeOptions {
    float score_threshold = 0.5f; // a candidate is kept where it scores at least this
    float iou_threshold = 0.5f;   // a box is dropped where it overlaps a better one by more than this
    uint32_t max_detections = 100;
    uint32_t max_candidates = 4096;  // that are compared with one another, the best ones
    uint32_t top_k = 1;              // classes that a classifier reports
    bool class_aware = true;         // boxes of different classes never suppress each other
    std::span<const uint8_t> wanted; // by class, 0: not reported; empty: every class is

    [[nodiscard]] bool wants(uint32_t class_index) const noexcept
    {
        return wanted.empty() || (class_index < wanted.size() && wanted[class_index] != 0);
    }
};

// The frame the objects are reported in.
struct DecodeFrame {
    uint32_t width = 0, height = 0;             // pixels
    FrameTransform transform;                   // frame = (model - pad) / scale
    uint32_t model_width = 0, model_height = 0; // pixels of the model's image; 0: not known, those of the frame
};

// One object: an axis-parallel box inside the frame, in frame pixels, never empty.
struct Detection {
    float x0 = 0, y0 = 0, x1 = 0, y1 = 0;
    float score = 0; // 0..1
    uint32_t class_index = 0;
};

// A box in whole pixels: nearest, at least one pixel, inside the frame.
struct PixelBox {
    int32_t x = 0, y = 0;
    int32_t width = 0, height = 0;
};
[[nodiscard]] PixelBox pixel_box(const Detection &object, const DecodeFrame &frame) noexcept;

// Puts the model's box from (x0, y0) to (x1, y1), in pixels of the model's image, into `out`, clipped to the frame.
// False where nothing of it is left.
[[nodiscard]] bool place_box(double x0, double y0, double x1, double y1, const DecodeFrame &frame,
                             Detection &out) noexcept;

} // namespace hl
