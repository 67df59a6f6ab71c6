// SPDX-License-Identifier: LGPL-2.1-or-later

// Recipes on the SynapseAI backend, over the double (DBL: it computes on the host). Its recipe takes y 1x4x6x1 and uv
// 1x2x3x2 and gives sums = 2 * y + 1 as float32 and uv_out = uv (tests/synapse-double/make_test_recipes.py).
#include "../unit/temporarydir.h"
#include "doubletesting.h"
#include "inference/engine.h"
#include "inference/model.h"

#include <gtest/gtest.h>

#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

using hl::Device;
using hl::Engine;
using hl::ErrorCode;
using hl::Placement;
using hl::test::open_double;
using hl::test::Owned;
using hl::test::Record;
using hl::test::Setting;
using hl::test::StreamsHeld;

namespace {

constexpr const char *description = R"([modelinfo]
version=1.0
group-id=planes

[y]
dir=input
type=uint8
dims=1,4,6,1
bind=frame:y

[uv]
dir=input
type=uint8
dims=1,2,3,2
bind=frame:uv

[sums]
dir=output
id=sums
type=float32

[uv_out]
dir=output
id=uv
type=uint8
)";

constexpr hl::FrameFormat format{.format = hl::PixelFormat::NV12, .width = 6, .height = 4};
constexpr size_t y_bytes = 24, uv_bytes = 12;

std::string recipe_path(const std::string &name)
{
    return std::string(std::getenv("HL_TEST_RECIPES")) + "/" + name + ".recipe";
}

class SynapseEngineTest : public testing::Test {
protected:
    hl::Result<std::shared_ptr<Engine>> load(const std::string &recipe, const std::string &text = description,
                                             const hl::EngineOptions &options = {})
    {
        const auto model = hl::Model::load(recipe_path(recipe), folder.write("description.modelinfo", text));
        if (!model)
            return std::unexpected(model.error());
        return device->create_engine(*model, options);
    }
    std::shared_ptr<Engine> engine_of(const std::string &recipe = "good", const hl::EngineOptions &options = {})
    {
        auto engine = load(recipe, description, options);
        EXPECT_OK(engine);
        if (!engine)
            std::abort();
        EXPECT_OK((*engine)->configure(format));
        return *engine;
    }
    // A frame in HBM whose bytes are seed, seed + 1, ...
    void write_frame(const hl::Memory &frame, unsigned seed)
    {
        const Owned host{device, frame.size, Placement::Host};
        const auto span = device->host_span(*host);
        ASSERT_OK(span);
        for (size_t i = 0; i < span->size(); ++i)
            (*span)[i] = static_cast<std::byte>(seed + i);
        ASSERT_OK(hl::test::copy(device, *host, frame, frame.size));
    }
    static hl::FrameLayout layout(const hl::Memory &frame)
    {
        return hl::layout_in(format, frame, {.offset = {0, y_bytes}, .stride = {6, 6}, .size = y_bytes + uv_bytes});
    }
    void expect_outputs(const Engine &engine, const hl::Memory &output, unsigned seed)
    {
        const auto span = device->host_span(output);
        ASSERT_OK(span);
        const auto &outputs = engine.info().outputs;
        ASSERT_EQ(outputs.size(), 2u);
        for (size_t i = 0; i < y_bytes; ++i) {
            float value = 0;
            std::memcpy(&value, span->data() + outputs[0].offset + i * sizeof(value), sizeof(value));
            ASSERT_EQ(value, 2.f * static_cast<float>((seed + i) & 0xff) + 1) << i;
        }
        for (size_t i = 0; i < uv_bytes; ++i)
            ASSERT_EQ((*span)[outputs[1].offset + i], static_cast<std::byte>(seed + y_bytes + i)) << i;
    }
    hl::Status run(Engine &engine, const hl::InferRequest &infer)
    {
        Record record;
        if (auto submitted = engine.submit({&infer, 1}, record); !submitted)
            return submitted;
        return record.wait(1)[0].status;
    }

    std::shared_ptr<Device> device = open_double();
    hl::test::TemporaryDir folder;
};

} // namespace

TEST_F(SynapseEngineTest, TellsWhatItIs)
{
    const auto engine = engine_of();
    const hl::EngineInfo &info = engine->info();
    EXPECT_EQ(info.name, "SynapseAI double: computes on the host");
    EXPECT_EQ(info.input, hl::InputKind::RawPlanes);
    EXPECT_TRUE(info.reads_device);
    EXPECT_FALSE(info.reads_host);
    EXPECT_EQ(info.preprocess, hl::PreprocessPlace::InModel);
    EXPECT_EQ(info.group_id, "planes");
    ASSERT_EQ(info.outputs.size(), 2u);
    EXPECT_EQ(info.outputs[0].info.shape, (hl::TensorShape{1, 4, 6, 1}));
    EXPECT_EQ(info.outputs[0].info.id, "sums");
    EXPECT_EQ(info.outputs[0].bytes, y_bytes * 4);
    EXPECT_EQ(info.outputs[1].offset % 64, 0u);
    EXPECT_EQ(info.output_bytes, info.outputs[1].offset + uv_bytes);
}

TEST_F(SynapseEngineTest, RunsOnFramesWhereTheyLie)
{
    for (const char *recipe : {"good", "no-workspace"}) {
        SCOPED_TRACE(recipe);
        const auto engine = engine_of(recipe);
        const Owned frame{device, 4096, Placement::Device},
            output{device, engine->info().output_bytes, Placement::Host};
        write_frame(*frame, 17);
        ASSERT_OK(device->flush_inbound_writes());
        ASSERT_OK(run(*engine, {.id = 3, .frame = layout(*frame), .output = *output}));
        expect_outputs(*engine, *output, 17);
    }
}

// Planes in memories of their own, at offsets that a recipe does not know.
TEST_F(SynapseEngineTest, PlanesMayLieAnywhere)
{
    const auto engine = engine_of();
    const Owned y{device, 8192, Placement::Device}, uv{device, 8192, Placement::Device},
        output{device, 4096, Placement::Host};
    write_frame(*y, 1);
    write_frame(*uv, 100);
    hl::FrameLayout frame{.format = format, .plane = {}};
    frame.plane[0] = {.memory = y->part(4096, 4096), .offset = 40, .stride = 6};
    frame.plane[1] = {.memory = *uv, .offset = 0, .stride = 6};
    ASSERT_OK(run(*engine, {.id = 1, .frame = frame, .output = *output}));
    const auto span = device->host_span(*output);
    ASSERT_OK(span);
    float first = 0;
    std::memcpy(&first, span->data(), sizeof(first));
    EXPECT_EQ(first, 2.f * ((1 + 4096 + 40) & 0xff) + 1);
    EXPECT_EQ((*span)[engine->info().outputs[1].offset], std::byte{100});
}

// Requests in flight have outputs and workspaces of their own.
TEST_F(SynapseEngineTest, RequestsInFlightDoNotMix)
{
    constexpr unsigned in_flight = 4;
    const auto engine = engine_of("good", {.in_flight = in_flight});
    EXPECT_EQ(engine->info().in_flight, in_flight);
    std::vector<std::unique_ptr<Owned>> frames, outputs;
    for (unsigned i = 0; i <= in_flight; ++i) {
        frames.push_back(std::make_unique<Owned>(device, 4096, Placement::Device));
        outputs.push_back(std::make_unique<Owned>(device, 4096, Placement::Host));
        write_frame(**frames.back(), 10 * i);
    }
    Record record;
    {
        const StreamsHeld held;
        for (unsigned i = 0; i <= in_flight; ++i) {
            const hl::InferRequest infer{.id = i, .frame = layout(**frames[i]), .output = **outputs[i]};
            const auto submitted = engine->submit({&infer, 1}, record);
            if (i < in_flight)
                ASSERT_OK(submitted);
            else
                EXPECT_CODE(submitted, ErrorCode::QueueFull);
        }
    }
    for (const auto &end : record.wait(in_flight))
        EXPECT_OK(end.status);
    for (unsigned i = 0; i < in_flight; ++i)
        expect_outputs(*engine, **outputs[i], 10 * i);
}

TEST_F(SynapseEngineTest, RefusesFramesItCannotRead)
{
    const auto engine = engine_of();
    const Owned frame{device, 4096, Placement::Device}, host{device, 4096, Placement::Host},
        output{device, 4096, Placement::Host};
    hl::FrameFormat other = format;
    other.width = 8;
    const auto refused = engine->configure(other);
    ASSERT_CODE(refused, ErrorCode::FormatUnsupported);
    EXPECT_TRUE(refused.error().cause.contains("6x4 NV12")) << refused.error().cause;

    const hl::InferRequest good{.id = 1, .frame = layout(*frame), .output = *output};
    auto bad = good;
    bad.frame.plane[0].stride = 8;
    EXPECT_CODE(run(*engine, bad), ErrorCode::FrameLayoutInvalid);
    bad = good;
    bad.frame = layout(*host);
    EXPECT_CODE(run(*engine, bad), ErrorCode::SubmitFailed);
    bad = good;
    bad.region = {.x = 0, .y = 0, .width = 2, .height = 2};
    EXPECT_CODE(run(*engine, bad), ErrorCode::SubmitFailed);
    bad = good;
    bad.output = frame->part(0, 4096);
    EXPECT_CODE(run(*engine, bad), ErrorCode::MemoryForeign);
    bad = good;
    bad.output.size = 16;
    EXPECT_CODE(run(*engine, bad), ErrorCode::MemoryRange);
    EXPECT_OK(run(*engine, good));
}

TEST_F(SynapseEngineTest, RefusesRecipesThatTheRuntimeDoesNotTake)
{
    for (const char *recipe : {"other-chip", "other-release", "no-recipe", "empty", "cut-in-graph", "torn-graph"}) {
        SCOPED_TRACE(recipe);
        const auto refused = load(recipe);
        ASSERT_CODE(refused, ErrorCode::RecipeRefused);
        EXPECT_TRUE(refused.error().cause.contains(std::string(recipe) + ".recipe")) << refused.error().cause;
        EXPECT_TRUE(refused.error().cause.contains("(status ")) << refused.error().cause;
    }
}

TEST_F(SynapseEngineTest, TellsWhatARecipeHasThatIsNotBound)
{
    const auto refused = load("good", "[modelinfo]\nversion=1.0\n");
    ASSERT_CODE(refused, ErrorCode::RecipeTensors);
    EXPECT_TRUE(refused.error().cause.contains("y uint8 1x4x6x1")) << refused.error().cause;
    EXPECT_TRUE(refused.error().remedy.contains("bind=frame:y")) << refused.error().remedy;
}

TEST_F(SynapseEngineTest, RunsNothingButRecipes)
{
    const auto model = hl::Model::load("builtin:demo");
    ASSERT_OK(model);
    const auto refused = device->create_engine(*model, {});
    ASSERT_CODE(refused, ErrorCode::ModelUnsupported);
    EXPECT_TRUE(refused.error().remedy.contains("compute=host"));
    const auto null = hl::Model::load("builtin:null");
    ASSERT_OK(null);
    EXPECT_OK(device->create_engine(*null, {}));
}

// An input that no frame has is loaded once, here uv.
TEST_F(SynapseEngineTest, LoadsDataFromAFile)
{
    std::string text = description;
    text.replace(text.find("frame:uv"), std::strlen("frame:uv"), "file:uv.bin");
    EXPECT_CODE(load("good", text), ErrorCode::ModelMissing);
    for (const char *location : {"file:/etc/hostname", "file:../uv.bin"}) {
        std::string outside = description;
        outside.replace(outside.find("frame:uv"), std::strlen("frame:uv"), location);
        EXPECT_CODE(load("good", outside), ErrorCode::ModelDataOutside);
    }
    (void)folder.write("uv.bin", "eleven byte");
    EXPECT_CODE(load("good", text), ErrorCode::ModelCorrupt);
    (void)folder.write("uv.bin", "twelve bytes");
    const auto engine = load("good", text);
    ASSERT_OK(engine);
    const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
    write_frame(*frame, 0);
    ASSERT_OK(run(**engine, {.id = 1, .frame = layout(*frame), .output = *output}));
    const auto span = device->host_span(*output);
    ASSERT_OK(span);
    EXPECT_EQ(std::memcmp(span->data() + (*engine)->info().outputs[1].offset, "twelve bytes", uv_bytes), 0);
}

TEST_F(SynapseEngineTest, ALateRequestIsNotRun)
{
    const auto engine = engine_of();
    const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
    EXPECT_CODE(run(*engine, {.id = 1, .frame = layout(*frame), .output = *output, .deadline = hl::Clock::now()}),
                ErrorCode::RunTimeout);
}

// Requests that are under way at once share neither the recipe's workspace (200,000 bytes) nor its outputs.
TEST_F(SynapseEngineTest, EachRequestHasMemoryOfItsOwn)
{
    const auto taken = [&](unsigned requests) {
        const uint64_t before = hl::test::free_bytes();
        const auto engine = engine_of("good", {.in_flight = requests});
        return std::pair(before - hl::test::free_bytes(), engine->info().output_bytes);
    };
    const auto [one, outputs] = taken(1);
    EXPECT_GE(taken(4).first, one + 3 * (200000 + outputs));
}

TEST_F(SynapseEngineTest, ItsEndLetsGoOfEverything)
{
    const auto before = device->usage();
    const uint64_t free_before = hl::test::free_bytes();
    {
        const auto engine = engine_of();
        EXPECT_LT(hl::test::free_bytes(), free_before);
        const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
        EXPECT_OK(run(*engine, {.id = 1, .frame = layout(*frame), .output = *output}));
    }
    EXPECT_EQ(hl::test::free_bytes(), free_before);
    EXPECT_EQ(device->usage().device_bytes, before.device_bytes);
    EXPECT_EQ(device->usage().host_bytes, before.host_bytes);
    EXPECT_EQ(device.use_count(), 1);
}

// --- what goes wrong on the device ---

class SynapseEngineFault : public SynapseEngineTest {
protected:
    // The orders are read when the device is opened.
    void reopen(const char *faults)
    {
        device.reset();
        orders = std::make_unique<Setting>("HL_DBL_FAULTS", faults);
        device = open_double();
    }
    void TearDown() override { device.reset(); }

    std::unique_ptr<Setting> orders;
};

TEST_F(SynapseEngineFault, AFailedLaunchEndsItsRequestAlone)
{
    reopen("synLaunch:1=synFail");
    const auto engine = engine_of();
    const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
    write_frame(*frame, 7);
    const hl::InferRequest infer{.id = 1, .frame = layout(*frame), .output = *output};
    const auto failed = run(*engine, infer);
    ASSERT_CODE(failed, ErrorCode::RunFailed);
    EXPECT_TRUE(failed.error().cause.contains("synLaunch")) << failed.error().cause;
    ASSERT_OK(run(*engine, infer));
    expect_outputs(*engine, *output, 7);
}

TEST_F(SynapseEngineFault, ARecipeRefusedAtItsLaunchIsToldAsSuch)
{
    reopen("synLaunch:1=synDeviceTypeMismatch");
    const auto engine = engine_of();
    const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
    EXPECT_CODE(run(*engine, {.id = 1, .frame = layout(*frame), .output = *output}), ErrorCode::RecipeRefused);
}

// Each takes less than what counts as a hang, the second one waits for the first.
TEST_F(SynapseEngineFault, SlowRequestsInARowAreNoLoss)
{
    reopen("synLaunch:1=delay:6s,synLaunch:2=delay:6s");
    const auto engine = engine_of();
    const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host},
        second{device, 4096, Placement::Host};
    const hl::InferRequest both[] = {{.id = 1, .frame = layout(*frame), .output = *output},
                                     {.id = 2, .frame = layout(*frame), .output = *second}};
    Record record;
    ASSERT_OK(engine->submit(both, record));
    for (const auto &end : record.wait(2))
        EXPECT_OK(end.status);
}

// What became of the launch nobody knows then: its memory is not for others.
TEST_F(SynapseEngineFault, AnEventThatCannotBeAskedIsALoss)
{
    reopen("synEventQuery:1=synFail");
    const auto engine = engine_of();
    const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
    EXPECT_CODE(run(*engine, {.id = 1, .frame = layout(*frame), .output = *output}), ErrorCode::DeviceLost);
    EXPECT_TRUE(device->lost());
}

TEST_F(SynapseEngineFault, WithoutMemoryForOneRequestItIsNotLoaded)
{
    // The first is the frames'.
    reopen("synDeviceMalloc:2=synOutOfDeviceMemory");
    const auto refused = load("good");
    ASSERT_CODE(refused, ErrorCode::MemoryFull);
    EXPECT_TRUE(refused.error().cause.contains("good.recipe works in 1 MiB of HBM")) << refused.error().cause;
    EXPECT_OK(load("good"));
}

TEST_F(SynapseEngineFault, WithMemoryForFewerRequestsItRunsFewer)
{
    reopen("synDeviceMalloc:4=synOutOfDeviceMemory");
    const auto engine = engine_of("good", {.in_flight = 8});
    EXPECT_EQ(engine->info().in_flight, 2u);
}

TEST_F(SynapseEngineFault, LossEndsWhatIsUnderWayAndANewEngineRuns)
{
    reopen("lost@synLaunch:1");
    auto engine = engine_of();
    {
        const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
        const hl::InferRequest infer{.id = 1, .frame = layout(*frame), .output = *output};
        EXPECT_CODE(run(*engine, infer), ErrorCode::DeviceLost);
        while (!device->lost())
            std::this_thread::yield();
        EXPECT_CODE(run(*engine, infer), ErrorCode::DeviceLost);
    }
    // The engine of before lets go of the device by itself.
    ASSERT_OK(device->recover());
    const Owned frame{device, 4096, Placement::Device}, output{device, 4096, Placement::Host};
    const hl::InferRequest infer{.id = 1, .frame = layout(*frame), .output = *output};
    EXPECT_CODE(run(*engine, infer), ErrorCode::DeviceLost);
    engine = engine_of();
    write_frame(*frame, 50);
    ASSERT_OK(run(*engine, infer));
    expect_outputs(*engine, *output, 50);
}
