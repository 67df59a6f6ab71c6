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

// False where the taps of half a block lie further apart than a window is wide.
bool fill_windows(ColumnBlock &columns, uint32_t distance) noexcept
{
    constexpr uint8_t zero = 0x80; // to a byte shuffle
    const auto pixel = static_cast<int32_t>(distance);
    for (size_t i = 0; i < block; ++i) {
        const int32_t start = columns.offset[i / 4 * 4];
        const int32_t first = columns.offset[i] - start;
        if (first + 2 * pixel > 16)
            return false;
        columns.window[i / 4] = start;
        columns.shuffle[4 * i] = static_cast<uint8_t>(first);
        columns.shuffle[4 * i + 2] = static_cast<uint8_t>(first + pixel);
        columns.shuffle[4 * i + 1] = columns.shuffle[4 * i + 3] = zero;
    }
    return true;
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

ColumnTaps fill_columns(const Axis &axis, uint32_t width, const SampleRow &samples,
                        std::span<ColumnBlock> blocks) noexcept
{
    ColumnTaps out{blocks.data(), samples.distance != 3};
    uint32_t x = 0;
    for (ColumnBlock &columns : blocks) {
        for (size_t i = 0; i < block; ++i, ++x) {
            const Tap at = tap(axis, std::min(x, width - 1), weight_bits);
            columns.offset[i] = static_cast<int32_t>((at.index - samples.first) * samples.distance);
            columns.weights[i] = ((1u << weight_bits) - at.fraction) | at.fraction << 16;
        }
        if (out.windowed)
            out.windowed = fill_windows(columns, samples.distance);
    }
    return out;
}

} // namespace hl::preprocess
