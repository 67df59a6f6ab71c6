// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess_geometry.h"

#include <algorithm>
#include <cmath>

namespace hl::preprocess {
namespace {

// size * to / from, to the nearest, at least 1.
uint32_t rescale(uint32_t size, uint32_t to, uint32_t from) noexcept
{
    const uint64_t nearest = (uint64_t{2} * size * to + from) / (uint64_t{2} * from);
    return static_cast<uint32_t>(std::max<uint64_t>(nearest, 1));
}

} // namespace

Window place(const Rect &region, uint32_t width, uint32_t height, ScaleMode mode) noexcept
{
    if (mode == ScaleMode::Stretch)
        return {0, 0, width, height};
    const bool wide = uint64_t{width} * region.height <= uint64_t{height} * region.width;
    const uint32_t w = wide ? width : std::min(width, rescale(region.width, height, region.height));
    const uint32_t h = wide ? std::min(height, rescale(region.height, width, region.width)) : height;
    return {(width - w) / 2, (height - h) / 2, w, h};
}

Rect clip(const Rect &region, uint32_t width, uint32_t height) noexcept
{
    if (region.width == 0)
        return {0, 0, width, height};
    const uint32_t x = std::min(region.x, width - 1), y = std::min(region.y, height - 1);
    return {x, y, std::clamp(region.width, 1u, width - x), std::clamp(region.height, 1u, height - y)};
}

Axis Axis::make(uint32_t begin, uint32_t size, uint32_t shift, uint32_t output) noexcept
{
    // Output pixel i has its centre at frame coordinate begin + (i + 0.5) * size / output; sample j of a plane has its
    // centre at (j + 0.5) << shift.
    const double unit = 1u << shift;
    Axis axis;
    axis.step = static_cast<double>(size) / output / unit;
    axis.start = begin / unit + 0.5 * axis.step - 0.5;
    axis.first = begin >> shift;
    axis.last = (begin + size - 1) >> shift;
    return axis;
}

Tap tap(const Axis &axis, uint32_t output, int bits) noexcept
{
    const double one = 1u << bits;
    const double position = std::clamp(axis.start + output * axis.step, double(axis.first), double(axis.last));
    const auto fixed = static_cast<uint64_t>(std::lround(position * one));
    return {static_cast<uint32_t>(fixed >> bits), static_cast<uint32_t>(fixed & ((1u << bits) - 1))};
}

void fill_columns(const Axis &axis, uint32_t width, uint32_t pixel_bytes, std::span<int32_t> offset,
                  std::span<uint32_t> weights) noexcept
{
    for (uint32_t x = 0; x < offset.size(); ++x) {
        const Tap at = tap(axis, std::min(x, width - 1), weight_bits);
        offset[x] = static_cast<int32_t>((at.index - axis.first) * pixel_bytes);
        weights[x] = ((1u << weight_bits) - at.fraction) | at.fraction << 16;
    }
}

} // namespace hl::preprocess
