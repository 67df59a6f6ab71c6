// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/pixelformat.h"

#include <array>
#include <cstddef>
#include <cstdint>

namespace hl {

// How R, G and B make Y, Cb and Cr. FCC is that of the first colour television, SMPTE240M that of the first HDTV.
enum class ColorMatrix : uint8_t { BT601, BT709, BT2020, FCC, SMPTE240M };
enum class ColorRange : uint8_t { Limited, Full };

// What a frame's pixels mean. The matrix matters for YUV formats only, the range for YUV and grey ones.
struct FrameFormat {
    PixelFormat format = PixelFormat::NV12;
    uint32_t width = 0;  // pixels
    uint32_t height = 0; // pixels
    ColorMatrix matrix = ColorMatrix::BT601;
    ColorRange range = ColorRange::Limited;

    friend bool operator==(const FrameFormat &, const FrameFormat &) noexcept = default;
};

struct Rect {
    uint32_t x = 0, y = 0, width = 0, height = 0; // pixels of the frame

    friend bool operator==(const Rect &, const Rect &) noexcept = default;
};

// Bytes one row of a plane really uses, and its rows; odd sizes round chroma up.
[[nodiscard]] uint32_t plane_row_bytes(const FrameFormat &format, size_t plane) noexcept;
[[nodiscard]] uint32_t plane_rows(const FrameFormat &format, size_t plane) noexcept;

// Where the planes of a frame lie in one stretch of bytes.
struct PlanePlacement {
    std::array<uint64_t, max_planes> offset{}; // bytes from the start
    std::array<uint32_t, max_planes> stride{}; // bytes
    uint64_t size = 0;                         // bytes in all, last row included whole
};

// Planes one after the other, strides rounded up to `stride_align` (a power of two), plane starts to `plane_align`.
[[nodiscard]] PlanePlacement packed_placement(const FrameFormat &format, uint32_t stride_align = 4,
                                              uint32_t plane_align = 1) noexcept;

// A frame as the CPU sees it: for foreign frames, and for engines that run on the host. Pointers are borrowed; whoever
// makes the view keeps the pages mapped.
struct FrameView {
    FrameFormat format;
    std::array<const std::byte *, max_planes> data{};
    std::array<uint32_t, max_planes> stride{}; // bytes
};

} // namespace hl
