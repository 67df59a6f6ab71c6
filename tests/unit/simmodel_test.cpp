// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "core/log.h"
#include "inference/engine.h"
#include "malloc_count.h"
#include "simtest.h"
#include "temporarydir.h"

#include <gtest/gtest.h>

#include <cstring>
#include <mutex>
#include <string>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::test::Setting;

namespace {

std::mutex log_mutex;
std::string log_text;

void keep_log(hl::LogLevel level, std::string_view, std::string_view text) noexcept
{
    const std::lock_guard lock(log_mutex);
    if (level == hl::LogLevel::Info)
        log_text += text;
}

const hl::FrameFormat rgb{.format = hl::PixelFormat::RGB, .width = 64, .height = 48};

// A real model on the simulated device: its outputs are the means of the frame's channels.
class SimModel : public ::testing::Test {
protected:
    hl::Result<std::shared_ptr<hl::Engine>> load(const std::string &name)
    {
        const char *dir = std::getenv("HL_TEST_MODELS");
        auto model = hl::Model::load(name.starts_with("builtin:") ? name : std::string(dir ? dir : ".") + "/" + name);
        if (!model)
            return std::unexpected(model.error());
        return device->create_engine(*model, {.compute_threads = 1});
    }

    // Puts a frame of one colour into device memory by DMA.
    void upload(const hl::Memory &frame, std::array<uint8_t, 3> colour)
    {
        const auto planes = hl::packed_placement(rgb);
        hl::test::Owned pages(device, planes.size, Placement::Host);
        const auto bytes = *device->host_span(*pages);
        for (size_t row = 0; row < rgb.height; ++row)
            for (size_t x = 0; x < 3 * rgb.width; ++x)
                bytes[row * planes.stride[0] + x] = std::byte{colour[x % 3]};
        const hl::CopyRegion region{.source = *pages, .target = frame, .row_bytes = planes.size};
        ASSERT_OK(device->copy({&region, 1}));
    }

    std::array<float, 3> means(const hl::Engine &engine, const hl::Memory &output)
    {
        std::array<float, 3> out{};
        std::memcpy(out.data(), device->host_span(output)->data() + engine.info().outputs[0].offset, sizeof out);
        return out;
    }

    hl::test::TemporaryDir cache;
    Setting cache_setting{"XDG_CACHE_HOME", cache.path().c_str()};
    std::shared_ptr<hl::Device> device = hl::test::open_sim();
};

} // namespace

TEST_F(SimModel, ReadsFramesInHbmWhereTheyLie)
{
    auto engine = load("image-u8-nhwc.onnx");
    ASSERT_OK(engine);
    EXPECT_TRUE((*engine)->info().reads_device);
    EXPECT_TRUE((*engine)->info().reads_host);
    ASSERT_OK((*engine)->configure(rgb));
    const auto planes = hl::packed_placement(rgb);
    hl::test::Owned frame(device, planes.size, Placement::Device);
    hl::test::Owned output(device, (*engine)->info().output_bytes, Placement::Host);
    for (const std::array<uint8_t, 3> colour : {std::array<uint8_t, 3>{10, 100, 200}, {250, 3, 77}}) {
        upload(*frame, colour);
        hl::CompletionWaiter waiter;
        const hl::InferRequest request{.frame = hl::layout_in(rgb, *frame, planes), .output = *output};
        ASSERT_OK((*engine)->submit({&request, 1}, waiter));
        ASSERT_OK(*waiter.wait());
        const auto found = means(**engine, *output);
        for (size_t c = 0; c < 3; ++c)
            EXPECT_NEAR(found[c], colour[c], 1e-3);
    }
}

TEST_F(SimModel, SaysWhatAGaudiWouldNeed)
{
    hl::set_log_sink(keep_log);
    const auto engine = load("image-u8-nhwc.onnx");
    hl::set_log_sink(nullptr);
    ASSERT_OK(engine);
    EXPECT_NE(log_text.find("part of the model"), std::string::npos) << log_text;
}

TEST_F(SimModel, RunsTheNullModelWithinTheRules)
{
    const auto engine = load("builtin:null");
    ASSERT_OK(engine);
    hl::test::Owned frame(device, 64 * 1024, Placement::Device);
    const auto layout = hl::layout_in(rgb, *frame, hl::packed_placement(rgb));
    hl::CompletionWaiter waiter;
    hl::InferRequest request{.id = 5, .frame = layout};
    ASSERT_OK((*engine)->submit({&request, 1}, waiter));
    ASSERT_OK(*waiter.wait());
    request.frame.plane[0].memory.handle += 99;
    EXPECT_CODE((*engine)->submit({&request, 1}, waiter), ErrorCode::MemoryForeign);
}

TEST_F(SimModel, BadModelsNameTheDevice)
{
    const auto engine = load("missing.onnx");
    ASSERT_FALSE(engine);
    hl::Model model{.name = "nothing", .path = "/dev/null", .info_path = {}, .info = {}, .labels = {}};
    const auto bad = device->create_engine(model, {});
    ASSERT_FALSE(bad);
    EXPECT_EQ(bad.error().device, "sim");
    hl::sim::lose(*device);
    EXPECT_CODE(device->create_engine(model, {}), ErrorCode::DeviceLost);
}

// While a request computes, the DMA of the next frame goes on; and the other way round.
TEST(SimModelTime, ComputeAndDmaOverlap)
{
    const Setting compute("HL_SIM_COMPUTE_US", "3600000000"); // an hour
    const auto device = hl::test::open_sim();
    auto model = hl::Model::load("builtin:null");
    ASSERT_OK(model);
    auto engine = device->create_engine(*model, {});
    ASSERT_OK(engine);
    hl::test::Owned frame(device, 64 * 1024, Placement::Device), next(device, 64 * 1024, Placement::Device),
        pages(device, 64 * 1024, Placement::Host);
    const hl::InferRequest request{.frame = hl::layout_in(rgb, *frame, hl::packed_placement(rgb))};
    hl::CompletionWaiter computed;
    ASSERT_OK((*engine)->submit({&request, 1}, computed));
    const hl::CopyRegion copy{.source = *pages, .target = *next, .row_bytes = 4096};
    ASSERT_OK(device->copy({&copy, 1}));
    EXPECT_EQ(device->usage().requests_pending, 1u);
    hl::sim::lose(*device);
    EXPECT_CODE(*computed.wait(), ErrorCode::DeviceLost);
}

TEST(SimModelTime, DmaDoesNotHoldComputeUp)
{
    const auto device = hl::test::open_sim();
    auto model = hl::Model::load("builtin:null");
    ASSERT_OK(model);
    auto engine = device->create_engine(*model, {});
    ASSERT_OK(engine);
    hl::test::Owned frame(device, 64 * 1024, Placement::Device), pages(device, 64 * 1024, Placement::Host);
    hl::CopyRequest copy;
    copy.region[0] = {.source = *pages, .target = *frame, .row_bytes = 4096};
    copy.regions = 1;
    hl::CompletionWaiter copied, computed;
    const hl::InferRequest request{.frame = hl::layout_in(rgb, *frame, hl::packed_placement(rgb))};
    {
        const hl::sim::DmaGate gate(*device);
        ASSERT_OK(device->submit({&copy, 1}, copied));
        ASSERT_OK((*engine)->submit({&request, 1}, computed));
        EXPECT_OK(*computed.wait());
        EXPECT_EQ(device->usage().requests_pending, 1u);
    }
    EXPECT_OK(*copied.wait());
}

TEST(SimModelTime, SteadyStateAllocatesNothing)
{
    const auto device = hl::test::open_sim();
    auto model = hl::Model::load("builtin:null");
    ASSERT_OK(model);
    auto engine = device->create_engine(*model, {});
    ASSERT_OK(engine);
    hl::test::Owned frame(device, 64 * 1024, Placement::Device);
    const hl::InferRequest request{.frame = hl::layout_in(rgb, *frame, hl::packed_placement(rgb))};
    hl::CompletionWaiter waiter;
    bool good = true;
    const hl::test::MallocCount count;
    for (int i = 0; i < 100; ++i)
        good = good && (*engine)->submit({&request, 1}, waiter).has_value() && waiter.wait()->has_value();
    EXPECT_EQ(count.calls(), 0u);
    EXPECT_TRUE(good);
}
