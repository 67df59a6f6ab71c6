// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/frameformat.h"

namespace hl {
namespace {

constexpr uint32_t shift_up(uint32_t value, uint32_t shift) noexcept
{
    return (value + (1u << shift) - 1u) >> shift;
}

constexpr uint64_t align_up(uint64_t value, uint64_t align) noexcept
{
    return (value + align - 1) & ~(align - 1);
}

} // namespace

uint32_t plane_row_bytes(const FrameFormat &format, size_t plane) noexcept
{
    const PlaneInfo &info = pixel_format_info(format.format).plane[plane];
    return shift_up(format.width, info.width_shift) * info.pixel_bytes;
}

uint32_t plane_rows(const FrameFormat &format, size_t plane) noexcept
{
    return shift_up(format.height, pixel_format_info(format.format).plane[plane].height_shift);
}

PlanePlacement packed_placement(const FrameFormat &format, uint32_t stride_align, uint32_t plane_align) noexcept
{
    PlanePlacement out;
    for (size_t p = 0; p < pixel_format_info(format.format).planes; ++p) {
        out.stride[p] = static_cast<uint32_t>(align_up(plane_row_bytes(format, p), stride_align));
        out.offset[p] = align_up(out.size, plane_align);
        out.size = out.offset[p] + uint64_t{out.stride[p]} * plane_rows(format, p);
    }
    return out;
}

} // namespace hl
