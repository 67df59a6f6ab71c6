// SPDX-License-Identifier: LGPL-2.1-or-later
#include "fakeresolver.h"
#include "temporarydir.h"

#include "inference/engine.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <cstring>
#include <string>
#include <thread>
#include <vector>

using namespace hl;
using hl::test::FakeResolver;
using hl::test::ScopedEnv;
using hl::test::TemporaryDir;
using testing::HasSubstr;

namespace {

std::string test_model(const std::string &name)
{
    const char *dir = std::getenv("HL_TEST_MODELS");
    return std::string(dir ? dir : ".") + "/" + name;
}

class OnnxEngineTest : public testing::Test {
protected:
    Result<std::shared_ptr<Engine>>
    create(const std::string &path, const EngineOptions &options = {.compute_threads = 1}, const std::string &info = {})
    {
        auto model = Model::load(path, info);
        if (!model)
            return std::unexpected(model.error());
        return create_cpu_engine(*model, options, resolver);
    }

    // A frame of one colour (per channel or plane sample) in its own memory.
    FrameLayout filled(const FrameFormat &format, std::array<uint8_t, 4> value, uint32_t stride_align = 4,
                       Placement placement = Placement::Host)
    {
        const PlanePlacement planes = packed_placement(format, stride_align);
        const Memory memory = resolver->allocate(planes.size, placement);
        const auto bytes = resolver->resolve(memory).value();
        const size_t pixel = format.format == PixelFormat::RGB ? 3 : format.format == PixelFormat::BGRx ? 4 : 0;
        for (size_t p = 0; p < pixel_format_info(format.format).planes; ++p)
            for (uint32_t row = 0; row < plane_rows(format, p); ++row)
                for (uint32_t x = 0; x < plane_row_bytes(format, p); ++x) {
                    const size_t channel = pixel                                ? x % pixel
                                           : p == 0                             ? 0
                                           : format.format == PixelFormat::I420 ? p
                                                                                : 1 + x % 2;
                    bytes[planes.offset[p] + row * planes.stride[p] + x] = std::byte{value[channel]};
                }
        return layout_in(format, memory, planes);
    }

    std::vector<float> floats(const Memory &output, const EngineTensor &tensor)
    {
        std::vector<float> out(tensor.bytes / sizeof(float));
        std::memcpy(out.data(), resolver->resolve(output).value().data() + tensor.offset, tensor.bytes);
        return out;
    }

    // Submits one request and waits for its end.
    Status run(Engine &engine, InferRequest request)
    {
        CompletionWaiter waiter;
        if (auto status = engine.submit(std::span(&request, 1), waiter); !status)
            return status;
        return waiter.wait().value();
    }

    TemporaryDir cache;
    ScopedEnv cache_env{"XDG_CACHE_HOME", cache.path().string()};
    std::shared_ptr<FakeResolver> resolver = std::make_shared<FakeResolver>();
};

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
                                         ImageCase{"image-f32-nchw.onnx", 1.f}, ImageCase{"image-f32-nhwc.onnx", 1.f}),
                         [](const auto &case_info) {
                             std::string name = case_info.param.model;
                             name.resize(name.find('.'));
                             std::ranges::replace(name, '-', '_');
                             return name;
                         });
