// SPDX-License-Identifier: LGPL-2.1-or-later
#include "malloc_count.h"
#include "onnxengine_fixture.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <cstring>
#include <ctime>
#include <future>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

// How the engine on the host's CPU queues, runs side by side and ends requests.

using namespace hl;
using hl::test::OnnxEngineTest;
using hl::test::test_model;

namespace {

// Blocks the worker that tells it of its first request, and counts.
class Gate final : public CompletionListener {
public:
    void completed(Completion completion) noexcept override
    {
        std::unique_lock lock(mutex);
        done[completion.id].push_back(completion.status ? std::nullopt : std::optional(completion.status.error().code));
        ++count;
        changed.notify_all();
        changed.wait(lock, [&] { return open; });
    }
    void wait_for(size_t n)
    {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return count >= n; });
    }
    void release()
    {
        const std::lock_guard lock(mutex);
        open = true;
        changed.notify_all();
    }

    std::mutex mutex;
    std::condition_variable changed;
    bool open = false;
    size_t count = 0;
    std::map<uint64_t, std::vector<std::optional<ErrorCode>>> done;
};

} // namespace

class OnnxQueueTest : public OnnxEngineTest {
protected:
    void SetUp() override
    {
        engine = create(test_model("image-u8-nchw.onnx")).value();
        ASSERT_TRUE(engine->configure(format));
    }
    InferRequest request(uint64_t id)
    {
        return {
            .id = id, .frame = filled(format, {1, 2, 3}), .output = resolver->allocate(engine->info().output_bytes)};
    }

    static constexpr FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    std::shared_ptr<Engine> engine;
};

TEST_F(OnnxQueueTest, IsBoundedAndTakesAListWholeOrNot)
{
    Gate gate;
    const InferRequest first = request(1);
    ASSERT_TRUE(engine->submit(std::span(&first, 1), gate));
    gate.wait_for(1); // the only worker is held in the listener
    const std::vector<InferRequest> many(10, request(2));
    ASSERT_TRUE(engine->submit(many, gate));
    const Status full = engine->submit(many, gate);
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().code, ErrorCode::QueueFull);
    gate.release();
    gate.wait_for(11);
    ASSERT_TRUE(engine->submit(many, gate)) << "there is room again";
    gate.wait_for(21);
    EXPECT_EQ(gate.done[2].size(), 20u);
}

TEST_F(OnnxQueueTest, DeadlineThatPassedInTheQueueIsATimeout)
{
    Gate gate;
    const InferRequest first = request(1);
    ASSERT_TRUE(engine->submit(std::span(&first, 1), gate));
    gate.wait_for(1);
    InferRequest late = request(2);
    late.deadline = Clock::now();
    ASSERT_TRUE(engine->submit(std::span(&late, 1), gate));
    gate.release();
    gate.wait_for(2);
    EXPECT_EQ(gate.done[1][0], std::nullopt);
    EXPECT_EQ(gate.done[2][0], ErrorCode::RunTimeout);
}

TEST_F(OnnxQueueTest, DestructionEndsEveryRequest)
{
    Gate gate;
    const InferRequest first = request(1);
    ASSERT_TRUE(engine->submit(std::span(&first, 1), gate));
    gate.wait_for(1);
    std::vector<InferRequest> rest;
    for (uint64_t id = 2; id <= 6; ++id)
        rest.push_back(request(id));
    ASSERT_TRUE(engine->submit(rest, gate));
    std::jthread opener([&] { gate.release(); });
    engine.reset();
    EXPECT_EQ(gate.count, 6u) << "all were told before the destructor returned";
    for (const auto &[id, ends] : gate.done) {
        ASSERT_EQ(ends.size(), 1u) << id;
        EXPECT_TRUE(!ends[0] || ends[0] == ErrorCode::Cancelled);
    }
}

namespace {

// What other threads than this one have computed.
std::chrono::nanoseconds others_work()
{
    const auto of = [](clockid_t clock) {
        timespec time{};
        ::clock_gettime(clock, &time);
        return std::chrono::seconds(time.tv_sec) + std::chrono::nanoseconds(time.tv_nsec);
    };
    return of(CLOCK_PROCESS_CPUTIME_ID) - of(CLOCK_THREAD_CPUTIME_ID);
}

} // namespace

TEST_F(OnnxQueueTest, DestructionStopsTheNetworkThatRuns)
{
    engine = create(test_model("endless.onnx")).value();
    ASSERT_TRUE(engine->configure(format));
    CompletionWaiter waiter;
    const InferRequest endless = request(1);
    ASSERT_TRUE(engine->submit(std::span(&endless, 1), waiter));
    for (const auto begin = others_work(); others_work() - begin < std::chrono::milliseconds(20);)
        std::this_thread::yield();
    engine.reset();
    const Status ended = waiter.wait().value();
    ASSERT_FALSE(ended);
    EXPECT_EQ(ended.error().code, ErrorCode::Cancelled);
    EXPECT_EQ(ended.error().cause, "the engine was closed while it ran");
}

namespace {

// Drops the last reference to the engine from inside a completion.
class Dropper final : public CompletionListener {
public:
    void completed(Completion completion) noexcept override
    {
        const std::lock_guard lock(mutex);
        engine.reset();
        ends[completion.id] = completion.status ? std::nullopt : std::optional(completion.status.error().code);
        changed.notify_all();
    }
    void wait_for(size_t n)
    {
        std::unique_lock lock(mutex);
        changed.wait(lock, [&] { return ends.size() >= n; });
    }

    std::shared_ptr<Engine> engine;
    std::mutex mutex;
    std::condition_variable changed;
    std::map<uint64_t, std::optional<ErrorCode>> ends;
};

} // namespace

TEST_F(OnnxQueueTest, LastReferenceMayBeDroppedByACompletion)
{
    Dropper dropper;
    std::vector<InferRequest> list;
    for (uint64_t id = 1; id <= 3; ++id)
        list.push_back(request(id));
    std::unique_lock hold(dropper.mutex); // the completion waits until the reference has moved over
    ASSERT_TRUE(engine->submit(list, dropper));
    dropper.engine = std::move(engine);
    hold.unlock();
    dropper.wait_for(3);
    EXPECT_EQ(dropper.ends[1], std::nullopt);
    EXPECT_EQ(dropper.ends[2], ErrorCode::Cancelled);
    EXPECT_EQ(dropper.ends[3], ErrorCode::Cancelled);
}

// Else exit() tears ONNX Runtime down while the worker lets go of its session.
TEST_F(OnnxQueueTest, AProcessThatExitsWaitsForTheWorkerThatDroppedTheEngine)
{
    static std::atomic<bool> working;
    static std::promise<void> dropped, never;
    struct Leaver final : CompletionListener {
        void completed(Completion) noexcept override
        {
            const std::lock_guard lock(mutex);
            engine.reset();
            working = true;
            dropped.set_value();
            never.get_future().wait_for(std::chrono::milliseconds(300)); // ample time to exit meanwhile
            working = false;
        }
        std::shared_ptr<Engine> engine;
        std::mutex mutex;
    };
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto drop_and_exit = [this] {
        // Runs last, where a library's static objects go.
        std::atexit([] {
            if (working)
                ::_exit(3);
        });
        static Leaver leaver;
        const InferRequest only = request(1);
        std::unique_lock hold(leaver.mutex);
        if (!engine->submit({&only, 1}, leaver))
            ::_exit(4);
        leaver.engine = std::move(engine);
        hold.unlock();
        dropped.get_future().wait();
        std::exit(0);
    };
    EXPECT_EXIT(drop_and_exit(), testing::ExitedWithCode(0), "");
}

// Four submitters, two workers: every request must have its own picture's result.
TEST_F(OnnxEngineTest, ConcurrentRequestsDoNotMix)
{
    auto engine = create(test_model("image-u8-nchw.onnx"), {.compute_threads = 2, .measure = false});
    ASSERT_TRUE(engine) << engine.error().details();
    const EngineInfo &info = (*engine)->info();
    EXPECT_EQ(info.callers, 2u);
    EXPECT_EQ(info.threads_per_caller, 1u);
    EXPECT_EQ(info.in_flight, 10u) << "of short runs, four waiting for each worked on";
    EXPECT_EQ(info.layout_source, "set");
    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    const auto submitter = [&](uint8_t colour) {
        const InferRequest request{.id = colour,
                                   .frame = filled(format, {colour, uint8_t(colour + 1), uint8_t(colour + 2)}),
                                   .output = resolver->allocate(info.output_bytes)};
        for (int i = 0; i < 100; ++i) {
            std::memset(resolver->resolve(request.output).value().data(), 0, info.output_bytes);
            const Status status = run(**engine, request);
            ASSERT_TRUE(status) << status.error().details();
            const auto means = floats(request.output, info.outputs[0]);
            ASSERT_NEAR(means[0], colour, 1e-3);
            ASSERT_NEAR(means[2], colour + 2, 1e-3);
        }
    };
    std::vector<std::jthread> threads;
    for (const uint8_t colour : std::array<uint8_t, 4>{10, 60, 110, 160})
        threads.emplace_back(submitter, colour);
}

// Completions of one engine come one at a time, each request's once, in whatever order.
TEST_F(OnnxEngineTest, CompletionsAreSerial)
{
    class Collector final : public CompletionListener {
    public:
        void completed(Completion completion) noexcept override
        {
            EXPECT_EQ(inside.fetch_add(1), 0);
            EXPECT_TRUE(completion.status);
            EXPECT_LE(completion.started, completion.finished);
            ids.push_back(completion.id); // unguarded: a data race if the engine did not serialise
            inside.fetch_sub(1);
            if (ids.size() == 200) {
                const std::lock_guard lock(mutex);
                finished = true;
                all.notify_all();
            } else if (ids.size() + 8 <= 200) {
                const InferRequest next{.id = ids.size() + 8, .frame = frame, .output = output};
                EXPECT_TRUE(engine->submit(std::span(&next, 1), *this));
            }
        }
        Engine *engine = nullptr;
        FrameLayout frame;
        Memory output;
        std::atomic<int> inside{0};
        std::vector<uint64_t> ids;
        std::mutex mutex;
        std::condition_variable all;
        bool finished = false;
    } collector;

    auto engine = create(test_model("image-u8-nchw.onnx"), {.compute_threads = 3, .measure = false});
    ASSERT_TRUE(engine);
    const FrameFormat format{.format = PixelFormat::RGB, .width = 64, .height = 48};
    ASSERT_TRUE((*engine)->configure(format));
    collector.engine = engine->get();
    collector.frame = filled(format, {1, 2, 3});
    collector.output = resolver->allocate((*engine)->info().output_bytes);
    std::vector<InferRequest> first;
    for (uint64_t id = 1; id <= 8; ++id)
        first.push_back({.id = id, .frame = collector.frame, .output = collector.output});
    ASSERT_TRUE((*engine)->submit(first, collector));
    std::unique_lock lock(collector.mutex);
    collector.all.wait(lock, [&] { return collector.finished; });
    lock.unlock();
    engine->reset();
    std::ranges::sort(collector.ids);
    for (size_t i = 0; i < collector.ids.size(); ++i)
        EXPECT_EQ(collector.ids[i], i + 1);
}

TEST_F(OnnxQueueTest, SubmitDoesNotAllocate)
{
    const InferRequest warm = request(1);
    ASSERT_TRUE(run(*engine, warm));
    CompletionWaiter waiter;
    const hl::test::MallocCount count;
    ASSERT_TRUE(engine->submit(std::span(&warm, 1), waiter));
    EXPECT_EQ(count.calls(), 0u);
    ASSERT_TRUE(waiter.wait().value());
}
