// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess.h"

#include "malloc_count.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <format>
#include <new>
#include <random>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

namespace {

using hl::ChannelOrder;
using hl::ColorMatrix;
using hl::ColorRange;
using hl::DType;
using hl::FrameFormat;
using hl::ImageTarget;
using hl::PixelFormat;
using hl::Preprocess;
using hl::PreprocessKernel;
using hl::Rect;
using hl::ScaleMode;
using hl::TensorLayout;

constexpr PixelFormat all_formats[] = {PixelFormat::NV12, PixelFormat::I420, PixelFormat::RGB, PixelFormat::BGRx};
constexpr ColorMatrix all_matrices[] = {ColorMatrix::BT601, ColorMatrix::BT709, ColorMatrix::BT2020};
constexpr ColorRange all_ranges[] = {ColorRange::Limited, ColorRange::Full};
constexpr PreprocessKernel all_kernels[] = {PreprocessKernel::Best, PreprocessKernel::Scalar};

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
    hl::FrameView view;

    Frame(const FrameFormat &f, uint32_t extra_stride) : format(f)
    {
        view.format = f;
        for (size_t p = 0; p < hl::pixel_format_info(f.format).planes; ++p) {
            const size_t row = hl::plane_row_bytes(f, p), stride = row + extra_stride * (p + 1);
            const size_t size = stride * (hl::plane_rows(f, p) - 1) + row;
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

    [[nodiscard]] double sample(size_t plane, uint32_t x, uint32_t y, size_t byte) const
    {
        const size_t pixel = hl::pixel_format_info(format.format).plane[plane].pixel_bytes;
        return planes[plane][size_t{y} * view.stride[plane] + x * pixel + byte];
    }

    // Bilinear sample at frame coordinate (fx, fy), where pixel (0, 0) has its centre at (0.5, 0.5), looking only at
    // samples that the region touches.
    [[nodiscard]] double bilinear(size_t plane, size_t byte, double fx, double fy, const Rect &region) const
    {
        const auto &info = hl::pixel_format_info(format.format).plane[plane];
        const auto axis = [](double centre, uint32_t begin, uint32_t size, uint32_t shift) {
            return std::clamp(centre / (1 << shift) - 0.5, double(begin >> shift), double((begin + size - 1) >> shift));
        };
        const double x = axis(fx, region.x, region.width, info.width_shift);
        const double y = axis(fy, region.y, region.height, info.height_shift);
        const auto x0 = static_cast<uint32_t>(x), y0 = static_cast<uint32_t>(y);
        const double wx = x - x0, wy = y - y0;
        const auto row = [&](uint32_t at) {
            const double left = sample(plane, x0, at, byte);
            return wx > 0 ? left * (1 - wx) + sample(plane, x0 + 1, at, byte) * wx : left;
        };
        return wy > 0 ? row(y0) * (1 - wy) + row(y0 + 1) * wy : row(y0);
    }
};

std::array<double, 3> to_rgb(const FrameFormat &format, double y, double u, double v)
{
    double kr = 0.299, kb = 0.114;
    if (format.matrix == ColorMatrix::BT709)
        kr = 0.2126, kb = 0.0722;
    else if (format.matrix == ColorMatrix::BT2020)
        kr = 0.2627, kb = 0.0593;
    const bool full = format.range == ColorRange::Full;
    const double luma = full ? y / 255 : (y - 16) / 219;
    const double cb = (u - 128) / (full ? 255.0 : 224.0), cr = (v - 128) / (full ? 255.0 : 224.0);
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

    // The largest error that 8-bit vertical blending may cause in channel `k`, in pixel values: half a step of
    // rounding and half a step of fraction, through the colour matrix.
    [[nodiscard]] double blend_error(size_t k) const
    {
        if (!hl::pixel_format_info(frame_.format.format).yuv)
            return 1.0;
        const size_t c = rgb_channel(k);
        FrameFormat f = frame_.format;
        f.range = ColorRange::Full; // away from clamping; limited range only stretches the result
        const double base = to_rgb(f, 128, 128, 128)[c];
        const double sum = std::abs(to_rgb(f, 129, 128, 128)[c] - base) + std::abs(to_rgb(f, 128, 129, 128)[c] - base) +
                           std::abs(to_rgb(f, 128, 128, 129)[c] - base);
        return frame_.format.range == ColorRange::Full ? sum : sum * 255.0 / 219.0;
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
        const auto at = [&](size_t plane, size_t byte) { return frame_.bilinear(plane, byte, fx, fy, region_); };
        switch (frame_.format.format) {
        case PixelFormat::NV12:
            return to_rgb(frame_.format, at(0, 0), at(1, 0), at(1, 1));
        case PixelFormat::I420:
            return to_rgb(frame_.format, at(0, 0), at(1, 0), at(2, 0));
        case PixelFormat::RGB:
            return {at(0, 0), at(0, 1), at(0, 2)};
        case PixelFormat::BGRx:
            break;
        }
        return {at(0, 2), at(0, 1), at(0, 0)};
    }

    const Frame &frame_;
    ImageTarget target_;
    Rect region_;
    uint32_t left_ = 0, top_ = 0, width_ = 0, height_ = 0;
};

// Runs the plan with blocks of exactly the sizes it asks for; values as doubles in channel, row, column order.
std::vector<double> run(const Preprocess &plan, const ImageTarget &target, const Frame &frame, const Rect &region = {})
{
    const Guarded scratch(plan.scratch_bytes()), tensor(plan.output_bytes());
    std::memset(scratch.data(), 0xa5, scratch.size());
    std::memset(tensor.data(), 0xff, tensor.size()); // a float NaN where nothing is written
    plan.run(frame.view, region, scratch.bytes(), tensor.bytes());

    const size_t pixels = size_t{target.width} * target.height;
    std::vector<double> out(3 * pixels);
    for (size_t k = 0; k < 3; ++k)
        for (size_t i = 0; i < pixels; ++i) {
            const size_t at = target.layout == TensorLayout::NCHW ? k * pixels + i : i * 3 + k;
            if (target.type == DType::Float32)
                out[k * pixels + i] = reinterpret_cast<const float *>(tensor.data())[at];
            else
                out[k * pixels + i] = tensor[at];
        }
    return out;
}

std::string describe(const FrameFormat &f, const ImageTarget &t, const Rect &r, const Preprocess &plan)
{
    return std::format("{} {}x{} matrix {} range {} region {}+{} {}x{} -> {}x{} {} {} {} {} kernel {}",
                       hl::pixel_format_info(f.format).name, f.width, f.height, int(f.matrix), int(f.range), r.x, r.y,
                       r.width, r.height, t.width, t.height, t.layout == TensorLayout::NCHW ? "NCHW" : "NHWC",
                       hl::dtype_name(t.type), t.how.order == ChannelOrder::BGR ? "BGR" : "RGB",
                       t.how.scale == ScaleMode::Letterbox ? "letterbox" : "stretch", plan.kernel());
}

// How far a run is off the definition, in steps of 1/255 of the pixel range; the worst and the mean over the image.
struct Deviation {
    double worst_of_allowed = 0; // 1 = as far off as blend_error() allows
    double mean = 0;
    bool border_exact = true;
};

Deviation deviation(const std::vector<double> &got, const Reference &reference, const ImageTarget &target)
{
    Deviation out;
    size_t i = 0;
    for (size_t k = 0; k < 3; ++k) {
        const bool bytes = target.type == DType::UInt8;
        const double unit = bytes ? 1.0 : std::abs(double{target.how.scale_by[k]});
        const double allowed = reference.blend_error(k) + (bytes ? 0.51 : 0.01);
        for (uint32_t y = 0; y < target.height; ++y)
            for (uint32_t x = 0; x < target.width; ++x, ++i) {
                const double off = std::abs(got[i] - reference.value(x, y, k)) / unit;
                if (reference.border(x, y) && !(off < 1e-4))
                    out.border_exact = false;
                out.mean += off / static_cast<double>(got.size());
                out.worst_of_allowed = std::isnan(off) ? 1e9 : std::max(out.worst_of_allowed, off / allowed);
            }
    }
    return out;
}

ImageTarget make_target(uint32_t width, uint32_t height, TensorLayout layout = TensorLayout::NCHW,
                        DType type = DType::Float32)
{
    ImageTarget target;
    target.width = width;
    target.height = height;
    target.layout = layout;
    target.type = type;
    return target;
}

// As ImageNet models want it, one channel turned upside down to catch clamping that assumes a direction.
void normalise_oddly(ImageTarget &target)
{
    target.how.mean = {123.675f, 116.28f, 103.53f};
    target.how.scale_by = {1 / 58.395f, -1 / 57.12f, 1 / 57.375f};
}

void expect_close(const FrameFormat &format, const ImageTarget &target, const Rect &region, uint32_t extra_stride,
                  std::mt19937 &random)
{
    Frame frame(format, extra_stride);
    frame.noise(random);
    for (const auto kernel : all_kernels) {
        const auto plan = Preprocess::plan(format, target, kernel);
        ASSERT_TRUE(plan) << plan.error().headline();
        const Deviation off = deviation(run(*plan, target, frame, region), Reference(frame, target, region), target);
        EXPECT_LE(off.worst_of_allowed, 1.0) << describe(format, target, region, *plan);
        EXPECT_LE(off.mean, target.type == DType::UInt8 ? 0.6 : 0.4) << describe(format, target, region, *plan);
        EXPECT_TRUE(off.border_exact) << describe(format, target, region, *plan);
    }
}

TEST(Preprocess, EveryFormatMatrixRangeLayoutTypeAndOrderFollowsTheDefinition)
{
    std::mt19937 random(1);
    for (const auto pixels : all_formats)
        for (const auto matrix : all_matrices)
            for (const auto range : all_ranges)
                for (const auto layout : {TensorLayout::NCHW, TensorLayout::NHWC})
                    for (const auto type : {DType::Float32, DType::UInt8})
                        for (const auto order : {ChannelOrder::RGB, ChannelOrder::BGR}) {
                            ImageTarget target = make_target(21, 13, layout, type);
                            target.how.order = order;
                            normalise_oddly(target);
                            expect_close({pixels, 50, 38, matrix, range}, target, {}, 3, random);
                        }
}

// No vertical blending happens, so nothing is rounded on the way and the result is the formula's.
TEST(Preprocess, PixelsThatNeedNoVerticalBlendingAreExact)
{
    std::mt19937 random(2);
    for (const auto pixels : {PixelFormat::RGB, PixelFormat::BGRx})
        for (const uint32_t width : {1u, 7u, 8u, 33u, 64u})
            for (const auto order : {ChannelOrder::RGB, ChannelOrder::BGR})
                for (const auto layout : {TensorLayout::NCHW, TensorLayout::NHWC})
                    for (const auto kernel : all_kernels) {
                        Frame frame({pixels, 33, 9}, 5);
                        frame.noise(random);
                        ImageTarget target = make_target(width, 9, layout);
                        target.how.order = order;
                        normalise_oddly(target);
                        const auto plan = Preprocess::plan(frame.format, target, kernel);
                        ASSERT_TRUE(plan);
                        const auto got = run(*plan, target, frame);
                        const Reference reference(frame, target, {});
                        for (size_t i = 0; i < got.size(); ++i) {
                            const auto x = static_cast<uint32_t>(i % width), y = static_cast<uint32_t>(i / width % 9);
                            ASSERT_NEAR(got[i], reference.value(x, y, i / (9 * width)), width == 33 ? 1e-5 : 3e-4)
                                << describe(frame.format, target, {}, *plan);
                        }
                    }
}

TEST(Preprocess, FlatYuvColoursAreConvertedExactly)
{
    std::mt19937 random(3);
    for (const auto pixels : {PixelFormat::NV12, PixelFormat::I420})
        for (const auto matrix : all_matrices)
            for (const auto range : all_ranges)
                for (int colour = 0; colour < 64; ++colour) {
                    Frame frame({pixels, 6, 6, matrix, range}, 0);
                    const auto y = static_cast<uint8_t>(random()), u = static_cast<uint8_t>(random()),
                               v = static_cast<uint8_t>(random());
                    for (size_t p = 0; p < frame.planes.size(); ++p)
                        for (size_t i = 0; i < frame.planes[p].size(); ++i)
                            frame.planes[p][i] = p == 0                                               ? y
                                                 : (p == 2 || (pixels == PixelFormat::NV12 && i % 2)) ? v
                                                                                                      : u;
                    const ImageTarget target = make_target(9, 4);
                    const auto rgb = to_rgb(frame.format, y, u, v);
                    for (const auto kernel : all_kernels) {
                        const auto plan = Preprocess::plan(frame.format, target, kernel);
                        ASSERT_TRUE(plan);
                        const auto got = run(*plan, target, frame);
                        for (size_t i = 0; i < got.size(); ++i)
                            ASSERT_NEAR(got[i] * 255, rgb[i / 36], 1e-3);
                    }
                }
}

TEST(Preprocess, PureBlueOfBt709IsBlue)
{
    // libyuv's matrix for limited BT.709 says 243 here.
    Frame frame({PixelFormat::NV12, 2, 2, ColorMatrix::BT709, ColorRange::Limited}, 0);
    std::fill_n(frame.planes[0].data(), 4, uint8_t{32});
    frame.planes[1][0] = 240;
    frame.planes[1][1] = 118;
    const auto plan = Preprocess::plan(frame.format, make_target(2, 2, TensorLayout::NHWC, DType::UInt8));
    ASSERT_TRUE(plan);
    const auto got = run(*plan, make_target(2, 2, TensorLayout::NHWC, DType::UInt8), frame);
    EXPECT_LE(got[0], 1);
    EXPECT_LE(got[4], 1);
    EXPECT_GE(got[8], 254);
}

TEST(Preprocess, LetterboxIsCentredAndItsBordersAreThePadValue)
{
    std::mt19937 random(4);
    for (const auto layout : {TensorLayout::NCHW, TensorLayout::NHWC})
        for (const auto type : {DType::Float32, DType::UInt8})
            for (const auto &[width, height] :
                 {std::pair{64u, 36u}, {36u, 64u}, {31u, 3u}, {3u, 31u}, {200u, 1u}, {1u, 200u}}) {
                ImageTarget target = make_target(32, 33, layout, type);
                target.how.scale = ScaleMode::Letterbox;
                target.how.pad_value = 77;
                normalise_oddly(target);
                for (const auto pixels : all_formats)
                    expect_close({pixels, width, height}, target, {}, 0, random);
            }
}

TEST(Preprocess, LetterboxGeometry)
{
    ImageTarget target = make_target(320, 320);
    target.how.scale = ScaleMode::Letterbox;
    auto plan = Preprocess::plan({PixelFormat::NV12, 1280, 720}, target);
    ASSERT_TRUE(plan);
    const auto t = plan->transform();
    EXPECT_DOUBLE_EQ(t.scale_x, 0.25);
    EXPECT_DOUBLE_EQ(t.scale_y, 0.25);
    EXPECT_DOUBLE_EQ(t.pad_x, 0);
    EXPECT_DOUBLE_EQ(t.pad_y, 70);
    const auto part = plan->transform({100, 50, 160, 160});
    EXPECT_DOUBLE_EQ(100 * part.scale_x + part.pad_x, 0);
    EXPECT_DOUBLE_EQ(260 * part.scale_x + part.pad_x, 320);
    EXPECT_DOUBLE_EQ(210 * part.scale_y + part.pad_y, 320);
}

// The corners of frame and region land on the corners of the content, whatever rounding the letterbox did.
TEST(Preprocess, TransformMapsCornersToTheContent)
{
    std::mt19937 random(5);
    const auto upto = [&random](uint32_t most) { return static_cast<uint32_t>(random() % most) + 1; };
    for (int round = 0; round < 500; ++round) {
        const Frame frame({PixelFormat::RGB, upto(90), upto(90)}, 0);
        ImageTarget target = make_target(upto(70), upto(70));
        target.how.scale = round % 2 ? ScaleMode::Letterbox : ScaleMode::Stretch;
        Rect region{0, 0, frame.format.width, frame.format.height};
        if (round % 3) {
            region.x = upto(frame.format.width) - 1;
            region.y = upto(frame.format.height) - 1;
            region.width = upto(frame.format.width - region.x);
            region.height = upto(frame.format.height - region.y);
        }
        const auto plan = Preprocess::plan(frame.format, target);
        ASSERT_TRUE(plan);
        const auto t = round % 3 ? plan->transform(region) : plan->transform();
        const Reference reference(frame, target, region);
        EXPECT_NEAR(region.x * t.scale_x + t.pad_x, reference.left(), 1e-9);
        EXPECT_NEAR(region.y * t.scale_y + t.pad_y, reference.top(), 1e-9);
        EXPECT_NEAR((region.x + region.width) * t.scale_x + t.pad_x, reference.left() + reference.width(), 1e-9);
        EXPECT_NEAR((region.y + region.height) * t.scale_y + t.pad_y, reference.top() + reference.height(), 1e-9);
    }
}

TEST(Preprocess, RandomSizesStridesRegionsAndTargets)
{
    std::mt19937 random(6);
    const auto upto = [&random](uint32_t most) { return static_cast<uint32_t>(random() % most) + 1; };
    for (int round = 0; round < 400 && !HasFailure(); ++round) {
        // Every fourth round is tiny, so that 1x1, 1xN and Nx1 are among them.
        const uint32_t most = round % 4 ? 130 : 4;
        FrameFormat format{all_formats[random() % 4], upto(most), upto(most), all_matrices[random() % 3],
                           all_ranges[random() % 2]};
        ImageTarget target = make_target(upto(most), upto(most), random() % 2 ? TensorLayout::NCHW : TensorLayout::NHWC,
                                         random() % 2 ? DType::Float32 : DType::UInt8);
        target.how.scale = random() % 2 ? ScaleMode::Letterbox : ScaleMode::Stretch;
        target.how.order = random() % 2 ? ChannelOrder::RGB : ChannelOrder::BGR;
        target.how.pad_value = static_cast<uint8_t>(random());
        normalise_oddly(target);
        Rect region;
        if (random() % 2) {
            region.x = upto(format.width) - 1;
            region.y = upto(format.height) - 1;
            region.width = upto(format.width - region.x);
            region.height = upto(format.height - region.y);
        }
        expect_close(format, target, region, random() % 2 ? upto(40) : 0, random);
    }
}

TEST(Preprocess, RegionsOutsideTheFrameAreClipped)
{
    std::mt19937 random(7);
    Frame frame({PixelFormat::NV12, 31, 17}, 0);
    frame.noise(random);
    const ImageTarget target = make_target(16, 16);
    const auto plan = Preprocess::plan(frame.format, target);
    ASSERT_TRUE(plan);
    EXPECT_EQ(run(*plan, target, frame, {20, 10, 500, 500}), run(*plan, target, frame, {20, 10, 11, 7}));
    EXPECT_EQ(run(*plan, target, frame, {~0u, ~0u, ~0u, ~0u}), run(*plan, target, frame, {30, 16, 1, 1}));
    EXPECT_EQ(run(*plan, target, frame, {0, 0, 31, 17}), run(*plan, target, frame));
}

TEST(Preprocess, RunAllocatesNothing)
{
    std::mt19937 random(8);
    for (const auto pixels : all_formats)
        for (const auto type : {DType::Float32, DType::UInt8})
            for (const auto layout : {TensorLayout::NCHW, TensorLayout::NHWC}) {
                Frame frame({pixels, 322, 180}, 0);
                frame.noise(random);
                ImageTarget target = make_target(96, 96, layout, type);
                target.how.scale = ScaleMode::Letterbox;
                const auto plan = Preprocess::plan(frame.format, target);
                ASSERT_TRUE(plan);
                std::vector<std::byte> scratch(plan->scratch_bytes()), tensor(plan->output_bytes());
                const hl::test::MallocCount count;
                plan->run(frame.view, {}, scratch, tensor);
                plan->run(frame.view, {3, 5, 101, 99}, scratch, tensor);
                EXPECT_EQ(count.calls(), 0u);
            }
}

TEST(Preprocess, MallocCountSeesAllocations)
{
    const hl::test::MallocCount count;
    ::operator delete(::operator new(100)); // unlike a new expression, not one a compiler may leave out
    EXPECT_EQ(count.calls(), 1u);
}

TEST(Preprocess, ScratchIsAFewRows)
{
    const auto plan = Preprocess::plan({PixelFormat::NV12, 1280, 720}, make_target(320, 320));
    ASSERT_TRUE(plan);
    EXPECT_LE(plan->scratch_bytes(), 20u * 1024);
    EXPECT_EQ(plan->output_bytes(), 320u * 320 * 3 * 4);
}

TEST(Preprocess, ThreadsShareOnePlan)
{
    std::mt19937 random(9);
    Frame frame({PixelFormat::NV12, 203, 101}, 0);
    frame.noise(random);
    const ImageTarget target = make_target(64, 64);
    const auto plan = Preprocess::plan(frame.format, target);
    ASSERT_TRUE(plan);
    const Rect part{11, 13, 77, 55};
    const auto whole_alone = run(*plan, target, frame), part_alone = run(*plan, target, frame, part);
    std::vector<std::thread> threads;
    for (int t = 0; t < 4; ++t)
        threads.emplace_back([&, t] {
            for (int round = 0; round < 20; ++round)
                EXPECT_EQ(run(*plan, target, frame, t % 2 ? part : Rect{}), t % 2 ? part_alone : whole_alone);
        });
    for (auto &thread : threads)
        thread.join();
}

TEST(Preprocess, RefusesWhatItCannotDo)
{
    const FrameFormat frame{PixelFormat::NV12, 16, 16};
    const auto code = [](const hl::Result<Preprocess> &result) {
        return result ? hl::ErrorCode::Internal : result.error().code;
    };
    EXPECT_EQ(code(Preprocess::plan({PixelFormat::NV12, 0, 16}, make_target(8, 8))), hl::ErrorCode::FormatUnsupported);
    EXPECT_EQ(code(Preprocess::plan({PixelFormat::NV12, 16, 1u << 20}, make_target(8, 8))),
              hl::ErrorCode::FormatUnsupported);
    EXPECT_EQ(code(Preprocess::plan(frame, make_target(0, 8))), hl::ErrorCode::ModelUnsupported);
    EXPECT_EQ(code(Preprocess::plan(frame, make_target(8, 1u << 20))), hl::ErrorCode::ModelUnsupported);
    const auto type = Preprocess::plan(frame, make_target(8, 8, TensorLayout::NCHW, DType::Float16));
    EXPECT_EQ(code(type), hl::ErrorCode::ModelUnsupported);
    EXPECT_THAT(type.error().cause, testing::HasSubstr("float16"));
    ImageTarget endless = make_target(8, 8);
    endless.how.scale_by[1] = INFINITY;
    EXPECT_EQ(code(Preprocess::plan(frame, endless)), hl::ErrorCode::ModelUnsupported);
}

TEST(Preprocess, NamesItsKernel)
{
    const FrameFormat frame{PixelFormat::NV12, 16, 16};
    EXPECT_STREQ(Preprocess::plan(frame, make_target(8, 8), PreprocessKernel::Scalar)->kernel(), "scalar");
    EXPECT_THAT(Preprocess::plan(frame, make_target(8, 8))->kernel(),
                testing::AnyOf(testing::StrEq("avx2"), testing::StrEq("scalar")));
}

} // namespace
