// SPDX-License-Identifier: LGPL-2.1-or-later
#include "device/framelayout.h"

#include <format>

namespace hl {

Status validate(const FrameLayout &layout)
{
    const PixelFormatInfo &info = pixel_format_info(layout.format.format);
    const Memory &first = layout.plane[0].memory;
    for (size_t p = 0; p < info.planes; ++p) {
        const PlaneLayout &plane = layout.plane[p];
        const uint64_t row = plane_row_bytes(layout.format, p);
        const uint64_t rows = plane_rows(layout.format, p);
        if (plane.memory.device != first.device || plane.memory.generation != first.generation ||
            plane.memory.placement != first.placement)
            return fail(ErrorCode::FrameLayoutInvalid, "validate frame",
                        std::format("plane {} lies on another device or placement than plane 0", p),
                        "allocate all planes of a frame from one pool");
        if (plane.stride < row)
            return fail(ErrorCode::FrameLayoutInvalid, "validate frame",
                        std::format("plane {} of a {}x{} {} frame has a stride of {} bytes, its rows need {}", p,
                                    layout.format.width, layout.format.height, info.name, plane.stride, row),
                        "correct the stride in the buffer's video meta");
        const uint64_t need = rows == 0 ? 0 : uint64_t{plane.stride} * (rows - 1) + row;
        if (plane.offset > plane.memory.size || need > plane.memory.size - plane.offset)
            return fail(ErrorCode::FrameTooSmall, "validate frame",
                        std::format("plane {} of a {}x{} {} frame needs {} bytes from offset {}, its memory has {}", p,
                                    layout.format.width, layout.format.height, info.name, need, plane.offset,
                                    plane.memory.size),
                        "the producer's buffers do not fit its caps; check width, height and format");
    }
    return {};
}

FrameLayout layout_in(const FrameFormat &format, const Memory &memory, const PlanePlacement &planes) noexcept
{
    FrameLayout out{.format = format, .plane = {}};
    for (size_t p = 0; p < pixel_format_info(format.format).planes; ++p)
        out.plane[p] = {memory, planes.offset[p], planes.stride[p]};
    return out;
}

} // namespace hl
