// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess_colour.h"

#include <algorithm>
#include <cmath>

namespace hl::preprocess {
namespace {

struct MatrixWeights {
    double red, blue;
};

// Kr and Kb of ITU-T H.273, table 4: BT.601-7, BT.709-6, BT.2020-2 (non-constant luminance), 47 CFR 73.682 and
// SMPTE 240M.
MatrixWeights matrix_weights(ColorMatrix matrix) noexcept
{
    switch (matrix) {
    case ColorMatrix::BT709:
        return {0.2126, 0.0722};
    case ColorMatrix::BT2020:
        return {0.2627, 0.0593};
    case ColorMatrix::FCC:
        return {0.30, 0.11};
    case ColorMatrix::SMPTE240M:
        return {0.212, 0.087};
    case ColorMatrix::BT601:
        break;
    }
    return {0.299, 0.114};
}

// R, G, B = sum of factor * (Y, U, V) + bias, in 0..255, of samples with `bits` bits.
struct YuvToRgb {
    double factor[3][3];
    double bias[3];
};

// H.273, 8.3: in limited range luma has 219 steps of 8 bits from 16 on, chroma 224 around 128, both scaled by
// 2^(bits - 8); in full range both have 2^bits - 1 steps.
YuvToRgb yuv_to_rgb(ColorMatrix matrix, ColorRange range, int bits) noexcept
{
    const auto [kr, kb] = matrix_weights(matrix);
    const double kg = 1.0 - kr - kb;
    const bool full = range == ColorRange::Full;
    const double unit = 1 << (bits - 8), most = (1 << bits) - 1;
    const double luma = 255.0 / (full ? most : 219.0 * unit), chroma = 255.0 / (full ? most : 224.0 * unit);
    const double black = full ? 0.0 : 16.0 * unit, centre = 128.0 * unit;
    YuvToRgb out{{{luma, 0.0, 2.0 * (1.0 - kr) * chroma},
                  {luma, -2.0 * kb * (1.0 - kb) / kg * chroma, -2.0 * kr * (1.0 - kr) / kg * chroma},
                  {luma, 2.0 * (1.0 - kb) * chroma, 0.0}},
                 {}};
    for (size_t k = 0; k < 3; ++k)
        out.bias[k] = -out.factor[k][0] * black - (out.factor[k][1] + out.factor[k][2]) * centre;
    return out;
}

// Byte of R, G and B in a pixel of a packed format; of Y, U and V in two pixels of packed YUV.
std::array<uint8_t, 3> packed_bytes(PixelFormat format) noexcept
{
    switch (format) {
    case PixelFormat::BGR:
    case PixelFormat::BGRx:
    case PixelFormat::BGRA:
        return {2, 1, 0};
    case PixelFormat::xRGB:
    case PixelFormat::ARGB:
        return {1, 2, 3};
    case PixelFormat::xBGR:
    case PixelFormat::ABGR:
        return {3, 2, 1};
    case PixelFormat::YUY2:
        return {0, 1, 3};
    case PixelFormat::UYVY:
        return {1, 0, 2};
    default:
        return {0, 1, 2};
    }
}

// Whether V lies before U, in the second plane or in the order of planes.
bool v_first(PixelFormat format) noexcept
{
    return format == PixelFormat::NV21 || format == PixelFormat::YV12;
}

struct Normalise {
    double factor, bias;
};

Normalise normalise(const ImageTarget &target, size_t channel) noexcept
{
    if (target.type == DType::UInt8)
        return {1.0, 0.0};
    const double factor = target.how.scale_by[channel];
    return {factor, -factor * target.how.mean[channel]};
}

// Channel `k`, which is colour `rgb`, of YUV and of grey, which has nothing but luma.
void set_from_luma(ColourStep &step, size_t k, const YuvToRgb &yuv, size_t rgb, Normalise to, double sample) noexcept
{
    for (size_t i = 0; i < 3; ++i)
        step.matrix[k][i] = static_cast<float>(yuv.factor[rgb][i] * to.factor * sample);
    step.bias[k] = static_cast<float>(yuv.bias[rgb] * to.factor + to.bias);
}

// The colour of grey: no chroma, hence no matrix.
YuvToRgb grey_to_rgb(ColorRange range) noexcept
{
    YuvToRgb out = yuv_to_rgb(ColorMatrix::BT601, range, 8);
    for (size_t k = 0; k < 3; ++k) {
        out.bias[k] = range == ColorRange::Full ? 0.0 : -16.0 * out.factor[k][0];
        out.factor[k][1] = out.factor[k][2] = 0.0;
    }
    return out;
}

} // namespace

Colours make_colours(const FrameFormat &source, const ImageTarget &target) noexcept
{
    const PixelFormatInfo &info = pixel_format_info(source.format);
    YuvToRgb yuv = info.model == ColorModel::Gray ? grey_to_rgb(source.range)
                                                  : yuv_to_rgb(source.matrix, source.range, info.sample_bits);
    if (v_first(source.format))
        for (auto &factor : yuv.factor)
            std::swap(factor[1], factor[2]);
    const std::array<uint8_t, 3> bytes = packed_bytes(source.format);
    // Filtered samples are weighted by 1 << weight_bits, and those of more than 8 bits lie in the upper bits of 16.
    const int low_bits = info.sample_bits > 8 ? 16 - info.sample_bits : 0;
    const double sample = std::ldexp(1.0, -weight_bits - low_bits);
    Colours out;
    for (size_t k = 0; k < 3; ++k) {
        const size_t rgb = target.how.order == ChannelOrder::BGR ? 2 - k : k;
        const Normalise to = normalise(target, k);
        const auto black = static_cast<float>(to.bias), white = static_cast<float>(255.0 * to.factor + to.bias);
        out.filtered.low[k] = std::min(black, white);
        out.filtered.high[k] = std::max(black, white);
        out.pad[k] = static_cast<float>(target.how.pad_value * to.factor + to.bias);
        if (info.model != ColorModel::RGB) {
            out.filtered.byte[k] = bytes[k];
            set_from_luma(out.filtered, k, yuv, rgb, to, sample);
            continue;
        }
        out.filtered.byte[k] = bytes[rgb];
        out.filtered.matrix[k][0] = static_cast<float>(to.factor * sample);
        out.filtered.bias[k] = black;
    }
    out.filtered.pixel_bytes = info.plane[0].pixel_bytes;
    out.direct = out.filtered;
    for (size_t k = 0; k < 3; ++k)
        out.direct.matrix[k][0] = static_cast<float>(normalise(target, k).factor);
    return out;
}

double largest_value(const ImageTarget &target) noexcept
{
    double out = 0;
    for (size_t k = 0; k < 3; ++k) {
        const Normalise to = normalise(target, k);
        out = std::max({out, std::abs(to.bias), std::abs(255.0 * to.factor + to.bias)});
    }
    return out;
}

} // namespace hl::preprocess
