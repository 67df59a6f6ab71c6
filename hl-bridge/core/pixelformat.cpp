// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/pixelformat.h"

#include <drm_fourcc.h>

#include <algorithm>
#include <array>

namespace hl {
namespace {

// RGB is three bytes R, G, B in memory order, which DRM names from the other end: BG24. BGRx likewise is XR24.
constexpr std::array formats{
    PixelFormatInfo{PixelFormat::NV12, "NV12", DRM_FORMAT_NV12, 2, {{1, 0, 0}, {2, 1, 1}}, true},
    PixelFormatInfo{PixelFormat::I420, "I420", DRM_FORMAT_YUV420, 3, {{1, 0, 0}, {1, 1, 1}, {1, 1, 1}}, true},
    PixelFormatInfo{PixelFormat::YUY2, "YUY2", DRM_FORMAT_YUYV, 1, {{4, 1, 0}}, true},
    PixelFormatInfo{PixelFormat::UYVY, "UYVY", DRM_FORMAT_UYVY, 1, {{4, 1, 0}}, true},
    PixelFormatInfo{PixelFormat::RGB, "RGB", DRM_FORMAT_BGR888, 1, {{3, 0, 0}}, false},
    PixelFormatInfo{PixelFormat::BGRx, "BGRx", DRM_FORMAT_XRGB8888, 1, {{4, 0, 0}}, false},
};
static_assert(formats.size() == pixel_formats, "one row per PixelFormat, in its order");

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
