// SPDX-License-Identifier: LGPL-2.1-or-later
#include "onnxengine_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>
#include <thread>
#include <vector>

using namespace hl;
using hl::test::FakeResolver;
using hl::test::OnnxEngineTest;
using hl::test::TemporaryDir;
using hl::test::test_model;
using testing::HasSubstr;

namespace {

struct ImageCase {
    const char *model;
    float white; // what a pixel of 255 becomes
};

class OnnxImageTest : public OnnxEngineTest, public testing::WithParamInterface<ImageCase> {};

} // namespace

TEST_P(OnnxImageTest, ComputesChannelMeans)
{
    auto engine = create(test_model(GetParam().model));
    ASSERT_TRUE(engine) << engine.error().details();
    const EngineInfo &info = (*engine)->info();
    EXPECT_EQ(info.input, InputKind::Image);
    EXPECT_EQ(info.preprocess, PreprocessPlace::Host);
    ASSERT_EQ(info.outputs.size(), 2u);
    EXPECT_EQ(info.outputs[0].info.name, "means");
    EXPECT_EQ(info.outputs[1].offset % 64, 0u);

    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    const InferRequest request{
        .id = 1, .frame = filled(format, {10, 100, 200}), .output = resolver->allocate(info.output_bytes)};
    const Status status = run(**engine, request);
    ASSERT_TRUE(status) << status.error().details();
    const std::vector<float> means = floats(request.output, info.outputs[0]);
    const float unit = GetParam().white / 255.f;
    EXPECT_NEAR(means[0], 10 * unit, 1e-3);
    EXPECT_NEAR(means[1], 100 * unit, 1e-3);
    EXPECT_NEAR(means[2], 200 * unit, 1e-3);
    const std::vector<float> echo = floats(request.output, info.outputs[1]);
    EXPECT_NEAR(echo.front(), 10 * unit, 1e-3);
    EXPECT_NEAR(echo.back(), 200 * unit, 1e-3);
}

INSTANTIATE_TEST_SUITE_P(Layouts, OnnxImageTest,
                         testing::Values(ImageCase{"image-u8-nchw.onnx", 255.f}, ImageCase{"image-u8-nhwc.onnx", 255.f},
                                         ImageCase{"image-f32-nchw.onnx", 1.f}, ImageCase{"image-f32-nhwc.onnx", 1.f},
                                         ImageCase{"image-f16-nchw.onnx", 1.f}, ImageCase{"image-f16-nhwc.onnx", 1.f}),
                         [](const auto &case_info) {
                             std::string name = case_info.param.model;
                             name.resize(name.find('.'));
                             std::ranges::replace(name, '-', '_');
                             return name;
                         });

// The same network with both types: what the one sees is what the other sees, rounded to the nearest float16, that is
// by at most 2^-12 for values up to 1.
TEST_F(OnnxEngineTest, Float16ImagesAreFloat32ImagesRounded)
{
    const FrameFormat format{.format = PixelFormat::NV12, .width = 97, .height = 61};
    const FrameLayout frame = filled(format, {0, 0, 0});
    const auto bytes = resolver->resolve(frame.plane[0].memory).value();
    for (size_t i = 0; i < bytes.size(); ++i)
        bytes[i] = static_cast<std::byte>(i * 2654435761u >> 13);
    for (const char *layout : {"nchw", "nhwc"}) {
        std::array<std::vector<float>, 2> echo;
        for (const size_t half : {0, 1}) {
            auto engine = create(test_model(std::string(half ? "image-f16-" : "image-f32-") + layout + ".onnx"));
            ASSERT_TRUE(engine) << engine.error().details();
            ASSERT_TRUE((*engine)->configure(format));
            const EngineInfo &info = (*engine)->info();
            const InferRequest request{.id = 1, .frame = frame, .output = resolver->allocate(info.output_bytes)};
            ASSERT_TRUE(run(**engine, request));
            echo[half] = floats(request.output, info.outputs[1]);
        }
        ASSERT_EQ(echo[0].size(), echo[1].size());
        size_t rounded = 0;
        for (size_t i = 0; i < echo[0].size(); ++i) {
            ASSERT_NEAR(echo[1][i], echo[0][i], std::ldexp(1.0, -12)) << i;
            ASSERT_EQ(echo[1][i], static_cast<float>(static_cast<_Float16>(echo[1][i])));
            rounded += echo[1][i] != echo[0][i];
        }
        EXPECT_GT(rounded, echo[0].size() / 2) << "no float16 model at all";
    }
}

// A network that computes with float16 throughout: the means of its input, in float16 too.
TEST_F(OnnxEngineTest, Float16NetworksAnswerInFloat16)
{
    auto engine = create(test_model("float16.onnx"));
    ASSERT_TRUE(engine) << engine.error().details();
    const FrameFormat format{.format = PixelFormat::RGB, .width = 32, .height = 32};
    ASSERT_TRUE((*engine)->configure(format));
    const EngineInfo &info = (*engine)->info();
    ASSERT_EQ(info.outputs[0].info.type, DType::Float16);
    const InferRequest request{
        .id = 1, .frame = filled(format, {10, 100, 200}), .output = resolver->allocate(info.output_bytes)};
    ASSERT_TRUE(run(**engine, request));
    std::array<_Float16, 3> means{};
    ASSERT_EQ(info.outputs[0].bytes, sizeof means);
    std::memcpy(means.data(), resolver->resolve(request.output).value().data() + info.outputs[0].offset, sizeof means);
    const std::array<float, 3> want{10, 100, 200};
    for (size_t k = 0; k < 3; ++k)
        EXPECT_NEAR(static_cast<float>(means[k]), want[k] / 255, 1e-3);
}

TEST_F(OnnxEngineTest, ReadsRowsByTheirStride)
{
    auto engine = create(test_model("image-u8-nhwc.onnx"));
    ASSERT_TRUE(engine) << engine.error().details();
    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    const EngineInfo &info = (*engine)->info();
    const InferRequest request{
        .id = 1, .frame = filled(format, {10, 100, 200}, 256), .output = resolver->allocate(info.output_bytes)};
    ASSERT_TRUE(run(**engine, request));
    EXPECT_NEAR(floats(request.output, info.outputs[0])[2], 200, 1e-3);
}

TEST_F(OnnxEngineTest, RegionIsWhatTheModelSees)
{
    auto engine = create(test_model("image-u8-nchw.onnx"));
    ASSERT_TRUE(engine);
    const EngineInfo &info = (*engine)->info();
    const FrameFormat format{.format = PixelFormat::RGB, .width = 128, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    const FrameLayout frame = filled(format, {10, 10, 10});
    const auto bytes = resolver->resolve(frame.plane[0].memory).value();
    for (uint32_t y = 0; y < 48; ++y)
        for (uint32_t x = 64; x < 128; ++x)
            std::memset(&bytes[y * frame.plane[0].stride + x * 3], 50, 3);
    const InferRequest request{
        .id = 1, .frame = frame, .region = {64, 0, 64, 48}, .output = resolver->allocate(info.output_bytes)};
    ASSERT_TRUE(run(**engine, request));
    EXPECT_NEAR(floats(request.output, info.outputs[0])[0], 50, 1e-3);
}

TEST_F(OnnxEngineTest, SeveralFormatsAtOnce)
{
    auto engine = create(test_model("image-u8-nchw.onnx"));
    ASSERT_TRUE(engine);
    const EngineInfo &info = (*engine)->info();
    const FrameFormat rgb{.format = PixelFormat::RGB, .width = 64, .height = 48};
    const FrameFormat bgrx{.format = PixelFormat::BGRx, .width = 32, .height = 32};
    ASSERT_TRUE((*engine)->configure(rgb));
    ASSERT_TRUE((*engine)->configure(bgrx));
    const Memory output = resolver->allocate(info.output_bytes);
    ASSERT_TRUE(run(**engine, {.id = 1, .frame = filled(rgb, {1, 2, 3}), .output = output}));
    EXPECT_NEAR(floats(output, info.outputs[0])[0], 1, 1e-3);
    ASSERT_TRUE(run(**engine, {.id = 2, .frame = filled(bgrx, {30, 20, 10, 0}), .output = output}));
    EXPECT_NEAR(floats(output, info.outputs[0])[0], 10, 1e-3);
}

TEST_F(OnnxEngineTest, LetterboxIsReported)
{
    auto engine = create(test_model("boxes.onnx"));
    ASSERT_TRUE(engine) << engine.error().details();
    const auto fit = (*engine)->configure({.format = PixelFormat::NV12, .width = 128, .height = 64});
    ASSERT_TRUE(fit);
    EXPECT_DOUBLE_EQ(fit->scale_x, 0.5);
    EXPECT_DOUBLE_EQ(fit->scale_y, 0.5);
    EXPECT_DOUBLE_EQ(fit->pad_y, 16.0);
    EXPECT_EQ((*engine)->info().labels.size(), 3u);
    EXPECT_EQ((*engine)->info().outputs[0].info.id, "yolo-v8-out");
    EXPECT_EQ((*engine)->info().group_id, "yolo-v8-out");
}

class RawPlanesTest : public OnnxEngineTest {
protected:
    static constexpr FrameFormat format{.format = PixelFormat::NV12, .width = 320, .height = 240};
};

TEST_F(RawPlanesTest, AreReadWhereTheyLie)
{
    auto engine = create(test_model("planes-nv12.onnx"));
    ASSERT_TRUE(engine) << engine.error().details();
    const EngineInfo &info = (*engine)->info();
    EXPECT_EQ(info.input, InputKind::RawPlanes);
    EXPECT_EQ(info.preprocess, PreprocessPlace::InModel);
    ASSERT_TRUE((*engine)->configure(format));
    const Memory output = resolver->allocate(info.output_bytes);
    ASSERT_TRUE(run(**engine, {.id = 1, .frame = filled(format, {20, 100, 200}), .output = output}));
    const auto means = floats(output, info.outputs[0]);
    EXPECT_NEAR(means[0], 20, 1e-2);
    EXPECT_NEAR(means[1], 100, 1e-2);
    EXPECT_NEAR(means[2], 200, 1e-2);
    // The next frame lies elsewhere.
    ASSERT_TRUE(run(**engine, {.id = 2, .frame = filled(format, {21, 101, 201}), .output = output}));
    EXPECT_NEAR(floats(output, info.outputs[0])[0], 21, 1e-2);
}

TEST_F(RawPlanesTest, PaddedRowsAreRefusedWithTheStrideThatIsNeeded)
{
    auto engine = create(test_model("planes-nv12.onnx"));
    ASSERT_TRUE(engine);
    const Memory output = resolver->allocate((*engine)->info().output_bytes);
    const Status status = run(**engine, {.id = 1, .frame = filled(format, {20, 100, 200}, 512), .output = output});
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::FrameLayoutInvalid);
    EXPECT_THAT(status.error().cause, HasSubstr("320 bytes in plane 0"));
    EXPECT_THAT(status.error().cause, HasSubstr("512"));
}

TEST_F(RawPlanesTest, OtherFormatsAndSizesAreRefused)
{
    auto engine = create(test_model("planes-nv12.onnx"));
    ASSERT_TRUE(engine);
    for (const FrameFormat &other : {FrameFormat{.format = PixelFormat::NV12, .width = 322, .height = 240},
                                     FrameFormat{.format = PixelFormat::I420, .width = 320, .height = 240}}) {
        const auto fit = (*engine)->configure(other);
        ASSERT_FALSE(fit);
        EXPECT_EQ(fit.error().code, ErrorCode::FormatUnsupported);
        EXPECT_THAT(fit.error().cause, HasSubstr("320x240 NV12"));
        const Memory output = resolver->allocate((*engine)->info().output_bytes);
        EXPECT_EQ(run(**engine, {.id = 1, .frame = filled(other, {1, 2, 3}), .output = output}).error().code,
                  ErrorCode::SubmitFailed);
    }
    const Memory output = resolver->allocate((*engine)->info().output_bytes);
    EXPECT_EQ(run(**engine, {.id = 1, .frame = filled(format, {1, 2, 3}), .region = {0, 0, 16, 16}, .output = output})
                  .error()
                  .code,
              ErrorCode::SubmitFailed);
}

TEST_F(OnnxEngineTest, ReadsWhatItsResolverReaches)
{
    resolver = std::make_shared<FakeResolver>(Placement::Device);
    auto engine = create(test_model("image-u8-nchw.onnx"));
    ASSERT_TRUE(engine);
    const EngineInfo &info = (*engine)->info();
    EXPECT_TRUE(info.reads_device);
    EXPECT_FALSE(info.reads_host);
    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    const Memory output = resolver->allocate(info.output_bytes);
    EXPECT_TRUE(run(**engine, {.id = 1, .frame = filled(format, {1, 2, 3}, 4, Placement::Device), .output = output}));
    EXPECT_EQ(run(**engine, {.id = 1, .frame = filled(format, {1, 2, 3}), .output = output}).error().code,
              ErrorCode::SubmitFailed);
}

TEST_F(OnnxEngineTest, ChecksRequestsBeforeQueueingAny)
{
    auto engine = create(test_model("image-u8-nchw.onnx"));
    ASSERT_TRUE(engine);
    const EngineInfo &info = (*engine)->info();
    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    const InferRequest good{
        .id = 1, .frame = filled(format, {1, 2, 3}), .output = resolver->allocate(info.output_bytes)};
    EXPECT_EQ(run(**engine, good).error().code, ErrorCode::SubmitFailed) << "not configured";
    ASSERT_TRUE((*engine)->configure(format));

    const auto refused = [&](auto change) {
        std::vector<InferRequest> list(2, good);
        change(list[1]);
        CompletionWaiter waiter; // is told nothing
        const Status status = (*engine)->submit(list, waiter);
        return status ? ErrorCode::Internal : status.error().code;
    };
    EXPECT_EQ(refused([](InferRequest &r) { r.frame.plane[0].memory.size = 100; }), ErrorCode::FrameTooSmall);
    EXPECT_EQ(refused([](InferRequest &r) { r.frame.plane[0].stride = 10; }), ErrorCode::FrameLayoutInvalid);
    EXPECT_EQ(refused([](InferRequest &r) { r.frame.plane[0].memory.handle = 999; }), ErrorCode::MemoryForeign);
    EXPECT_EQ(refused([](InferRequest &r) { r.output.size -= 1; }), ErrorCode::SubmitFailed);
    EXPECT_EQ(refused([](InferRequest &r) { r.output.handle = 999; }), ErrorCode::MemoryForeign);
    EXPECT_EQ(refused([](InferRequest &r) { r.output.offset = 64; }), ErrorCode::MemoryRange);
    EXPECT_EQ(refused([](InferRequest &r) { r.region = {0, 0, 65, 48}; }), ErrorCode::SubmitFailed);
    EXPECT_EQ(refused([](InferRequest &r) { r.region = {60, 0, 8, 48}; }), ErrorCode::SubmitFailed);
    EXPECT_EQ(refused([](InferRequest &r) { r.region = {0xffffffff, 0, 8, 8}; }), ErrorCode::SubmitFailed);
    EXPECT_EQ(refused([](InferRequest &r) { r.region = {0, 0, 8, 0}; }), ErrorCode::SubmitFailed);
    EXPECT_TRUE(run(**engine, good)) << "and the engine still works";
}

TEST_F(OnnxEngineTest, UnusableModels)
{
    TemporaryDir dir;
    std::string whole;
    {
        std::ifstream in(test_model("tiny.onnx"), std::ios::binary);
        whole.assign(std::istreambuf_iterator<char>(in), {});
    }
    ASSERT_GT(whole.size(), 1000u);
    const std::string garbage = "\x12\x34garbage that is no protobuf at all\xff\xff\xff\xff";
    for (const std::string &text : {std::string(), garbage, std::string("a text file\n"),
                                    whole.substr(0, whole.size() / 2), whole.substr(0, 100), std::string(4096, '\0')}) {
        testing::internal::CaptureStderr();
        const auto engine = create(dir.write("bad.onnx", text));
        EXPECT_EQ(testing::internal::GetCapturedStderr(), "") << "errors are returned, not printed";
        ASSERT_FALSE(engine) << text.substr(0, 20);
        EXPECT_EQ(engine.error().code, ErrorCode::ModelCorrupt) << engine.error().details();
        EXPECT_THAT(engine.error().cause, HasSubstr("bad.onnx"));
        EXPECT_FALSE(engine.error().remedy.empty());
    }
}

TEST_F(OnnxEngineTest, InputsThatAreNoImage)
{
    const struct {
        const char *model;
        const char *found;
    } cases[] = {{"rank2.onnx", "vector (float32, 1x16)"}, {"rank3.onnx", "image (float32, 3x32x32)"}};
    for (const auto &c : cases) {
        const auto engine = create(test_model(c.model));
        ASSERT_FALSE(engine) << c.model;
        EXPECT_EQ(engine.error().code, ErrorCode::ModelUnsupported);
        EXPECT_THAT(engine.error().cause, HasSubstr(c.found));
        EXPECT_THAT(engine.error().cause, HasSubstr("uint8, float16 or float32, NCHW or NHWC"));
    }
}

TEST_F(OnnxEngineTest, OutputsThatDependOnThePicture)
{
    const auto engine = create(test_model("selects.onnx"));
    ASSERT_FALSE(engine);
    EXPECT_EQ(engine.error().code, ErrorCode::ModelUnsupported);
    EXPECT_THAT(engine.error().cause, HasSubstr("bright"));
}

TEST_F(OnnxEngineTest, OpenSizesComeFromTheDescription)
{
    const auto open = create(test_model("dynamic.onnx"));
    ASSERT_FALSE(open);
    EXPECT_EQ(open.error().code, ErrorCode::ModelUnsupported);
    EXPECT_THAT(open.error().cause, HasSubstr("leaves its size open"));
    EXPECT_THAT(open.error().remedy, HasSubstr("dims"));

    TemporaryDir dir;
    const std::string info = dir.write("sized.modelinfo", "[modelinfo]\nversion=1.0\n[image]\ndir=input\ntype=float32\n"
                                                          "dims=-1,3,24,32\nranges=0,255\n[means]\ndir=output\n"
                                                          "id=x\ntype=float32\n");
    const auto engine = create(test_model("dynamic.onnx"), {.compute_threads = 1}, info);
    ASSERT_TRUE(engine) << engine.error().details();
    EXPECT_EQ((*engine)->info().inputs[0].info.shape, (TensorShape{1, 3, 24, 32}));
    EXPECT_EQ((*engine)->info().outputs[0].info.shape, (TensorShape{1, 3}));
    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    const Memory output = resolver->allocate((*engine)->info().output_bytes);
    ASSERT_TRUE(run(**engine, {.id = 1, .frame = filled(format, {10, 20, 30}), .output = output}));
    EXPECT_NEAR(floats(output, (*engine)->info().outputs[0])[1], 20, 1e-3);
}

// A model alone: ids from its metadata as GStreamer 1.26 has them, or an error that holds the file to write.
TEST_F(OnnxEngineTest, WithoutADescription)
{
    TemporaryDir dir;
    std::filesystem::copy(test_model("boxes.onnx"), dir / "boxes.onnx");
    const auto known = create(dir / "boxes.onnx");
    ASSERT_TRUE(known) << known.error().details();
    EXPECT_EQ((*known)->info().outputs[0].info.id, "yolo-v8-out");

    std::filesystem::copy(test_model("image-f32-nchw.onnx"), dir / "m.onnx");
    const auto unknown = create(dir / "m.onnx");
    ASSERT_FALSE(unknown);
    EXPECT_EQ(unknown.error().code, ErrorCode::ModelInfoMissing);
    EXPECT_THAT(unknown.error().cause, HasSubstr(dir / "m.onnx.modelinfo"));
    const std::string &remedy = unknown.error().remedy;
    const size_t skeleton = remedy.find("[modelinfo]");
    ASSERT_NE(skeleton, std::string::npos) << remedy;
    EXPECT_THAT(remedy, HasSubstr("[image]\ndir=input\ntype=float32\ndims=1,3,48,64\n"));
    EXPECT_THAT(remedy, HasSubstr("ranges=0.0,1.0;0.0,1.0;0.0,1.0"));
    EXPECT_THAT(remedy, HasSubstr("[means]\ndir=output\nid="));
    // Saved as it is, it makes the model load.
    dir.write("m.onnx.modelinfo", remedy.substr(skeleton));
    const auto now = create(dir / "m.onnx");
    ASSERT_TRUE(now) << now.error().details();
    EXPECT_FALSE((*now)->info().outputs[0].info.id.empty());
}

TEST_F(OnnxEngineTest, OptionsAreHonoured)
{
    const std::string path = test_model("image-u8-nchw.onnx");
    const auto one = create(path, {.compute_threads = 1, .in_flight = 5});
    ASSERT_TRUE(one);
    EXPECT_EQ((*one)->info().callers * (*one)->info().threads_per_caller, 1u);
    EXPECT_EQ((*one)->info().in_flight, 5u);
    EXPECT_EQ((*one)->info().layout_source, "set");
    const auto serial = create(path, {.compute_threads = 2, .in_flight = 1, .measure = false});
    ASSERT_TRUE(serial);
    EXPECT_EQ((*serial)->info().callers, 1u) << "one request at a time keeps one caller busy";
    EXPECT_EQ((*serial)->info().threads_per_caller, 2u);
}

TEST_F(OnnxEngineTest, HostResolverOfADeviceFeedsIt)
{
    auto device = Device::open("sim").value();
    const auto host = make_host_resolver(device);
    EXPECT_TRUE(host->reaches(Placement::Host));
    EXPECT_FALSE(host->reaches(Placement::Device));
    const auto engine =
        create_cpu_engine(Model::load(test_model("image-u8-nchw.onnx")).value(), {.compute_threads = 1}, host);
    ASSERT_TRUE(engine) << engine.error().details();
    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    const PlanePlacement planes = packed_placement(format);
    const auto frame = OwnedMemory::allocate(device, planes.size, Placement::Host).value();
    const auto output = OwnedMemory::allocate(device, (*engine)->info().output_bytes, Placement::Host).value();
    std::memset(device->host_span(frame.get()).value().data(), 42, planes.size);
    ASSERT_TRUE(run(**engine, {.id = 1, .frame = layout_in(format, frame.get(), planes), .output = output.get()}));
    float mean = 0;
    std::memcpy(&mean, device->host_span(output.get()).value().data(), sizeof mean);
    EXPECT_NEAR(mean, 42, 1e-3);
}
