// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/pixelformat.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <array>

namespace hl {
namespace {

// GStreamer spells packed RGB by the bytes in memory; DRM spells the little-endian word, whose first letter is the last
// byte (drm_fourcc.h: XRGB8888 is "[31:0] x:R:G:B 8:8:8:8 little endian"). So the letters are turned round: BGRx is
// XRGB8888, RGB is BGR888. DRM names the other formats as they lie in memory, by their planes (YUV for Y, Cb, Cr; YVU for
// Y, Cr, Cb) or by their bytes (YUYV).
constexpr std::array formats{
    PixelFormatInfo{PixelFormat::NV12, "NV12", DRM_FORMAT_NV12, 2, {{1, 0, 0}, {2, 1, 1}}, ColorModel::YUV, 8},
    PixelFormatInfo{
        PixelFormat::I420, "I420", DRM_FORMAT_YUV420, 3, {{1, 0, 0}, {1, 1, 1}, {1, 1, 1}}, ColorModel::YUV, 8},
    PixelFormatInfo{PixelFormat::YUY2, "YUY2", DRM_FORMAT_YUYV, 1, {{4, 1, 0}}, ColorModel::YUV, 8},
    PixelFormatInfo{PixelFormat::UYVY, "UYVY", DRM_FORMAT_UYVY, 1, {{4, 1, 0}}, ColorModel::YUV, 8},
    PixelFormatInfo{PixelFormat::RGB, "RGB", DRM_FORMAT_BGR888, 1, {{3, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::BGRx, "BGRx", DRM_FORMAT_XRGB8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::P010, "P010_10LE", DRM_FORMAT_P010, 2, {{2, 0, 0}, {4, 1, 1}}, ColorModel::YUV, 10},
    PixelFormatInfo{PixelFormat::NV21, "NV21", DRM_FORMAT_NV21, 2, {{1, 0, 0}, {2, 1, 1}}, ColorModel::YUV, 8},
    PixelFormatInfo{
        PixelFormat::YV12, "YV12", DRM_FORMAT_YVU420, 3, {{1, 0, 0}, {1, 1, 1}, {1, 1, 1}}, ColorModel::YUV, 8},
    PixelFormatInfo{PixelFormat::NV16, "NV16", DRM_FORMAT_NV16, 2, {{1, 0, 0}, {2, 1, 0}}, ColorModel::YUV, 8},
    PixelFormatInfo{
        PixelFormat::Y42B, "Y42B", DRM_FORMAT_YUV422, 3, {{1, 0, 0}, {1, 1, 0}, {1, 1, 0}}, ColorModel::YUV, 8},
    PixelFormatInfo{PixelFormat::RGBx, "RGBx", DRM_FORMAT_XBGR8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::xRGB, "xRGB", DRM_FORMAT_BGRX8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::xBGR, "xBGR", DRM_FORMAT_RGBX8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::RGBA, "RGBA", DRM_FORMAT_ABGR8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::BGRA, "BGRA", DRM_FORMAT_ARGB8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::ARGB, "ARGB", DRM_FORMAT_BGRA8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::ABGR, "ABGR", DRM_FORMAT_RGBA8888, 1, {{4, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::BGR, "BGR", DRM_FORMAT_RGB888, 1, {{3, 0, 0}}, ColorModel::RGB, 8},
    PixelFormatInfo{PixelFormat::GRAY8, "GRAY8", DRM_FORMAT_R8, 1, {{1, 0, 0}}, ColorModel::Gray, 8},
};
static_assert(formats.size() == pixel_formats, "one row per PixelFormat");
static_assert(std::ranges::all_of(formats,
                                  [](const PixelFormatInfo &row) {
                                      return &row == &formats[static_cast<size_t>(row.format)];
                                  }),
              "in its order");

template <class Key>
std::optional<PixelFormat> find_format(const Key &key, Key PixelFormatInfo::*member) noexcept
{
    const auto row = std::ranges::find(formats, key, member);
    if (row == formats.end())
        return std::nullopt;
    return row->format;
}

} // namespace

const PixelFormatInfo &pixel_format_info(PixelFormat format) noexcept
{
    return formats[static_cast<size_t>(format)];
}

std::optional<PixelFormat> pixel_format_from_name(std::string_view name) noexcept
{
    return find_format(name, &PixelFormatInfo::name);
}

std::optional<PixelFormat> pixel_format_from_fourcc(uint32_t fourcc) noexcept
{
    return find_format(fourcc, &PixelFormatInfo::fourcc);
}

std::string pixel_format_names()
{
    std::string out;
    for (const PixelFormatInfo &format : formats)
        out.append(out.empty() ? "" : ", ").append(format.name);
    return out;
}

} // namespace hl
