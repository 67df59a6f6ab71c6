// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess.h"

#include "inference/preprocess_geometry.h"
#include "inference/preprocess_kernels.h"

#include <libyuv/planar_functions.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <format>
#include <type_traits>
#include <vector>

namespace hl {

using preprocess::Axis;
using preprocess::block;
using preprocess::ColourStep;
using preprocess::ColumnBlock;
using preprocess::ColumnTaps;
using preprocess::Kernels;

using preprocess::RowJob;
using preprocess::Window;

namespace {

// Larger frames and images would overflow the 32-bit byte offsets of a row or the tensor's size on no machine of today.
constexpr uint32_t max_side = 1u << 16;

constexpr size_t align_up(size_t value, size_t to) noexcept
{
    return (value + to - 1) / to * to;
}

struct MatrixWeights {
    double red, blue;
};

// Kr and Kb of ITU-R BT.601-7, BT.709-6 and BT.2020-2 (non-constant luminance).
MatrixWeights matrix_weights(ColorMatrix matrix) noexcept
{
    switch (matrix) {
    case ColorMatrix::BT709:
        return {0.2126, 0.0722};
    case ColorMatrix::BT2020:
        return {0.2627, 0.0593};
    case ColorMatrix::BT601:
        break;
    }
    return {0.299, 0.114};
}

// R, G, B = sum of factor * (Y, U, V) + bias, in 0..255.
struct YuvToRgb {
    double factor[3][3];
    double bias[3];
};

YuvToRgb yuv_to_rgb(ColorMatrix matrix, ColorRange range) noexcept
{
    const auto [kr, kb] = matrix_weights(matrix);
    const double kg = 1.0 - kr - kb;
    const bool full = range == ColorRange::Full;
    const double luma = full ? 1.0 : 255.0 / 219.0, chroma = full ? 1.0 : 255.0 / 224.0;
    YuvToRgb out{{{luma, 0.0, 2.0 * (1.0 - kr) * chroma},
                  {luma, -2.0 * kb * (1.0 - kb) / kg * chroma, -2.0 * kr * (1.0 - kr) / kg * chroma},
                  {luma, 2.0 * (1.0 - kb) * chroma, 0.0}},
                 {}};
    for (size_t k = 0; k < 3; ++k)
        out.bias[k] = -out.factor[k][0] * (full ? 0.0 : 16.0) - (out.factor[k][1] + out.factor[k][2]) * 128.0;
    return out;
}

// Byte of R, G and B in a pixel of a packed format; of Y, U and V in two pixels of packed YUV.
std::array<uint8_t, 3> packed_bytes(PixelFormat format) noexcept
{
    switch (format) {
    case PixelFormat::BGRx:
        return {2, 1, 0};
    case PixelFormat::YUY2:
        return {0, 1, 3};
    case PixelFormat::UYVY:
        return {1, 0, 2};
    default:
        return {0, 1, 2};
    }
}

} // namespace

namespace {

struct Filters {
    ColumnTaps luma, chroma; // packed formats: luma is the pixels'
};

} // namespace

struct Preprocess::Plan {
    FrameFormat source;
    ImageTarget target;
    const Kernels *kernels = nullptr;
    PixelFormatInfo info{};
    ColourStep colour;               // of filtered samples
    ColourStep direct;               // of plain bytes, packed formats only
    std::array<float, 3> pad{};      // border values per channel
    std::vector<ColumnBlock> blocks; // filters for the whole frame: luma, then chroma
    Filters whole;                   // over `blocks`

    [[nodiscard]] size_t filter_blocks() const noexcept { return (target.width + block - 1) / block; }
    [[nodiscard]] size_t row_bytes(size_t plane) const noexcept
    {
        return plane < info.planes ? align_up(plane_row_bytes(source, plane) + preprocess::row_padding, 64) : 0;
    }
    [[nodiscard]] size_t float_row() const noexcept { return filter_blocks() * block; }

    void set_colour() noexcept;
    Filters fill_filters(const Rect &region, uint32_t width, std::span<ColumnBlock> into) const noexcept;
};

namespace {

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

// The model's input tensor, written row by row.
template <class T>
class Tensor {
public:
    Tensor(const ImageTarget &target, const Kernels &kernels, const std::array<float, 3> &pad,
           std::byte *tensor) noexcept
        : kernels_(kernels), width_(target.width), plane_(size_t{target.width} * target.height),
          planar_(target.layout == TensorLayout::NCHW), out_(reinterpret_cast<T *>(tensor))
    {
        for (size_t k = 0; k < 3; ++k)
            pad_[k] = static_cast<T>(pad[k]);
    }

    [[nodiscard]] uint32_t width() const noexcept { return width_; }

    // `count` pixels of border from (x, y) on, running on into further rows.
    void border(uint32_t x, uint32_t y, size_t count) const noexcept
    {
        const size_t at = size_t{y} * width_ + x;
        if (planar_) {
            for (size_t k = 0; k < 3; ++k)
                std::fill_n(out_ + k * plane_ + at, count, pad_[k]);
            return;
        }
        for (T *to = out_ + at * 3; count > 0; --count, to += 3)
            std::copy(pad_.begin(), pad_.end(), to);
    }

    // Where the kernel writes its rows of floats for output row (x, y): the tensor itself where it can.
    void aim(RowJob &job, uint32_t x, uint32_t y, const std::array<float *, 3> &rows) const noexcept
    {
        job.out = rows;
        if constexpr (std::is_same_v<T, float>)
            if (planar_)
                for (size_t k = 0; k < 3; ++k)
                    job.out[k] = out_ + k * plane_ + size_t{y} * width_ + x;
    }

    // Brings the rows the kernel wrote into the tensor's type and layout.
    void finish(const RowJob &job, uint32_t x, uint32_t y) const noexcept
    {
        const size_t at = size_t{y} * width_ + x;
        if constexpr (std::is_same_v<T, float>) {
            if (!planar_)
                kernels_.interleave(job.out, job.width, out_ + at * 3);
        } else if (planar_) {
            for (size_t k = 0; k < 3; ++k)
                kernels_.to_bytes(job.out[k], job.width, out_ + k * plane_ + at);
        } else {
            kernels_.to_bytes_interleaved(job.out, job.width, out_ + at * 3);
        }
    }

private:
    const Kernels &kernels_;
    uint32_t width_;
    size_t plane_;
    bool planar_;
    T *out_;
    std::array<T, 3> pad_{};
};

// One plane of the frame, row by row.
struct PlaneRows {
    const uint8_t *data = nullptr; // first row of the frame
    size_t stride = 0;
    size_t skip = 0;  // bytes before the region
    size_t bytes = 0; // bytes of the region in a row
    Axis vertical;
    uint8_t *row = nullptr; // scratch

    // The row of samples for output row y, blended from the two nearest rows of the frame; where `in_place`, a row that
    // needs no blending is the frame's own.
    [[nodiscard]] const uint8_t *blend(uint32_t y, bool in_place) const noexcept
    {
        const preprocess::Tap at = preprocess::tap(vertical, y, 8);
        const uint8_t *upper = data + at.index * stride + skip;
        if (in_place && at.fraction == 0)
            return upper;
        const uint8_t *lower = at.fraction != 0 ? upper + stride : upper;
        libyuv::InterpolatePlane(upper, 0, lower, 0, row, 0, static_cast<int>(bytes), 1, static_cast<int>(at.fraction));
        return row;
    }
};

} // namespace

void Preprocess::Plan::set_colour() noexcept
{
    const bool swap = target.how.order == ChannelOrder::BGR;
    const YuvToRgb yuv = yuv_to_rgb(source.matrix, source.range);
    const std::array<uint8_t, 3> bytes = packed_bytes(source.format);
    constexpr double sample = 1.0 / (1 << preprocess::weight_bits);
    for (size_t k = 0; k < 3; ++k) {
        const size_t rgb = swap ? 2 - k : k;
        const auto [factor, bias] = normalise(target, k);
        const auto black = static_cast<float>(bias), white = static_cast<float>(255.0 * factor + bias);
        colour.low[k] = std::min(black, white);
        colour.high[k] = std::max(black, white);
        colour.byte[k] = info.yuv ? bytes[k] : bytes[rgb];
        pad[k] = static_cast<float>(target.how.pad_value * factor + bias);
        if (info.yuv) {
            for (size_t i = 0; i < 3; ++i)
                colour.matrix[k][i] = static_cast<float>(yuv.factor[rgb][i] * factor * sample);
            colour.bias[k] = static_cast<float>(yuv.bias[rgb] * factor + bias);
        } else {
            colour.matrix[k][0] = static_cast<float>(factor * sample);
            colour.bias[k] = static_cast<float>(bias);
        }
    }
    colour.pixel_bytes = info.plane[0].pixel_bytes;
    direct = colour;
    for (size_t k = 0; k < 3; ++k)
        direct.matrix[k][0] = static_cast<float>(normalise(target, k).factor);
}

Filters Preprocess::Plan::fill_filters(const Rect &region, uint32_t width, std::span<ColumnBlock> into) const noexcept
{
    const size_t used = (width + block - 1) / block;
    // Samples of one kind, every `distance` bytes, and 1 << shift pixels apart, in the rows of `plane`.
    const auto fill = [&](size_t plane, uint32_t shift, uint32_t distance, std::span<ColumnBlock> columns) {
        const Axis axis = Axis::make(region.x, region.width, shift, width);
        const uint32_t first_pixel = region.x >> info.plane[plane].width_shift << info.plane[plane].width_shift;
        return preprocess::fill_columns(axis, width, {first_pixel >> shift, distance}, columns);
    };
    const bool packed_yuv = info.yuv && info.planes == 1;
    const std::span<ColumnBlock> second = into.subspan(filter_blocks(), used);
    Filters out;
    out.luma = fill(0, 0, packed_yuv ? 2 : info.plane[0].pixel_bytes, into.first(used));
    if (packed_yuv)
        out.chroma = fill(0, 1, 4, second);
    else if (info.yuv)
        out.chroma = fill(1, info.plane[1].width_shift, info.plane[1].pixel_bytes, second);
    return out;
}

Result<Preprocess> Preprocess::plan(const FrameFormat &source, const ImageTarget &target, PreprocessKernel kernel)
{
    constexpr auto what = "plan preprocessing";
    if (source.width == 0 || source.height == 0 || source.width > max_side || source.height > max_side)
        return fail(ErrorCode::FormatUnsupported, what,
                    std::format("a frame of {}x{} pixels cannot be preprocessed", source.width, source.height),
                    std::format("use frames of 1 to {} pixels a side", max_side));
    if (target.width == 0 || target.height == 0 || target.width > max_side || target.height > max_side)
        return fail(ErrorCode::ModelUnsupported, what,
                    std::format("the model's image is {}x{} pixels", target.width, target.height),
                    std::format("use a model whose image has 1 to {} pixels a side", max_side));
    if (target.type != DType::Float32 && target.type != DType::UInt8)
        return fail(ErrorCode::ModelUnsupported, what,
                    std::format("the model's image is of type {}", dtype_name(target.type)),
                    "use a model with a float32 or uint8 image input");
    for (size_t k = 0; k < 3; ++k)
        if (!std::isfinite(target.how.mean[k]) || !std::isfinite(target.how.scale_by[k]))
            return fail(ErrorCode::ModelUnsupported, what, std::format("mean or scale of channel {} is not finite", k),
                        "correct the model's description");

    auto made = std::make_shared<Plan>();
    made->source = source;
    made->target = target;
    made->info = pixel_format_info(source.format);
    made->kernels = preprocess::avx2_kernels();
    if (kernel == PreprocessKernel::Scalar || made->kernels == nullptr)
        made->kernels = &preprocess::scalar_kernels();
    made->set_colour();
    made->blocks.resize(2 * made->filter_blocks());
    const Rect whole{0, 0, source.width, source.height};
    const Window inside = preprocess::place(whole, target.width, target.height, target.how.scale);
    made->whole = made->fill_filters(whole, inside.width, made->blocks);
    return Preprocess(std::move(made));
}

size_t Preprocess::scratch_bytes() const noexcept
{
    const Plan &p = *plan_;
    return 64 + align_up(p.blocks.size() * sizeof(ColumnBlock), 64) + p.row_bytes(0) + p.row_bytes(1) + p.row_bytes(2) +
           3 * align_up(p.float_row() * sizeof(float), 64);
}

size_t Preprocess::output_bytes() const noexcept
{
    return size_t{3} * plan_->target.width * plan_->target.height * dtype_size(plan_->target.type);
}

FrameTransform Preprocess::transform(const Rect &region) const noexcept
{
    const Plan &p = *plan_;
    const Rect from = preprocess::clip(region, p.source.width, p.source.height);
    const Window to = preprocess::place(from, p.target.width, p.target.height, p.target.how.scale);
    FrameTransform out;
    out.scale_x = static_cast<double>(to.width) / from.width;
    out.scale_y = static_cast<double>(to.height) / from.height;
    out.pad_x = to.x - from.x * out.scale_x;
    out.pad_y = to.y - from.y * out.scale_y;
    return out;
}

const char *Preprocess::kernel() const noexcept
{
    return plan_->kernels->name;
}

namespace {

// Cuts one stretch of scratch into pieces.
class Carver {
public:
    explicit Carver(std::byte *start) noexcept
        : at_(reinterpret_cast<std::byte *>(align_up(reinterpret_cast<uintptr_t>(start), 64)))
    {}

    template <class T>
    std::span<T> take(size_t count) noexcept
    {
        auto *begin = reinterpret_cast<T *>(at_);
        at_ += align_up(count * sizeof(T), 64);
        return {begin, count};
    }

private:
    std::byte *at_;
};

} // namespace

// Everything one run() needs, gathered from frame, region and scratch.
struct Preprocess::Frame {
    Window to;
    RowJob job;
    std::array<PlaneRows, 3> planes;
    size_t plane_count = 0;
    bool direct = false; // pixels go through one by one
    void (*kernel)(const RowJob &) noexcept = nullptr;
    std::array<float *, 3> floats{};

    Frame(const Plan &plan, const FrameView &view, const Rect &region, std::byte *scratch) noexcept;

    template <class T>
    void write(const Tensor<T> &tensor, uint32_t height) noexcept;
};

Preprocess::Frame::Frame(const Plan &plan, const FrameView &view, const Rect &region, std::byte *scratch) noexcept
    : to(preprocess::place(region, plan.target.width, plan.target.height, plan.target.how.scale)),
      plane_count(plan.info.planes)
{
    Carver carver(scratch);
    Filters filters = plan.whole;
    if (region != Rect{0, 0, plan.source.width, plan.source.height})
        filters = plan.fill_filters(region, to.width, carver.take<ColumnBlock>(plan.blocks.size()));
    for (size_t p = 0; p < plane_count; ++p) {
        const PlaneInfo &info = plan.info.plane[p];
        const Axis columns = Axis::make(region.x, region.width, info.width_shift, to.width);
        planes[p] = {reinterpret_cast<const uint8_t *>(view.data[p]),
                     view.stride[p],
                     size_t{columns.first} * info.pixel_bytes,
                     size_t{columns.samples()} * info.pixel_bytes,
                     Axis::make(region.y, region.height, info.height_shift, to.height),
                     carver.take<uint8_t>(plan.row_bytes(p)).data()};
        job.row[p] = planes[p].row;
        if (p == 0)
            direct = !plan.info.yuv && columns.identity();
    }
    for (float *&row : floats)
        row = carver.take<float>(plan.float_row()).data();
    job.luma = filters.luma;
    job.chroma = filters.chroma;
    job.colour = direct ? &plan.direct : &plan.colour;
    job.width = to.width;
    const Kernels &kernels = *plan.kernels;
    if (plan.info.yuv)
        kernel = plane_count == 1 ? kernels.packed_yuv : plane_count == 2 ? kernels.nv12 : kernels.i420;
    else
        kernel = direct ? kernels.packed_direct : kernels.packed;
}

template <class T>
void Preprocess::Frame::write(const Tensor<T> &tensor, uint32_t height) noexcept
{
    const uint32_t width = tensor.width(), right = to.x + to.width, below = to.y + to.height;
    tensor.border(0, 0, size_t{width} * to.y);
    for (uint32_t y = 0; y < to.height; ++y) {
        for (size_t p = 0; p < plane_count; ++p)
            job.row[p] = planes[p].blend(y, direct);
        tensor.border(0, to.y + y, to.x);
        tensor.aim(job, to.x, to.y + y, floats);
        kernel(job);
        tensor.finish(job, to.x, to.y + y);
        tensor.border(right, to.y + y, width - right);
    }
    tensor.border(0, below, size_t{width} * (height - below));
}

void Preprocess::run(const FrameView &frame, const Rect &region, std::span<std::byte> scratch,
                     std::span<std::byte> tensor) const noexcept
{
    const Plan &p = *plan_;
    assert(frame.format == p.source);
    assert(scratch.size() >= scratch_bytes() && tensor.size() >= output_bytes());
    Frame work(p, frame, preprocess::clip(region, p.source.width, p.source.height), scratch.data());
    if (p.target.type == DType::Float32)
        work.write(Tensor<float>(p.target, *p.kernels, p.pad, tensor.data()), p.target.height);
    else
        work.write(Tensor<uint8_t>(p.target, *p.kernels, p.pad, tensor.data()), p.target.height);
}

} // namespace hl
