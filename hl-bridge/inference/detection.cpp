// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/detection.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace hl {

namespace {

// One axis of a box from the model's image to the frame.
bool to_frame(double low, double high, double scale, double pad, double limit, float &from, float &to) noexcept
{
    if (!(high > low))
        return false;
    low = (low - pad) / scale;
    high = (high - pad) / scale;
    if (!std::isfinite(low) || !std::isfinite(high))
        return false;
    from = static_cast<float>(std::clamp(low, 0.0, limit));
    to = static_cast<float>(std::clamp(high, 0.0, limit));
    return to > from;
}

std::pair<int32_t, int32_t> to_pixels(float low, float high, uint32_t limit) noexcept
{
    const auto from = std::min(static_cast<int32_t>(std::lround(low)), static_cast<int32_t>(limit) - 1);
    const auto to = std::max(static_cast<int32_t>(std::lround(high)), from + 1);
    return {from, to - from};
}

} // namespace

PixelBox pixel_box(const Detection &object, const DecodeFrame &frame) noexcept
{
    PixelBox box;
    std::tie(box.x, box.width) = to_pixels(object.x0, object.x1, frame.width);
    std::tie(box.y, box.height) = to_pixels(object.y0, object.y1, frame.height);
    return box;
}

bool place_box(double x0, double y0, double x1, double y1, const DecodeFrame &frame, Detection &out) noexcept
{
    const FrameTransform &t = frame.transform;
    return to_frame(x0, x1, t.scale_x, t.pad_x, frame.width, out.x0, out.x1) &&
           to_frame(y0, y1, t.scale_y, t.pad_y, frame.height, out.y0, out.y1);
}

} // namespace hl
