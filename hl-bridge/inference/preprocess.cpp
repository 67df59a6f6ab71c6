// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess.h"

#include "inference/preprocess_colour.h"
#include "inference/preprocess_geometry.h"
#include "inference/preprocess_kernels.h"
#include "inference/preprocess_tensor.h"

#include <libyuv/planar_functions.h>

#include <cassert>
#include <cmath>
#include <format>
#include <type_traits>
#include <utility>
#include <vector>

namespace hl {

using preprocess::Axis;
using preprocess::block;
using preprocess::Colours;
using preprocess::ColumnBlock;
using preprocess::ColumnTaps;
using preprocess::Half;
using preprocess::Kernels;
using preprocess::RowJob;
using preprocess::Tensor;
using preprocess::Window;

namespace {

// Larger frames and images would overflow the 32-bit byte offsets of a row or the tensor's size on no machine of today.
constexpr uint32_t max_side = 1u << 16;

constexpr size_t align_up(size_t value, size_t to) noexcept
{
    return (value + to - 1) / to * to;
}

// The largest finite float16.
constexpr double half_most = 65504.0;

struct Filters {
    ColumnTaps luma, chroma; // packed formats: luma is the pixels'
};

} // namespace

struct Preprocess::Plan {
    FrameFormat source;
    ImageTarget target;
    const Kernels *kernels = nullptr;
    PixelFormatInfo info{};
    Colours colours;
    std::vector<ColumnBlock> blocks; // filters for the whole frame: luma, then chroma
    Filters whole;                   // over `blocks`

    [[nodiscard]] size_t filter_blocks() const noexcept { return (target.width + block - 1) / block; }
    [[nodiscard]] size_t row_bytes(size_t plane) const noexcept
    {
        return plane < info.planes ? align_up(plane_row_bytes(source, plane) + preprocess::row_padding, 64) : 0;
    }
    [[nodiscard]] size_t float_row() const noexcept { return filter_blocks() * block; }

    Filters fill_filters(const Rect &region, uint32_t width, std::span<ColumnBlock> into) const noexcept;
};

namespace {

// One plane of the frame, row by row.
struct PlaneRows {
    const uint8_t *data = nullptr; // first row of the frame
    size_t stride = 0;
    size_t skip = 0;  // bytes before the region
    size_t bytes = 0; // bytes of the region in a row
    Axis vertical;
    uint8_t *row = nullptr;        // scratch
    const Kernels *wide = nullptr; // where samples have 16 bits

    // The row of samples for output row y, blended from the two nearest rows of the frame; where `in_place`, a row that
    // needs no blending is the frame's own.
    [[nodiscard]] const uint8_t *blend(uint32_t y, bool in_place) const noexcept
    {
        if (wide != nullptr)
            return blend_wide(y);
        const preprocess::Tap at = preprocess::tap(vertical, y, 8);
        const uint8_t *upper = data + at.index * stride + skip;
        if (in_place && at.fraction == 0)
            return upper;
        const uint8_t *lower = at.fraction != 0 ? upper + stride : upper;
        libyuv::InterpolatePlane(upper, 0, lower, 0, row, 0, static_cast<int>(bytes), 1, static_cast<int>(at.fraction));
        return row;
    }

private:
    // libyuv has no use here: it counts the distance of two rows in samples, and strides may be odd.
    [[nodiscard]] const uint8_t *blend_wide(uint32_t y) const noexcept
    {
        const preprocess::Tap at = preprocess::tap(vertical, y, preprocess::weight_bits);
        const uint8_t *upper = data + at.index * stride + skip;
        const uint8_t *lower = at.fraction != 0 ? upper + stride : upper;
        wide->blend_wide(upper, lower, at.fraction, bytes / 2, reinterpret_cast<uint16_t *>(row));
        return row;
    }
};

} // namespace

Filters Preprocess::Plan::fill_filters(const Rect &region, uint32_t width, std::span<ColumnBlock> into) const noexcept
{
    const size_t used = (width + block - 1) / block;
    // Samples of one kind, every `distance` bytes, and 1 << shift pixels apart, in the rows of `plane`.
    const auto fill = [&](size_t plane, uint32_t shift, uint32_t distance, std::span<ColumnBlock> columns) {
        const Axis axis = Axis::make(region.x, region.width, shift, width);
        const uint32_t first_pixel = region.x >> info.plane[plane].width_shift << info.plane[plane].width_shift;
        return preprocess::fill_columns(axis, width, {first_pixel >> shift, distance}, columns);
    };
    const bool yuv = info.model == ColorModel::YUV, packed_yuv = yuv && info.planes == 1;
    const std::span<ColumnBlock> second = into.subspan(filter_blocks(), used);
    Filters out;
    out.luma = fill(0, 0, packed_yuv ? 2 : info.plane[0].pixel_bytes, into.first(used));
    if (packed_yuv)
        out.chroma = fill(0, 1, 4, second);
    else if (yuv)
        out.chroma = fill(1, info.plane[1].width_shift, info.plane[1].pixel_bytes, second);
    return out;
}

namespace {

// That the model's type is one we write, and holds every value it is given.
Status check_values(const ImageTarget &target)
{
    constexpr auto what = "plan preprocessing";
    if (target.type != DType::Float32 && target.type != DType::Float16 && target.type != DType::UInt8)
        return fail(ErrorCode::ModelUnsupported, what,
                    std::format("the model's image is of type {}", dtype_name(target.type)),
                    "use a model with a float32, float16 or uint8 image input");
    for (size_t k = 0; k < 3; ++k)
        if (!std::isfinite(target.how.mean[k]) || !std::isfinite(target.how.scale_by[k]))
            return fail(ErrorCode::ModelUnsupported, what, std::format("mean or scale of channel {} is not finite", k),
                        "correct the model's description");
    if (const double most = preprocess::largest_value(target); target.type == DType::Float16 && most > half_most)
        return fail(ErrorCode::ModelUnsupported, what,
                    std::format("ranges, or mean and scale, give pixels values of {:g}, and float16 ends at {:g}", most,
                                half_most),
                    "correct the model's description");
    return {};
}

} // namespace

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
    if (auto status = check_values(target); !status)
        return std::unexpected(std::move(status.error()));

    auto made = std::make_shared<Plan>();
    made->source = source;
    made->target = target;
    made->info = pixel_format_info(source.format);
    made->kernels = preprocess::avx2_kernels();
    if (kernel == PreprocessKernel::Scalar || made->kernels == nullptr)
        made->kernels = &preprocess::scalar_kernels();
    made->colours = preprocess::make_colours(source, target);
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
    using Kernel = void (*)(const RowJob &) noexcept;

    Window to;
    RowJob job;
    std::array<PlaneRows, 3> planes;
    size_t plane_count = 0;
    bool direct = false; // pixels go through one by one
    Kernel kernel = nullptr;
    std::array<float *, 3> floats{};

    Frame(const Plan &plan, const FrameView &view, const Rect &region, std::byte *scratch) noexcept;
    [[nodiscard]] Kernel choose(const Plan &plan) const noexcept;

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
                     carver.take<uint8_t>(plan.row_bytes(p)).data(),
                     plan.info.sample_bits > 8 ? plan.kernels : nullptr};
        job.row[p] = planes[p].row;
        if (p == 0)
            direct = plan.info.model == ColorModel::RGB && columns.identity();
    }
    for (float *&row : floats)
        row = carver.take<float>(plan.float_row()).data();
    job.luma = filters.luma;
    job.chroma = filters.chroma;
    job.colour = direct ? &plan.colours.direct : &plan.colours.filtered;
    job.width = to.width;
    kernel = choose(plan);
}

Preprocess::Frame::Kernel Preprocess::Frame::choose(const Plan &plan) const noexcept
{
    const Kernels &kernels = *plan.kernels;
    switch (plan.info.model) {
    case ColorModel::RGB:
        return direct ? kernels.packed_direct : kernels.packed;
    case ColorModel::Gray:
        return kernels.grey;
    case ColorModel::YUV:
        break;
    }
    if (plan.info.sample_bits > 8)
        return kernels.p010;
    return plane_count == 1 ? kernels.packed_yuv : plane_count == 2 ? kernels.nv12 : kernels.i420;
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
    const auto write = [&]<class T>(std::type_identity<T>) {
        work.write(Tensor<T>(p.target, *p.kernels, p.colours.pad, tensor.data()), p.target.height);
    };
    if (p.target.type == DType::Float32)
        write(std::type_identity<float>());
    else if (p.target.type == DType::Float16)
        write(std::type_identity<Half>());
    else
        write(std::type_identity<uint8_t>());
}

} // namespace hl
