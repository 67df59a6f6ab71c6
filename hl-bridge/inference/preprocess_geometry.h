// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/frameformat.h"
#include "inference/modelinfo.h"
#include "inference/preprocess_kernels.h"

#include <cstdint>
#include <span>

// Where samples of a frame land in a model's image; private to preprocess*.cpp.
namespace hl::preprocess {

// The part of the model's image that the frame covers; the rest is border.
struct Window {
    uint32_t x = 0, y = 0, width = 0, height = 0;
};

// `region` is not empty. Letterbox keeps the aspect ratio to the nearest pixel and centres, the odd pixel of border
// going right or below.
[[nodiscard]] Window place(const Rect &region, uint32_t width, uint32_t height, ScaleMode mode) noexcept;

// `region` as far as it lies in the frame, never empty; width 0 is the whole frame.
[[nodiscard]] Rect clip(const Rect &region, uint32_t width, uint32_t height) noexcept;

// One axis of one plane: output index -> position in the plane's samples, held inside first..last.
struct Axis {
    double step = 1.0;
    double start = 0.0; // position of output index 0
    uint32_t first = 0, last = 0;

    // `begin`, `size`: the region along this axis in pixels; `shift`: the plane's subsampling, log2.
    [[nodiscard]] static Axis make(uint32_t begin, uint32_t size, uint32_t shift, uint32_t output) noexcept;

    [[nodiscard]] uint32_t samples() const noexcept { return last - first + 1; }
    [[nodiscard]] bool identity() const noexcept { return step == 1.0 && start == first; }
};

// A position as a sample and the fraction of the way to the next one, in 1 / 2^bits; the fraction is below 2^bits, and
// 0 at the last sample.
struct Tap {
    uint32_t index = 0;
    uint32_t fraction = 0;
};
[[nodiscard]] Tap tap(const Axis &axis, uint32_t output, int bits) noexcept;

// Where the samples of one kind lie in a row that starts with sample `first`.
struct SampleRow {
    uint32_t first = 0;
    uint32_t distance = 1; // bytes from one to the next
};

// Fills the filter of `width` columns into `blocks`, which holds width / block rounded up. Windows are made for distances
// of 1, 2 and 4 (NV12's and YUY2's other samples are found a few bytes further on).
[[nodiscard]] ColumnTaps fill_columns(const Axis &axis, uint32_t width, const SampleRow &samples,
                                      std::span<ColumnBlock> blocks) noexcept;

} // namespace hl::preprocess
