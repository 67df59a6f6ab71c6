// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/preprocess.h"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <format>
#include <new>
#include <random>
#include <span>
#include <string>
#include <utility>
#include <vector>

// What Preprocess has to compute, by definition: in double precision, a pixel at a time, from frames with a forbidden
// page behind them.
namespace hl::test {

// Where the samples of one kind lie, by the formats' own definitions: `byte` into the plane's rows, `distance` bytes
// apart, each for 1 << shift pixels in a row and 1 << rows pixels in a column.
struct Samples {
    size_t plane, byte, distance;
    uint32_t shift, rows;
};

// Y, U, V or R, G, B (grey three times), with the bytes named as GStreamer names formats: in the order of memory.
inline std::array<Samples, 3> samples_of(PixelFormat format)
{
    const auto packed = [](size_t distance, size_t r, size_t g, size_t b) -> std::array<Samples, 3> {
        return {{{0, r, distance, 0, 0}, {0, g, distance, 0, 0}, {0, b, distance, 0, 0}}};
    };
    // Of planes for U and V, or of one for both; `size` bytes a sample.
    const auto planes = [](size_t u, size_t v, uint32_t rows) -> std::array<Samples, 3> {
        return {{{0, 0, 1, 0, 0}, {u, 0, 1, 1, rows}, {v, 0, 1, 1, rows}}};
    };
    const auto pairs = [](size_t u, size_t v, size_t size, uint32_t rows) -> std::array<Samples, 3> {
        return {{{0, 0, size, 0, 0}, {1, u, 2 * size, 1, rows}, {1, v, 2 * size, 1, rows}}};
    };
    switch (format) {
    case PixelFormat::NV12:
        return pairs(0, 1, 1, 1);
    case PixelFormat::NV21:
        return pairs(1, 0, 1, 1);
    case PixelFormat::NV16:
        return pairs(0, 1, 1, 0);
    case PixelFormat::P010:
        return pairs(0, 2, 2, 1);
    case PixelFormat::I420:
        return planes(1, 2, 1);
    case PixelFormat::YV12:
        return planes(2, 1, 1);
    case PixelFormat::Y42B:
        return planes(1, 2, 0);
    case PixelFormat::YUY2: // Y0 U Y1 V
        return {{{0, 0, 2, 0, 0}, {0, 1, 4, 1, 0}, {0, 3, 4, 1, 0}}};
    case PixelFormat::UYVY: // U Y0 V Y1
        return {{{0, 1, 2, 0, 0}, {0, 0, 4, 1, 0}, {0, 2, 4, 1, 0}}};
    case PixelFormat::RGB:
        return packed(3, 0, 1, 2);
    case PixelFormat::BGR:
        return packed(3, 2, 1, 0);
    case PixelFormat::RGBx:
    case PixelFormat::RGBA:
        return packed(4, 0, 1, 2);
    case PixelFormat::BGRx:
    case PixelFormat::BGRA:
        return packed(4, 2, 1, 0);
    case PixelFormat::xRGB:
    case PixelFormat::ARGB:
        return packed(4, 1, 2, 3);
    case PixelFormat::xBGR:
    case PixelFormat::ABGR:
        return packed(4, 3, 2, 1);
    case PixelFormat::GRAY8:
        break;
    }
    return packed(1, 0, 0, 0);
}

// Of a sample, which lie in the upper bits of two bytes where there are more than eight.
inline int bits_of(PixelFormat format)
{
    return format == PixelFormat::P010 ? 10 : 8;
}

// Bytes that end where a page nobody may touch begins, so that a single byte read or written past them crashes, in
// libyuv and in vector code too, which AddressSanitizer does not watch.
class Guarded {
public:
    explicit Guarded(size_t size) : size_(size)
    {
        const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
        const size_t used = (size + page - 1) / page * page;
        mapped_ = used + page;
        base_ = static_cast<uint8_t *>(
            ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
        if (base_ == MAP_FAILED || ::mprotect(base_ + used, page, PROT_NONE) != 0)
            throw std::bad_alloc();
        data_ = base_ + used - size;
    }
    Guarded(Guarded &&other) noexcept
        : base_(std::exchange(other.base_, nullptr)), data_(other.data_), size_(other.size_), mapped_(other.mapped_)
    {}
    Guarded &operator=(Guarded &&) = delete;
    ~Guarded()
    {
        if (base_ != nullptr)
            ::munmap(base_, mapped_);
    }

    [[nodiscard]] uint8_t *data() const { return data_; }
    [[nodiscard]] size_t size() const { return size_; }
    uint8_t &operator[](size_t i) const { return data_[i]; }
    [[nodiscard]] std::span<std::byte> bytes() const { return std::as_writable_bytes(std::span(data_, size_)); }

private:
    uint8_t *base_;
    uint8_t *data_;
    size_t size_;
    size_t mapped_;
};

// A frame whose planes are stretches of their own, the last row without stride padding.
struct Frame {
    FrameFormat format;
    std::vector<Guarded> planes;
    FrameView view;

    Frame(const FrameFormat &f, uint32_t extra_stride) : format(f)
    {
        view.format = f;
        for (size_t p = 0; p < pixel_format_info(f.format).planes; ++p) {
            const size_t row = plane_row_bytes(f, p), stride = row + extra_stride * (p + 1);
            const size_t size = stride * (plane_rows(f, p) - 1) + row;
            planes.emplace_back(size);
            view.data[p] = reinterpret_cast<const std::byte *>(planes[p].data());
            view.stride[p] = static_cast<uint32_t>(stride);
        }
    }

    void noise(std::mt19937 &random)
    {
        for (auto &plane : planes)
            for (size_t i = 0; i < plane.size(); ++i)
                plane[i] = static_cast<uint8_t>(random());
    }

    [[nodiscard]] double sample(const Samples &of, uint32_t x, uint32_t y) const
    {
        const uint8_t *at = &planes[of.plane][size_t{y} * view.stride[of.plane] + x * of.distance + of.byte];
        if (const int bits = bits_of(format.format); bits > 8)
            return (at[0] + 256 * at[1]) / std::exp2(16 - bits);
        return *at;
    }

    // One sample everywhere.
    void fill(const Samples &of, uint32_t value)
    {
        const int bits = bits_of(format.format);
        const uint32_t stored = bits > 8 ? value << (16 - bits) : value;
        const size_t row = plane_row_bytes(format, of.plane);
        for (uint32_t y = 0; y < plane_rows(format, of.plane); ++y)
            for (size_t x = of.byte; x < row; x += of.distance) {
                uint8_t *const at = &planes[of.plane][y * size_t{view.stride[of.plane]} + x];
                at[0] = static_cast<uint8_t>(stored);
                if (bits > 8)
                    at[1] = static_cast<uint8_t>(stored >> 8);
            }
    }

    // Bilinear sample at frame coordinate (fx, fy), where pixel (0, 0) has its centre at (0.5, 0.5), looking only at
    // samples that the region touches.
    [[nodiscard]] double bilinear(const Samples &of, double fx, double fy, const Rect &region) const
    {
        const auto axis = [](double centre, uint32_t begin, uint32_t size, uint32_t shift) {
            return std::clamp(centre / (1 << shift) - 0.5, double(begin >> shift), double((begin + size - 1) >> shift));
        };
        const double x = axis(fx, region.x, region.width, of.shift);
        const double y = axis(fy, region.y, region.height, of.rows);
        const auto x0 = static_cast<uint32_t>(x), y0 = static_cast<uint32_t>(y);
        const double wx = x - x0, wy = y - y0;
        const auto row = [&](uint32_t at) {
            const double left = sample(of, x0, at);
            return wx > 0 ? left * (1 - wx) + sample(of, x0 + 1, at) * wx : left;
        };
        return wy > 0 ? row(y0) * (1 - wy) + row(y0 + 1) * wy : row(y0);
    }
};

// Kr and Kb of ITU-T H.273, table 4.
inline std::pair<double, double> weights_of(ColorMatrix matrix)
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

inline std::array<double, 3> to_rgb(const FrameFormat &format, double y, double u, double v)
{
    const auto [kr, kb] = weights_of(format.matrix);
    const bool full = format.range == ColorRange::Full;
    const int bits = bits_of(format.format);
    const double most = std::exp2(bits) - 1, unit = std::exp2(bits - 8);
    const double luma = full ? y / most : (y / unit - 16) / 219;
    const double cb = (u / unit - 128) / (full ? most / unit : 224.0),
                 cr = (v / unit - 128) / (full ? most / unit : 224.0);
    const double r = luma + 2 * (1 - kr) * cr, b = luma + 2 * (1 - kb) * cb;
    const double g = (luma - kr * r - kb * b) / (1 - kr - kb);
    return {std::clamp(r, 0.0, 1.0) * 255, std::clamp(g, 0.0, 1.0) * 255, std::clamp(b, 0.0, 1.0) * 255};
}

// The definition, in double precision and one pixel at a time: what every kernel is measured against.
class Reference {
public:
    Reference(const Frame &frame, const ImageTarget &target, const Rect &region)
        : frame_(frame), target_(target), region_(region)
    {
        if (region.width == 0)
            region_ = {0, 0, frame.format.width, frame.format.height};
        width_ = target.width;
        height_ = target.height;
        if (target.how.scale == ScaleMode::Letterbox) {
            const double scale = std::min(double(target.width) / region_.width, double(target.height) / region_.height);
            width_ =
                std::clamp<uint32_t>(static_cast<uint32_t>(std::floor(region_.width * scale + 0.5)), 1, target.width);
            height_ =
                std::clamp<uint32_t>(static_cast<uint32_t>(std::floor(region_.height * scale + 0.5)), 1, target.height);
        }
        left_ = (target.width - width_) / 2;
        top_ = (target.height - height_) / 2;
    }

    [[nodiscard]] bool border(uint32_t x, uint32_t y) const
    {
        return x < left_ || y < top_ || x >= left_ + width_ || y >= top_ + height_;
    }

    // Channel `k` in the model's order, normalised.
    [[nodiscard]] double value(uint32_t x, uint32_t y, size_t k) const
    {
        const double byte = border(x, y) ? target_.how.pad_value : rgb(x, y)[rgb_channel(k)];
        if (target_.type == DType::UInt8)
            return byte;
        return (byte - double{target_.how.mean[k]}) * double{target_.how.scale_by[k]};
    }

    // The largest error that vertical blending may cause in channel `k`, in pixel values: half a step of rounding and
    // half a step of fraction (1/256; of P010 1/16384, and columns likewise, of 16 bits), through the colour matrix.
    [[nodiscard]] double blend_error(size_t k) const
    {
        const ColorModel model = pixel_format_info(frame_.format.format).model;
        const double limited = frame_.format.range == ColorRange::Full ? 1.0 : 255.0 / 219.0;
        if (model != ColorModel::YUV)
            return model == ColorModel::Gray ? limited : 1.0;
        const size_t c = rgb_channel(k);
        FrameFormat f = frame_.format;
        f.format = PixelFormat::NV12;
        f.range = ColorRange::Full; // away from clamping; limited range only stretches the result
        const double base = to_rgb(f, 128, 128, 128)[c];
        const double sum = std::abs(to_rgb(f, 129, 128, 128)[c] - base) + std::abs(to_rgb(f, 128, 129, 128)[c] - base) +
                           std::abs(to_rgb(f, 128, 128, 129)[c] - base);
        return sum * limited * (bits_of(frame_.format.format) > 8 ? 0.02 : 1.0);
    }

    [[nodiscard]] uint32_t left() const { return left_; }
    [[nodiscard]] uint32_t top() const { return top_; }
    [[nodiscard]] uint32_t width() const { return width_; }
    [[nodiscard]] uint32_t height() const { return height_; }

private:
    [[nodiscard]] size_t rgb_channel(size_t k) const { return target_.how.order == ChannelOrder::BGR ? 2 - k : k; }

    [[nodiscard]] std::array<double, 3> rgb(uint32_t x, uint32_t y) const
    {
        const double fx = region_.x + (x - left_ + 0.5) * region_.width / width_;
        const double fy = region_.y + (y - top_ + 0.5) * region_.height / height_;
        const auto of = samples_of(frame_.format.format);
        const auto at = [&](size_t i) { return frame_.bilinear(of[i], fx, fy, region_); };
        switch (pixel_format_info(frame_.format.format).model) {
        case ColorModel::YUV:
            return to_rgb(frame_.format, at(0), at(1), at(2));
        case ColorModel::Gray: // without colour
            return to_rgb(frame_.format, at(0), 128, 128);
        case ColorModel::RGB:
            break;
        }
        return {at(0), at(1), at(2)};
    }

    const Frame &frame_;
    ImageTarget target_;
    Rect region_;
    uint32_t left_ = 0, top_ = 0, width_ = 0, height_ = 0;
};

// An IEEE 754 binary16, by its definition.
inline double half_value(uint16_t bits)
{
    const int exponent = bits >> 10 & 31, mantissa = bits & 1023;
    const double size = exponent == 31  ? (mantissa ? NAN : INFINITY)
                        : exponent == 0 ? std::ldexp(mantissa, -24)
                                        : std::ldexp(1024 + mantissa, exponent - 25);
    return bits >> 15 ? -size : size;
}

// Half the distance between the halves around `value`: what rounding to the nearest may be off.
inline double half_rounding(double value)
{
    const int exponent = std::max(std::ilogb(std::max(std::abs(value), 1e-10)), -14);
    return std::ldexp(1.0, exponent - 11);
}

// One element of a tensor.
inline double element(const uint8_t *tensor, DType type, size_t at)
{
    if (type == DType::Float32)
        return reinterpret_cast<const float *>(tensor)[at];
    if (type == DType::Float16)
        return half_value(reinterpret_cast<const uint16_t *>(tensor)[at]);
    return tensor[at];
}

// Runs the plan with blocks of exactly the sizes it asks for; values as doubles in channel, row, column order.
inline std::vector<double> run(const Preprocess &plan, const ImageTarget &target, const Frame &frame,
                               const Rect &region = {})
{
    const Guarded scratch(plan.scratch_bytes()), tensor(plan.output_bytes());
    std::memset(scratch.data(), 0xa5, scratch.size());
    std::memset(tensor.data(), 0xff, tensor.size()); // a NaN where nothing is written
    plan.run(frame.view, region, scratch.bytes(), tensor.bytes());

    const size_t pixels = size_t{target.width} * target.height;
    std::vector<double> out(3 * pixels);
    for (size_t k = 0; k < 3; ++k)
        for (size_t i = 0; i < pixels; ++i)
            out[k * pixels + i] =
                element(tensor.data(), target.type, target.layout == TensorLayout::NCHW ? k * pixels + i : i * 3 + k);
    return out;
}

inline std::string describe(const FrameFormat &f, const ImageTarget &t, const Rect &r, const Preprocess &plan)
{
    return std::format("{} {}x{} matrix {} range {} region {}+{} {}x{} -> {}x{} {} {} {} {} kernel {}",
                       pixel_format_info(f.format).name, f.width, f.height, int(f.matrix), int(f.range), r.x, r.y,
                       r.width, r.height, t.width, t.height, t.layout == TensorLayout::NCHW ? "NCHW" : "NHWC",
                       dtype_name(t.type), t.how.order == ChannelOrder::BGR ? "BGR" : "RGB",
                       t.how.scale == ScaleMode::Letterbox ? "letterbox" : "stretch", plan.kernel());
}

// How far a run is off the definition, in steps of 1/255 of the pixel range; the worst and the mean over the image.
struct Deviation {
    double worst_of_allowed = 0; // 1 = as far off as blend_error() and the type's rounding allow
    double mean = 0;
    bool border_exact = true; // but for the type's rounding
};

inline Deviation deviation(const std::vector<double> &got, const Reference &reference, const ImageTarget &target)
{
    Deviation out;
    size_t i = 0;
    for (size_t k = 0; k < 3; ++k) {
        const bool bytes = target.type == DType::UInt8;
        const double unit = bytes ? 1.0 : std::abs(double{target.how.scale_by[k]});
        for (uint32_t y = 0; y < target.height; ++y)
            for (uint32_t x = 0; x < target.width; ++x, ++i) {
                const double value = reference.value(x, y, k), off = std::abs(got[i] - value) / unit;
                // A value that lies a little beside the middle of two halves goes to the further one.
                const double half = target.type == DType::Float16 ? 1.01 * half_rounding(value) / unit : 0.0;
                const double allowed = reference.blend_error(k) + (bytes ? 0.51 : 0.01) + half;
                if (reference.border(x, y) && !(off < 1e-4 + half))
                    out.border_exact = false;
                out.mean += off / static_cast<double>(got.size());
                out.worst_of_allowed = std::isnan(off) ? 1e9 : std::max(out.worst_of_allowed, off / allowed);
            }
    }
    return out;
}

} // namespace hl::test
