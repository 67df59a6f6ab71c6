// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace hl {

// Pixel layouts the bridge understands, the ones that elements prefer first. Names are GStreamer's, but for P010
// (P010_10LE).
enum class PixelFormat : uint8_t {
    NV12,
    I420,
    YUY2,
    UYVY,
    RGB,
    BGRx,
    P010,
    NV21,
    YV12,
    NV16,
    Y42B,
    RGBx,
    xRGB,
    xBGR,
    RGBA,
    BGRA,
    ARGB,
    ABGR,
    BGR,
    GRAY8,
};
inline constexpr size_t pixel_formats = 20;

// What the samples of a pixel are. Alpha beside RGB is carried, and read by nobody.
enum class ColorModel : uint8_t { YUV, RGB, Gray };

inline constexpr size_t max_planes = 4;

// How one plane of a format relates to the frame.
struct PlaneInfo {
    uint8_t pixel_bytes;  // bytes of one sample position in this plane (UV pair of NV12: 2, of P010: 4; two pixels of YUY2: 4)
    uint8_t width_shift;  // horizontal subsampling, log2
    uint8_t height_shift; // vertical subsampling, log2
};

struct PixelFormatInfo {
    PixelFormat format;
    std::string_view name; // GStreamer's, e.g. "NV12"
    uint32_t fourcc;       // DRM's, from drm_fourcc.h
    uint8_t planes;
    PlaneInfo plane[max_planes];
    ColorModel model;
    uint8_t sample_bits; // above 8: in the upper bits of little-endian 16
};

// The description of a format. Static storage.
[[nodiscard]] const PixelFormatInfo &pixel_format_info(PixelFormat format) noexcept;
[[nodiscard]] std::optional<PixelFormat> pixel_format_from_name(std::string_view name) noexcept;
[[nodiscard]] std::optional<PixelFormat> pixel_format_from_fourcc(uint32_t fourcc) noexcept;
// All names, for messages: "NV12, I420, ...".
[[nodiscard]] std::string pixel_format_names();

} // namespace hl
