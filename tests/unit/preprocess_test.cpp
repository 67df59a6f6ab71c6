// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess.h"

#include "malloc_count.h"
#include "preprocess_reference.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <format>
#include <iostream>
#include <iterator>
#include <new>
#include <random>
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
using hl::test::describe;
using hl::test::Deviation;
using hl::test::deviation;
using hl::test::Frame;
using hl::test::Reference;
using hl::test::run;
using hl::test::samples_of;
using hl::test::to_rgb;

// Every PixelFormat there is.
constexpr auto all_formats = [] {
    std::array<PixelFormat, hl::pixel_formats> out{};
    for (size_t i = 0; i < out.size(); ++i)
        out[i] = static_cast<PixelFormat>(i);
    return out;
}();
constexpr DType all_types[] = {DType::Float32, DType::UInt8, DType::Float16};
constexpr TensorLayout all_layouts[] = {TensorLayout::NCHW, TensorLayout::NHWC};
constexpr ScaleMode all_modes[] = {ScaleMode::Stretch, ScaleMode::Letterbox};
constexpr ColorMatrix all_matrices[] = {ColorMatrix::BT601, ColorMatrix::BT709, ColorMatrix::BT2020, ColorMatrix::FCC,
                                        ColorMatrix::SMPTE240M};
constexpr ColorRange all_ranges[] = {ColorRange::Limited, ColorRange::Full};
constexpr PreprocessKernel all_kernels[] = {PreprocessKernel::Best, PreprocessKernel::Scalar};

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

std::vector<PixelFormat> formats_of(hl::ColorModel model)
{
    std::vector<PixelFormat> out;
    for (const auto format : all_formats)
        if (hl::pixel_format_info(format).model == model)
            out.push_back(format);
    return out;
}

// As ImageNet models want it, one channel turned upside down to catch clamping that assumes a direction.
void normalise_oddly(ImageTarget &target)
{
    target.how.mean = {123.675f, 116.28f, 103.53f};
    target.how.scale_by = {1 / 58.395f, -1 / 57.12f, 1 / 57.375f};
}

// Both kernels against the definition. Returns how much of the allowed error the worse one used, 1: all of it.
double expect_close(const FrameFormat &format, const ImageTarget &target, const Rect &region, uint32_t extra_stride,
                    std::mt19937 &random)
{
    Frame frame(format, extra_stride);
    frame.noise(random);
    double worst = 0;
    for (const auto kernel : all_kernels) {
        const auto plan = Preprocess::plan(format, target, kernel);
        if (!plan) {
            ADD_FAILURE() << plan.error().headline();
            return 1e9;
        }
        const Deviation off = deviation(run(*plan, target, frame, region), Reference(frame, target, region), target);
        EXPECT_LE(off.worst_of_allowed, 1.0) << describe(format, target, region, *plan);
        // Rounding evens out over many samples only, and not where rows are halved: there it always goes up.
        const Rect seen = region.width ? region : Rect{0, 0, format.width, format.height};
        if (seen.width * seen.height >= 64 && target.width * target.height >= 64) {
            EXPECT_LE(off.mean, target.type == DType::UInt8 ? 0.6 : 0.5) << describe(format, target, region, *plan);
        }
        EXPECT_TRUE(off.border_exact) << describe(format, target, region, *plan);
        worst = std::max(worst, off.worst_of_allowed);
    }
    return worst;
}

// Matrices, ranges, channel orders and scale modes of one format, layout and type.
double expect_every_colour_close(PixelFormat pixels, TensorLayout layout, DType type, std::mt19937 &random)
{
    const bool yuv = hl::pixel_format_info(pixels).model == hl::ColorModel::YUV;
    double worst = 0;
    for (const auto matrix : all_matrices)
        for (const auto range : all_ranges)
            for (const auto mode : all_modes)
                for (const auto order : {ChannelOrder::RGB, ChannelOrder::BGR}) {
                    if (!yuv && matrix != ColorMatrix::BT601)
                        continue;
                    ImageTarget target = make_target(21, 13, layout, type);
                    target.how.order = order;
                    target.how.scale = mode;
                    normalise_oddly(target);
                    worst = std::max(worst, expect_close({pixels, 50, 38, matrix, range}, target, {}, 3, random));
                }
    return worst;
}

TEST(Preprocess, EveryFormatMatrixRangeLayoutTypeModeAndOrderFollowsTheDefinition)
{
    std::mt19937 random(1);
    std::string table = "share of the allowed error that the worst sample used (scalar and " +
                        std::string(Preprocess::plan({PixelFormat::RGB, 8, 8}, make_target(8, 8))->kernel()) +
                        " kernels, stretch and letterbox, every matrix and range)\n" + std::string(10, ' ');
    for (const auto type : all_types)
        for (const char *layout : {"NCHW", "NHWC"})
            table += std::format("  {:>7} {}", hl::dtype_name(type), layout);
    for (const auto pixels : all_formats) {
        table += std::format("\n{:10}", hl::pixel_format_info(pixels).name);
        for (const auto type : all_types)
            for (const auto layout : all_layouts)
                table += std::format("  {:12.2f}", expect_every_colour_close(pixels, layout, type, random));
    }
    std::cout << table << '\n';
}

// No vertical blending happens, so nothing is rounded on the way and the result is the formula's.
TEST(Preprocess, PixelsThatNeedNoVerticalBlendingAreExact)
{
    std::mt19937 random(2);
    for (const auto pixels : formats_of(hl::ColorModel::RGB))
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
    for (const auto pixels : formats_of(hl::ColorModel::YUV))
        for (const auto matrix : all_matrices)
            for (const auto range : all_ranges)
                for (int colour = 0; colour < 64; ++colour) {
                    Frame frame({pixels, 6, 6, matrix, range}, 0);
                    std::array<uint32_t, 3> yuv{};
                    const auto of = samples_of(pixels);
                    for (size_t k = 0; k < 3; ++k) {
                        yuv[k] = static_cast<uint32_t>(random() % (1u << hl::test::bits_of(pixels)));
                        frame.fill(of[k], yuv[k]);
                    }
                    const ImageTarget target = make_target(9, 4);
                    const auto rgb = to_rgb(frame.format, yuv[0], yuv[1], yuv[2]);
                    for (const auto kernel : all_kernels) {
                        const auto plan = Preprocess::plan(frame.format, target, kernel);
                        ASSERT_TRUE(plan);
                        const auto got = run(*plan, target, frame);
                        for (size_t i = 0; i < got.size(); ++i)
                            ASSERT_NEAR(got[i] * 255, rgb[i / 36], 1e-3);
                    }
                }
}

// The shades of ten bits from black to white, 64 to 940, are told apart, evenly; with eight there would be 220.
TEST(Preprocess, TenBitsOfP010Count)
{
    for (const auto range : all_ranges)
        for (const auto kernel : all_kernels) {
            double before = -1;
            for (uint32_t shade = 64; shade <= 940; ++shade) {
                Frame frame({PixelFormat::P010, 6, 6, ColorMatrix::BT709, range}, 1);
                const auto of = samples_of(PixelFormat::P010);
                frame.fill(of[0], shade);
                frame.fill(of[1], 512);
                frame.fill(of[2], 512);
                const ImageTarget target = make_target(4, 4);
                const auto plan = Preprocess::plan(frame.format, target, kernel);
                ASSERT_TRUE(plan);
                const double value = run(*plan, target, frame)[5];
                const double step = range == ColorRange::Full ? 1.0 / 1023 : 1.0 / 876;
                if (before >= 0) {
                    ASSERT_NEAR(value - before, step, 1e-6) << shade;
                }
                before = value;
            }
        }
}

TEST(Preprocess, GreyIsRGBAlikeAndStretchedByItsRange)
{
    for (const auto kernel : all_kernels)
        for (const uint32_t width : {1u, 7u, 8u, 33u, 200u})
            for (uint32_t shade = 0; shade < 256; shade += 5) {
                const double limited = std::clamp((shade - 16.0) / 219, 0.0, 1.0), full = shade / 255.0;
                for (const auto range : all_ranges) {
                    Frame frame({PixelFormat::GRAY8, 33, 9, ColorMatrix::BT2020, range}, 2);
                    frame.fill(samples_of(PixelFormat::GRAY8)[0], shade);
                    const ImageTarget target = make_target(width, 5);
                    const auto plan = Preprocess::plan(frame.format, target, kernel);
                    ASSERT_TRUE(plan);
                    for (const double value : run(*plan, target, frame))
                        ASSERT_NEAR(value, range == ColorRange::Full ? full : limited, 1e-6) << shade;
                }
            }
}

TEST(Preprocess, AlphaIsNotLookedAt)
{
    std::mt19937 random(10);
    for (const auto pixels : formats_of(hl::ColorModel::RGB)) {
        const auto &info = hl::pixel_format_info(pixels);
        if (info.plane[0].pixel_bytes != 4)
            continue;
        const auto of = samples_of(pixels);
        const size_t fourth = 6 - of[0].byte - of[1].byte - of[2].byte;
        for (const auto kernel : all_kernels)
            for (const uint32_t width : {33u, 20u}) { // with and without a filter
                Frame frame({pixels, 33, 9}, 0);
                frame.noise(random);
                const ImageTarget target = make_target(width, 9);
                const auto plan = Preprocess::plan(frame.format, target, kernel);
                ASSERT_TRUE(plan);
                const auto before = run(*plan, target, frame);
                frame.fill({0, fourth, 4, 0, 0}, 0);
                EXPECT_EQ(run(*plan, target, frame), before) << info.name;
            }
    }
}

// F16C and the compiler's own conversion round alike, so that a model sees the same picture on every CPU.
TEST(Preprocess, HalvesAreFloatsRoundedToTheNearest)
{
    std::mt19937 random(11);
    Frame frame({PixelFormat::RGB, 50, 38}, 1);
    frame.noise(random);
    for (const auto layout : all_layouts)
        for (const auto kernel : all_kernels) {
            ImageTarget target = make_target(33, 17, layout);
            normalise_oddly(target);
            const auto floats = run(*Preprocess::plan(frame.format, target, kernel), target, frame);
            target.type = DType::Float16;
            const auto halves = run(*Preprocess::plan(frame.format, target, kernel), target, frame);
            for (size_t i = 0; i < floats.size(); ++i)
                ASSERT_EQ(halves[i], static_cast<double>(static_cast<_Float16>(static_cast<float>(floats[i]))));
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
    for (const auto layout : all_layouts)
        for (const auto type : all_types)
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
        FrameFormat format{all_formats[random() % std::size(all_formats)], upto(most), upto(most),
                           all_matrices[random() % std::size(all_matrices)], all_ranges[random() % 2]};
        ImageTarget target = make_target(upto(most), upto(most), random() % 2 ? TensorLayout::NCHW : TensorLayout::NHWC,
                                         all_types[random() % std::size(all_types)]);
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
        for (const auto type : all_types)
            for (const auto layout : all_layouts) {
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
    const auto type = Preprocess::plan(frame, make_target(8, 8, TensorLayout::NCHW, DType::BFloat16));
    EXPECT_EQ(code(type), hl::ErrorCode::ModelUnsupported);
    EXPECT_THAT(type.error().cause, testing::HasSubstr("bfloat16"));
    ImageTarget endless = make_target(8, 8);
    endless.how.scale_by[1] = INFINITY;
    EXPECT_EQ(code(Preprocess::plan(frame, endless)), hl::ErrorCode::ModelUnsupported);
    ImageTarget high = make_target(8, 8, TensorLayout::NCHW, DType::Float16);
    high.how.scale_by = {256.f, 1.f, 1.f};
    EXPECT_TRUE(Preprocess::plan(frame, high)) << "255 * 256 is a float16";
    high.how.scale_by[0] = -257.f;
    const auto overflow = Preprocess::plan(frame, high);
    EXPECT_EQ(code(overflow), hl::ErrorCode::ModelUnsupported);
    EXPECT_THAT(overflow.error().cause, testing::HasSubstr("65535"));
}

TEST(Preprocess, NamesItsKernel)
{
    const FrameFormat frame{PixelFormat::NV12, 16, 16};
    EXPECT_STREQ(Preprocess::plan(frame, make_target(8, 8), PreprocessKernel::Scalar)->kernel(), "scalar");
    EXPECT_THAT(Preprocess::plan(frame, make_target(8, 8))->kernel(),
                testing::AnyOf(testing::StrEq("avx2"), testing::StrEq("scalar")));
}

} // namespace
