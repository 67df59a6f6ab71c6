// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/onnx/onnxengine.h"
#include "onnxengine_fixture.h"

#include <gtest/gtest.h>

#include <sched.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <vector>

using namespace hl;
using hl::test::OnnxEngineTest;
using hl::test::test_model;

namespace {

class OnnxLayoutTest : public OnnxEngineTest {
protected:
    // Loads with a measurement that says what it is told to say.
    std::shared_ptr<Engine> load(unsigned cores = 2)
    {
        const auto told = [&](const std::vector<ComputeLayout> &candidates,
                              const ProbeModel &model) -> Result<LayoutChoice> {
            ++measurements;
            EXPECT_GT(model.run_time.count(), 0.0);
            return LayoutChoice{.layout = decided ? candidates.back() : candidates.front(),
                                .decided = decided,
                                .reason = "told so",
                                .measured = {}};
        };
        auto engine = create_onnx_engine(Model::load(path, {}).value(), {.compute_threads = cores}, resolver, told);
        EXPECT_TRUE(engine) << engine.error().details();
        return engine ? *engine : nullptr;
    }
    std::vector<std::filesystem::path> cached_files() const
    {
        std::vector<std::filesystem::path> out;
        if (std::filesystem::exists(cache.path() / "gst-habana"))
            for (const auto &entry : std::filesystem::directory_iterator(cache.path() / "gst-habana"))
                out.push_back(entry.path());
        return out;
    }

    const std::string path = test_model("image-u8-nchw.onnx");
    bool decided = true;
    int measurements = 0;
};

} // namespace

TEST_F(OnnxLayoutTest, IsMeasuredOnceAndRemembered)
{
    ASSERT_TRUE(create(path, {.compute_threads = 2, .measure = false}));
    EXPECT_TRUE(cached_files().empty());
    for (int i = 0; i < 2; ++i) {
        const auto engine = load();
        EXPECT_EQ(measurements, 1);
        ASSERT_EQ(cached_files().size(), 1u);
        EXPECT_EQ(engine->info().callers, 1u);
        EXPECT_EQ(engine->info().threads_per_caller, 1u) << "the last candidate won";
    }
    std::ofstream(cached_files()[0]) << "{ this is not json";
    load();
    EXPECT_EQ(measurements, 2);
    load();
    EXPECT_EQ(measurements, 2) << "the broken file was replaced";
}

TEST_F(OnnxLayoutTest, WhatIsUndecidedIsNotRemembered)
{
    decided = false;
    for (int i = 1; i <= 2; ++i) {
        const auto engine = load();
        EXPECT_EQ(measurements, i);
        EXPECT_EQ(engine->info().callers, 2u) << "the sensible one";
        EXPECT_TRUE(cached_files().empty());
    }
    decided = true;
    load();
    EXPECT_EQ(cached_files().size(), 1u);
}

TEST_F(OnnxLayoutTest, TheSourceIsTold)
{
    if (usable_cores() < 2)
        return; // one core: there is nothing to choose
    EXPECT_EQ((*create(path, {.compute_threads = 0, .measure = false}))->info().layout_source, "fixed");
    decided = false;
    EXPECT_EQ(load(0)->info().layout_source, "undecided");
    decided = true;
    EXPECT_EQ(load(0)->info().layout_source, "measured");
    EXPECT_EQ(load(0)->info().layout_source, "cached");
}

// Whoever starts a line would wait for a dozen runs.
TEST(MeasureLayouts, ASlowModelIsNotTried)
{
    const SessionFor none = [](unsigned, unsigned) -> Result<std::shared_ptr<hl::OrtSession>> {
        ADD_FAILURE() << "a session was opened";
        return fail(ErrorCode::ModelMissing, "test", "none", "none");
    };
    const std::vector<ComputeLayout> candidates = candidate_layouts(2, 0);
    const auto choice = measure_layouts(
        candidates, {.plan = {}, .info = {}, .session_for = none, .run_time = std::chrono::duration<double>(0.6)});
    ASSERT_TRUE(choice) << choice.error().details();
    EXPECT_EQ(choice->layout, candidates.front());
    EXPECT_FALSE(choice->decided);
    EXPECT_EQ(choice->reason, "one run takes 0.6 s, too long to try them");
}

// Two callers on one core get half of it each: what a machine loaded by others looks like. The whole way, with real
// runs.
TEST_F(OnnxLayoutTest, StarvedCallersDecideNothing)
{
    cpu_set_t all;
    ASSERT_EQ(::sched_getaffinity(0, sizeof all, &all), 0);
    cpu_set_t one;
    CPU_ZERO(&one);
    for (int core = 0; core < CPU_SETSIZE && CPU_COUNT(&one) == 0; ++core)
        if (CPU_ISSET(core, &all))
            CPU_SET(core, &one);
    ASSERT_EQ(::sched_setaffinity(0, sizeof one, &one), 0);
    const auto engine = create(path, {.compute_threads = 2});
    ASSERT_EQ(::sched_setaffinity(0, sizeof all, &all), 0);
    ASSERT_TRUE(engine) << engine.error().details();
    EXPECT_EQ((*engine)->info().callers, 2u);
    EXPECT_TRUE(cached_files().empty());
}
