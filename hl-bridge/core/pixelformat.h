// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hl {

// Pixel layouts the bridge understands. Names are GStreamer's.
enum class PixelFormat : uint8_t { NV12, I420, YUY2, UYVY, RGB, BGRx };
inline constexpr size_t pixel_formats = 6;

inline constexpr size_t max_planes = 4;

// How one plane of a format relates to the frame.
struct PlaneInfo {
    uint8_t pixel_bytes;  // bytes of one sample position in this plane (NV12's UV pair: 2; two pixels of YUY2: 4)
    uint8_t width_shift;  // horizontal subsampling, log2
    uint8_t height_shift; // vertical subsampling, log2
};

struct PixelFormatInfo {
    PixelFormat format;
    std::string_view name; // GStreamer's, e.g. "NV12"
    uint32_t fourcc;       // DRM's, from drm_fourcc.h
    uint8_t planes;
    PlaneInfo plane[max_planes];
    bool yuv;
};

// The description of a format. Static storage.
[[nodiscard]] const PixelFormatInfo &pixel_format_info(PixelFormat format) noexcept;
[[nodiscard]] std::optional<PixelFormat> pixel_format_from_name(std::string_view name) noexcept;
[[nodiscard]] std::optional<PixelFormat> pixel_format_from_fourcc(uint32_t fourcc) noexcept;
// All names, for messages: "NV12, I420, ...".
[[nodiscard]] std::string pixel_format_names();

} // namespace hl
