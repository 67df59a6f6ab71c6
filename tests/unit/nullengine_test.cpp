// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/nullengine.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <semaphore>
#include <thread>
#include <vector>

using namespace hl;

namespace {

Model null_model()
{
    Model model;
    model.name = "builtin:null";
    model.info = ModelInfo{};
    model.info->engine = "null";
    return model;
}

FrameLayout frame()
{
    const FrameFormat format{.format = PixelFormat::NV12, .width = 64, .height = 48};
    const PlanePlacement planes = packed_placement(format);
    return layout_in(format, Memory{.device = 1, .generation = 1, .handle = 1, .size = planes.size}, planes);
}

// Notes what it is told, and submits again as often as asked.
class Listener final : public CompletionListener {
public:
    Engine *engine = nullptr;
    int again = 0;
    int depth = 0;
    int deepest = 0;
    std::vector<uint64_t> ids;
    std::vector<Status> statuses;

    void completed(Completion completion) noexcept override
    {
        deepest = std::max(deepest, ++depth);
        ids.push_back(completion.id);
        statuses.push_back(completion.status);
        if (again > 0) {
            --again;
            const InferRequest next{.id = completion.id + 1, .frame = frame()};
            EXPECT_TRUE(engine->submit(std::span(&next, 1), *this));
        }
        --depth;
    }
};

} // namespace

TEST(NullEngine, IsMadeForAModelThatAsksForIt)
{
    auto engine = create_cpu_engine(null_model(), {}, nullptr);
    ASSERT_TRUE(engine) << engine.error().details();
    const EngineInfo &info = (*engine)->info();
    EXPECT_EQ(info.name, "null");
    EXPECT_EQ(info.input, InputKind::Nothing);
    EXPECT_TRUE(info.reads_device);
    EXPECT_TRUE(info.reads_host);
    EXPECT_EQ(info.output_bytes, 0u);
    EXPECT_TRUE((*engine)->configure({.format = PixelFormat::RGB, .width = 3, .height = 5}));
}

TEST(NullEngine, CompletesEveryRequestBeforeSubmitReturns)
{
    NullEngine engine(null_model(), {});
    Listener listener;
    std::vector<InferRequest> list;
    for (uint64_t id = 1; id <= 5; ++id)
        list.push_back({.id = id, .frame = frame()});
    ASSERT_TRUE(engine.submit(list, listener));
    EXPECT_EQ(listener.ids, (std::vector<uint64_t>{1, 2, 3, 4, 5}));
    for (const Status &status : listener.statuses)
        EXPECT_TRUE(status);
}

TEST(NullEngine, ListenerThatSubmitsAgainDoesNotRecurse)
{
    NullEngine engine(null_model(), {});
    Listener listener;
    listener.engine = &engine;
    listener.again = 100000;
    const InferRequest first{.id = 1, .frame = frame()};
    ASSERT_TRUE(engine.submit(std::span(&first, 1), listener));
    EXPECT_EQ(listener.ids.size(), 100001u);
    EXPECT_EQ(listener.deepest, 1);
}

TEST(NullEngine, PassedDeadlineIsATimeout)
{
    NullEngine engine(null_model(), {});
    Listener listener;
    const InferRequest late{.id = 1, .frame = frame(), .deadline = Clock::now() - std::chrono::seconds(1)};
    ASSERT_TRUE(engine.submit(std::span(&late, 1), listener));
    ASSERT_EQ(listener.statuses.size(), 1u);
    ASSERT_FALSE(listener.statuses[0]);
    EXPECT_EQ(listener.statuses[0].error().code, ErrorCode::RunTimeout);
}

TEST(NullEngine, RefusesAllOfAListWithOneBadFrame)
{
    NullEngine engine(null_model(), {});
    Listener listener;
    std::vector<InferRequest> list(2, {.id = 1, .frame = frame()});
    list[1].frame.plane[0].memory.size = 10;
    const Status status = engine.submit(list, listener);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::FrameTooSmall);
    EXPECT_TRUE(listener.ids.empty());
}

TEST(NullEngine, RefusesMoreThanItsQueue)
{
    NullEngine engine(null_model(), {});
    Listener listener;
    const std::vector<InferRequest> list(257, {.id = 1, .frame = frame()});
    const Status status = engine.submit(list, listener);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::QueueFull);
    EXPECT_TRUE(listener.ids.empty());
}

TEST(NullEngine, CompletionsFromSeveralThreadsComeOneAtATime)
{
    constexpr int threads = 4;
    constexpr int each = 5000;
    // Unguarded on purpose: the engine must serialise. Each submitter has at most one request out.
    class Counter final : public CompletionListener {
    public:
        void completed(Completion completion) noexcept override
        {
            EXPECT_EQ(++inside, 1);
            ++count;
            --inside;
            free[completion.id].release();
        }
        int inside = 0;
        int count = 0;
        std::array<std::binary_semaphore, threads> free{std::binary_semaphore(1), std::binary_semaphore(1),
                                                        std::binary_semaphore(1), std::binary_semaphore(1)};
    } counter;
    NullEngine engine(null_model(), {});
    {
        std::vector<std::jthread> submitters;
        for (uint64_t t = 0; t < threads; ++t)
            submitters.emplace_back([&, t] {
                const InferRequest request{.id = t, .frame = frame()};
                for (int i = 0; i < each; ++i) {
                    counter.free[t].acquire();
                    EXPECT_TRUE(engine.submit(std::span(&request, 1), counter));
                }
            });
    }
    EXPECT_EQ(counter.count, threads * each);
}

TEST(NullEngine, TakesFramesThatNoDeviceKnows)
{
    auto engine = create_cpu_engine(null_model(), {}, nullptr);
    ASSERT_TRUE(engine);
    InferRequest foreign{.id = 4, .frame = frame()};
    foreign.frame.plane = {};
    Listener listener;
    ASSERT_TRUE((*engine)->submit(std::span(&foreign, 1), listener));
    EXPECT_EQ(listener.ids, std::vector<uint64_t>{4});
}
