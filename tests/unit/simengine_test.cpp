// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/sim/simcontrol.h"
#include "backends/sim/simdevice.h"
#include "backends/sim/simengine.h"
#include "simtest.h"

#include <gtest/gtest.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstdlib>
#include <functional>
#include <future>
#include <mutex>
#include <thread>
#include <vector>

using hl::ErrorCode;
using hl::Placement;
using hl::test::Setting;
using namespace std::chrono_literals;

namespace {

// An engine that ends requests when the test says so, on the test's thread, or at once within submit().
class FakeEngine final : public hl::Engine {
public:
    explicit FakeEngine(bool at_once) : at_once_(at_once)
    {
        info_.name = "fake";
        info_.reads_device = info_.reads_host = true;
        info_.output_bytes = 64;
        info_.callers = 2;
    }
    ~FakeEngine() override
    {
        if (on_destruction)
            on_destruction();
    }
    const hl::EngineInfo &info() const noexcept override { return info_; }
    hl::Result<hl::FrameTransform> configure(const hl::FrameFormat &) override { return hl::FrameTransform{}; }
    hl::Status submit(std::span<const hl::InferRequest> requests, hl::CompletionListener &listener) override
    {
        if (!refuse_with)
            return refuse_with;
        const auto now = hl::Clock::now();
        for (const auto &request : requests) {
            if (at_once_) {
                listener.completed({.id = request.id, .started = now, .finished = now});
                continue;
            }
            const std::lock_guard lock(mutex_);
            pending_.emplace_back(request, &listener);
            changed_.notify_all();
        }
        return {};
    }
    // Ends the oldest request; waits for one.
    hl::InferRequest finish(hl::Status status = {})
    {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [this] { return !pending_.empty(); });
        const auto [request, listener] = pending_.front();
        pending_.erase(pending_.begin());
        lock.unlock();
        listener->completed({.id = request.id, .status = std::move(status)});
        return request;
    }
    size_t pending()
    {
        const std::lock_guard lock(mutex_);
        return pending_.size();
    }

    hl::Status refuse_with;
    std::function<void()> on_destruction;

private:
    const bool at_once_;
    hl::EngineInfo info_;
    std::mutex mutex_;
    std::condition_variable changed_;
    std::vector<std::pair<hl::InferRequest, hl::CompletionListener *>> pending_;
};

// A device with an engine over a fake one, and a frame to submit. Read the environment first.
struct Line {
    explicit Line(bool at_once = false) : fake(std::make_shared<FakeEngine>(at_once))
    {
        engine = std::make_shared<hl::sim::SimEngine>(device, static_cast<hl::sim::SimDevice &>(*device).chip(), fake);
    }
    [[nodiscard]] hl::InferRequest request(uint64_t id = 1) const
    {
        const hl::FrameFormat format{.format = hl::PixelFormat::NV12, .width = 64, .height = 32};
        return {.id = id, .frame = hl::layout_in(format, *frame, hl::packed_placement(format)), .output = *output};
    }
    hl::Status submit(uint64_t id = 1)
    {
        const auto one = request(id);
        return engine->submit({&one, 1}, ends);
    }

    std::shared_ptr<hl::Device> device = hl::test::open_sim();
    hl::test::Owned frame{device, 4096, Placement::Device};
    hl::test::Owned output{device, 4096, Placement::Host};
    std::shared_ptr<FakeEngine> fake;
    std::shared_ptr<hl::sim::SimEngine> engine;
    hl::test::Record ends;
};

} // namespace

TEST(SimEngine, PassesRequestsOnWithTheCallersIds)
{
    Line line;
    ASSERT_OK(line.submit(41));
    ASSERT_OK(line.submit(42));
    EXPECT_EQ(line.device->usage().requests_pending, 2u);
    EXPECT_EQ(line.fake->finish().frame.plane[1].offset, 64u * 32);
    EXPECT_EQ(line.ends.wait(1)[0].id, 41u);
    line.fake->finish(hl::fail(ErrorCode::RunFailed, "run", "broken"));
    const auto ends = line.ends.wait(2);
    EXPECT_EQ(ends[1].id, 42u);
    EXPECT_CODE(ends[1].status, ErrorCode::RunFailed);
    EXPECT_EQ(line.device->usage().requests_pending, 0u);
    EXPECT_EQ(line.engine->info().callers, 2u);
}

TEST(SimEngine, RefusesWhatItCannotReach)
{
    Line line;
    const auto code = [&](auto change) {
        auto request = line.request();
        change(request);
        const auto status = line.engine->submit({&request, 1}, line.ends);
        return status ? ErrorCode::Internal : status.error().code;
    };
    EXPECT_EQ(code([](auto &r) { r.frame.plane[1].memory.handle += 99; }), ErrorCode::MemoryForeign);
    EXPECT_EQ(code([](auto &r) { r.frame.plane[0].memory.generation += 1; }), ErrorCode::MemoryStale);
    EXPECT_EQ(code([](auto &r) { r.frame.plane[0].memory.size = 8192; }), ErrorCode::MemoryRange);
    EXPECT_EQ(code([](auto &r) { r.frame.plane[0].stride = 63; }), ErrorCode::FrameLayoutInvalid);
    EXPECT_EQ(code([](auto &r) { r.frame.plane[1].offset = 4096; }), ErrorCode::FrameTooSmall);
    EXPECT_EQ(code([](auto &r) { r.output.size = 63; }), ErrorCode::MemoryRange);
    EXPECT_EQ(code([&](auto &r) { r.output = *line.frame; }), ErrorCode::MemoryForeign);
    // All or none.
    std::array<hl::InferRequest, 2> two{line.request(1), line.request(2)};
    two[1].output.handle += 99;
    EXPECT_CODE(line.engine->submit(two, line.ends), ErrorCode::MemoryForeign);
    EXPECT_EQ(line.fake->pending(), 0u);
    EXPECT_EQ(line.device->usage().requests_pending, 0u);
}

TEST(SimEngine, TakesAsManyAsItHasRoomFor)
{
    Line line;
    const std::vector<hl::InferRequest> batch(hl::sim::SimEngine::most_at_once, line.request());
    EXPECT_CODE(line.engine->submit(std::vector(batch.size() + 1, line.request()), line.ends), ErrorCode::QueueFull);
    size_t taken = 0;
    while (taken < hl::sim::SimEngine::capacity) {
        ASSERT_OK(line.engine->submit(batch, line.ends));
        taken += batch.size();
    }
    EXPECT_CODE(line.submit(), ErrorCode::QueueFull);
    for (size_t i = 0; i < taken; ++i)
        line.fake->finish();
    EXPECT_EQ(line.ends.count(), taken);
    ASSERT_OK(line.submit());
    line.fake->finish();
}

TEST(SimEngine, AnInnerRefusalLeavesNothingBehind)
{
    Line line;
    line.fake->refuse_with = hl::fail(ErrorCode::FormatUnsupported, "submit", "no");
    for (size_t i = 0; i < 2 * hl::sim::SimEngine::capacity; ++i)
        EXPECT_CODE(line.submit(), ErrorCode::FormatUnsupported);
    EXPECT_EQ(line.device->usage().requests_pending, 0u);
    EXPECT_EQ(line.ends.count(), 0u);
}

TEST(SimEngine, KeepsMemoryInPlaceWhileItRuns)
{
    Line line;
    const auto before = line.device->usage();
    ASSERT_OK(line.submit());
    line.frame.release();
    line.output.release();
    EXPECT_EQ(line.device->usage().device_bytes, before.device_bytes);
    EXPECT_EQ(line.device->usage().host_bytes, before.host_bytes);
    line.fake->finish();
    EXPECT_EQ(line.device->usage().device_bytes, 0u);
    EXPECT_EQ(line.device->usage().host_bytes, 0u);
}

TEST(SimEngine, EndsThatCompleteWithinSubmitDoNotNest)
{
    // A DMA completion submits an inference that ends within submit(): its listener is told after the DMA's returned.
    Line line(true);
    class Chain final : public hl::CompletionListener {
    public:
        explicit Chain(Line &owner) : line(owner) {}
        void completed(hl::Completion) noexcept override
        {
            status = line.submit(7);
            told_inside = line.ends.count();
            done.completed({});
        }
        Line &line;
        hl::Status status;
        size_t told_inside = 99;
        hl::CompletionWaiter done;
    } chain(line);
    hl::CopyRequest copy;
    copy.region[0] = {.source = *line.output, .target = *line.frame, .row_bytes = 4096};
    copy.regions = 1;
    ASSERT_OK(line.device->submit({&copy, 1}, chain));
    EXPECT_TRUE(chain.done.wait().has_value());
    EXPECT_EQ(line.ends.wait(1)[0].id, 7u);
    EXPECT_EQ(chain.told_inside, 0u);
    EXPECT_OK(chain.status);
}

TEST(SimEngine, LossTurnsEveryEndIntoDeviceLost)
{
    Line line;
    ASSERT_OK(line.submit());
    hl::sim::lose(*line.device);
    EXPECT_CODE(line.submit(), ErrorCode::DeviceLost);
    line.fake->finish();
    EXPECT_CODE(line.ends.wait(1)[0].status, ErrorCode::DeviceLost);
    EXPECT_EQ(line.device->usage().device_bytes, 0u);
    ASSERT_OK(line.device->recover());
    EXPECT_CODE(line.submit(), ErrorCode::MemoryStale);
}

TEST(SimEngine, IsLostAtTheOrderedFrame)
{
    const Setting faults("HL_SIM_FAULTS", "lost@frame:3");
    Line line(true);
    ASSERT_OK(line.submit());
    ASSERT_OK(line.submit());
    EXPECT_CODE(line.submit(), ErrorCode::DeviceLost);
    EXPECT_TRUE(line.device->lost());
    line.ends.wait(2);
}

TEST(SimEngine, SubmissionsFailOnOrder)
{
    const Setting faults("HL_SIM_FAULTS", "submit:2=EINVAL,submit:3=EAGAIN");
    Line line(true);
    ASSERT_OK(line.submit());
    const auto refused = line.submit();
    ASSERT_CODE(refused, ErrorCode::SubmitFailed);
    EXPECT_EQ(refused.error().sys_errno, EINVAL);
    EXPECT_CODE(line.submit(), ErrorCode::QueueFull);
    ASSERT_OK(line.submit());
    EXPECT_EQ(line.ends.wait(2).size(), 2u);
}

TEST(SimEngine, RunsFailInTheirCompletionOnOrder)
{
    const Setting faults("HL_SIM_FAULTS", "run:2=EINVAL,run:3=EIO");
    Line line(true);
    for (uint64_t i = 1; i <= 3; ++i) {
        ASSERT_OK(line.submit(i));
        line.ends.wait(i);
    }
    const auto ends = line.ends.wait(3);
    EXPECT_OK(ends[0].status);
    EXPECT_CODE(ends[1].status, ErrorCode::RunFailed);
    EXPECT_CODE(ends[2].status, ErrorCode::DeviceLost);
    EXPECT_TRUE(line.device->lost());
}

TEST(SimEngine, LoadingAndConfiguringFailOnOrder)
{
    const Setting faults("HL_SIM_FAULTS", "engine:1=ENOMEM,engine:2=EINVAL,configure:1=ENOMEM,configure:2=EINVAL");
    const auto device = hl::test::open_sim();
    hl::Model model;
    model.name = "null";
    model.info.emplace();
    model.info->engine = "null";
    EXPECT_CODE(device->create_engine(model, {}), ErrorCode::MemoryFull);
    EXPECT_CODE(device->create_engine(model, {}), ErrorCode::ComputeMissing);
    auto engine = device->create_engine(model, {});
    ASSERT_OK(engine);
    const hl::FrameFormat format{.format = hl::PixelFormat::NV12, .width = 64, .height = 32};
    EXPECT_CODE((*engine)->configure(format), ErrorCode::MemoryFull);
    EXPECT_CODE((*engine)->configure(format), ErrorCode::FormatUnsupported);
    EXPECT_OK((*engine)->configure(format));
}

// The first of two requests stalls; `then` happens, after which both must have ended with `code`.
static void end_stalled(const std::function<void(Line &)> &then, ErrorCode code)
{
    const Setting faults("HL_SIM_FAULTS", "submit:1=stall");
    Line line;
    ASSERT_OK(line.submit(1));
    ASSERT_OK(line.submit(2));
    EXPECT_EQ(line.fake->pending(), 0u);
    then(line);
    for (const auto &end : line.ends.wait(2))
        EXPECT_CODE(end.status, code);
    EXPECT_EQ(line.fake->pending(), 0u);
}

TEST(SimEngine, AStalledRequestEndsWithTheLoss)
{
    end_stalled([](Line &line) { hl::sim::lose(*line.device); }, ErrorCode::DeviceLost);
}

TEST(SimEngine, ClosingEndsAStalledRequest)
{
    end_stalled([](Line &line) { line.engine.reset(); }, ErrorCode::Cancelled);
}

TEST(SimEngine, ComputeTimeIsSerialAndALowerBound)
{
    const Setting compute("HL_SIM_COMPUTE_US", "5000");
    Line line(true);
    EXPECT_EQ(line.engine->info().callers, 1u);
    const std::array<hl::InferRequest, 3> three{line.request(1), line.request(2), line.request(3)};
    ASSERT_OK(line.engine->submit(three, line.ends));
    const auto ends = line.ends.wait(3);
    for (size_t i = 0; i < 3; ++i) {
        EXPECT_EQ(ends[i].id, i + 1);
        EXPECT_OK(ends[i].status);
        EXPECT_GE(ends[i].finished - ends[i].started, 5ms);
        if (i > 0) {
            EXPECT_GE(ends[i].started, ends[i - 1].finished);
        }
    }
}

TEST(SimEngine, LossCutsComputeTimeShort)
{
    const Setting compute("HL_SIM_COMPUTE_US", "3600000000"); // an hour
    Line line;
    ASSERT_OK(line.submit());
    line.fake->finish();
    hl::sim::lose(*line.device);
    EXPECT_CODE(line.ends.wait(1)[0].status, ErrorCode::DeviceLost);
}

// The inner engine must outlive its requests, also where the last user lets go early or from inside a completion.
TEST(SimEngine, OutlivesItsUserWhileRequestsRun)
{
    Line line;
    bool destroyed = false;
    FakeEngine &fake = *line.fake;
    fake.on_destruction = [&] { destroyed = true; };
    auto keep = line.fake; // finish() is called on it
    line.fake.reset();
    ASSERT_OK(line.submit());
    line.engine.reset();
    keep->finish();
    EXPECT_OK(line.ends.wait(1)[0].status);
    EXPECT_FALSE(destroyed);
    keep.reset();
    EXPECT_TRUE(destroyed);
}

TEST(SimEngine, MayDieInAListener)
{
    const Setting compute("HL_SIM_COMPUTE_US", "1");
    for (const bool with_worker : {false, true}) {
        const Setting none("HL_SIM_COMPUTE_US", with_worker ? "1" : "0");
        Line line(true);
        class Last final : public hl::CompletionListener {
        public:
            explicit Last(Line &owner) : line(owner) {}
            void completed(hl::Completion completion) noexcept override
            {
                line.engine.reset();
                waiter.completed(std::move(completion));
            }
            Line &line;
            hl::CompletionWaiter waiter;
        } last(line);
        const auto engine = line.engine.get();
        const auto one = line.request();
        if (with_worker) {
            ASSERT_OK(engine->submit({&one, 1}, last));
        } else {
            // Within submit() the caller's own reference keeps the engine.
            const auto held = line.engine;
            ASSERT_OK(held->submit({&one, 1}, last));
        }
        const auto status = *last.waiter.wait();
        EXPECT_OK(status);
    }
}

// Else exit() tears down what the inner engine calls (ONNX Runtime) while the completion's thread lets go of it.
TEST(SimEngineExit, WaitsForACompletionThatLetsGoOfTheEngine)
{
    static std::atomic<bool> letting_go;
    static std::promise<void> delivered, dropped, never;
    struct Blocker final : hl::CompletionListener {
        void completed(hl::Completion) noexcept override
        {
            delivered.set_value();
            dropped.get_future().wait();
        }
    };
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto drop_and_exit = [] {
        // Runs last, where a library's static objects go.
        std::atexit([] {
            if (letting_go)
                ::_exit(3);
        });
        Line line;
        line.fake->on_destruction = [] {
            never.get_future().wait_for(300ms); // ample time to exit meanwhile
            letting_go = false;
        };
        static Blocker blocker;
        const auto one = line.request();
        if (!line.engine->submit({&one, 1}, blocker))
            ::_exit(4);
        std::thread([fake = line.fake.get()] { (void)fake->finish(); }).detach();
        delivered.get_future().wait();
        letting_go = true;
        line.fake.reset();
        line.engine.reset(); // the completion has the last reference now
        dropped.set_value();
        std::exit(0);
    };
    EXPECT_EXIT(drop_and_exit(), testing::ExitedWithCode(0), "");
}

TEST(SimResolver, ReachesBothPlacements)
{
    const auto device = hl::test::open_sim();
    hl::test::Owned host(device, 8192, Placement::Host), hbm(device, 8192, Placement::Device);
    hl::test::fill(device, *host, 4);
    ASSERT_OK(hl::test::copy(device, *host, *hbm, 8192));
    const auto resolver = hl::sim::make_sim_resolver(static_cast<hl::sim::SimDevice &>(*device).chip());
    EXPECT_TRUE(resolver->reaches(Placement::Device));
    EXPECT_TRUE(resolver->reaches(Placement::Host));
    const auto device_bytes = resolver->resolve(hbm->part(4096, 4096));
    ASSERT_OK(device_bytes);
    EXPECT_EQ((*device_bytes)[9], hl::test::pattern(4, 4096 + 9));
    const auto host_bytes = resolver->resolve(*host);
    ASSERT_OK(host_bytes);
    EXPECT_EQ(host_bytes->data(), device->host_span(*host)->data());
    EXPECT_CODE(resolver->resolve(hbm->part(4096, 8192)), ErrorCode::MemoryRange);
    hl::sim::lose(*device);
    EXPECT_CODE(resolver->resolve(*hbm), ErrorCode::MemoryStale);
}
