// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/preprocess.h"
#include "inference/preprocess_kernels.h"

#include <array>

// What the samples of a frame become in a model's image; private to preprocess*.cpp.
namespace hl::preprocess {

struct Colours {
    ColourStep filtered;        // of samples that went through the column filter
    ColourStep direct;          // of plain bytes; packed RGB only
    std::array<float, 3> pad{}; // border values per channel
};

// The step from the samples of `source` to the channels of `target`: colour matrix, range, channel order and
// normalisation (which uint8 images do without).
[[nodiscard]] Colours make_colours(const FrameFormat &source, const ImageTarget &target) noexcept;

// The largest magnitude that a pixel or border takes in `target`.
[[nodiscard]] double largest_value(const ImageTarget &target) noexcept;

} // namespace hl::preprocess
