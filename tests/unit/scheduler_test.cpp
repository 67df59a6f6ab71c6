// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/scheduler.h"
#include "manualdevice.h"

#include <gtest/gtest.h>

#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <functional>
#include <future>
#include <mutex>
#include <new>
#include <thread>
#include <vector>

namespace {

using hl::CopyKind;
using hl::ErrorCode;
using hl::Placement;
using hl::test::FakeDevice;
using hl::test::FakeEngine;

thread_local bool count_allocations = false;
thread_local uint64_t allocations = 0;

struct Listener : hl::JobListener {
    void job_finished(hl::JobResult result) noexcept override
    {
        if (on_finish)
            on_finish(result);
        const std::lock_guard lock(mutex);
        if (keep)
            results.push_back(std::move(result));
        ++count;
    }
    std::function<void(const hl::JobResult &)> on_finish;
    std::mutex mutex;
    std::deque<hl::JobResult> results;
    size_t count = 0;
    bool keep = true;
};

struct Owner {
    std::atomic<int> released{0};
    static void release(void *self) noexcept { static_cast<Owner *>(self)->released.fetch_add(1); }
};

constexpr hl::FrameFormat nv12{.format = hl::PixelFormat::NV12, .width = 6, .height = 4};

class SchedulerTest : public testing::Test {
protected:
    void make(bool reads_device, bool reads_host, unsigned in_flight = 2)
    {
        engine->info_.reads_device = reads_device;
        engine->info_.reads_host = reads_host;
        auto made = hl::Scheduler::create(device, engine, {.in_flight = in_flight}, counters);
        ASSERT_TRUE(made);
        scheduler = *made;
        ASSERT_TRUE(scheduler->configure(nv12));
        frame = hl::layout_in(nv12, {device->id(), 1, 1000, 0, 4096, Placement::Host}, hl::packed_placement(nv12));
    }
    hl::FrameLayout on_device() const
    {
        auto out = frame;
        for (auto &plane : out.plane)
            plane.memory.placement = Placement::Device;
        return out;
    }
    hl::Job job(uint64_t id, const hl::FrameLayout &layout, Owner *owner = nullptr)
    {
        return {.id = id, .frame = &layout, .owner = owner, .release_owner = owner ? Owner::release : nullptr};
    }

    std::shared_ptr<FakeDevice> device = std::make_shared<FakeDevice>();
    std::shared_ptr<FakeEngine> engine = std::make_shared<FakeEngine>();
    std::shared_ptr<hl::CopyCounters> counters = std::make_shared<hl::CopyCounters>();
    std::shared_ptr<hl::Scheduler> scheduler;
    hl::FrameLayout frame;
    Listener listener;
};

} // namespace

// Counts what this thread asks of the heap while told to; everything else goes straight on. Not inlined, so that GCC
// pairs new with delete and not with free().
[[gnu::noinline]] void *operator new(size_t size)
{
    if (count_allocations)
        ++allocations;
    if (void *p = std::malloc(size))
        return p;
    throw std::bad_alloc();
}
[[gnu::noinline]] void *operator new(size_t size, const std::nothrow_t &) noexcept
{
    return std::malloc(size);
}
[[gnu::noinline]] void operator delete(void *p) noexcept
{
    std::free(p);
}
[[gnu::noinline]] void operator delete(void *p, size_t) noexcept
{
    std::free(p);
}

TEST_F(SchedulerTest, BindsInPlaceWhereTheEngineReads)
{
    make(true, false);
    const auto layout = on_device();
    ASSERT_TRUE(scheduler->submit(job(7, layout), listener));
    EXPECT_EQ(device->copies.size(), 0u);
    ASSERT_EQ(engine->requests_seen.size(), 1u);
    EXPECT_EQ(engine->requests_seen.at(0).frame.plane[1].memory, layout.plane[1].memory);
    engine->requests_seen.complete(0);
    ASSERT_EQ(listener.results.size(), 1u);
    EXPECT_EQ(listener.results[0].id, 7u);
    EXPECT_TRUE(listener.results[0].status);
    for (size_t k = 0; k < hl::copy_kinds; ++k)
        EXPECT_EQ(counters->totals().kind[k].count, 0u);
}

TEST_F(SchedulerTest, UploadsHostFramesForAnEngineThatReadsTheDevice)
{
    make(true, false);
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    EXPECT_EQ(engine->requests_seen.size(), 0u);
    ASSERT_EQ(device->copies.size(), 1u);
    const auto copy = device->copies.at(0);
    ASSERT_EQ(copy.regions, 2u);
    // Same strides on both sides: one run per plane. 6 pixels of luma have a stride of 8.
    EXPECT_EQ(copy.region[0].rows, 1u);
    EXPECT_EQ(copy.region[0].row_bytes, 8u * 3 + 6);
    EXPECT_EQ(copy.region[1].source_offset, 32u);
    EXPECT_EQ(copy.region[0].target.placement, Placement::Device);
    EXPECT_EQ(counters->totals()[CopyKind::Upload].count, 0u) << "counted before it was made";
    device->copies.complete(0);
    EXPECT_EQ(counters->totals()[CopyKind::Upload].count, 1u);
    EXPECT_EQ(counters->totals()[CopyKind::Upload].bytes, 36u);
    ASSERT_EQ(engine->requests_seen.size(), 1u);
    EXPECT_EQ(engine->requests_seen.at(0).frame.placement(), Placement::Device);
    EXPECT_TRUE(listener.results.empty());
    engine->requests_seen.complete(0);
    EXPECT_EQ(listener.results.size(), 1u);
}

TEST_F(SchedulerTest, OtherStridesAreCopiedRowByRow)
{
    make(true, false);
    frame = hl::layout_in(nv12, frame.plane[0].memory, hl::packed_placement(nv12, 64));
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    const auto copy = device->copies.at(0);
    EXPECT_EQ(copy.region[0].rows, 4u);
    EXPECT_EQ(copy.region[0].row_bytes, 6u);
    EXPECT_EQ(copy.region[0].source_stride, 64u);
    EXPECT_EQ(copy.region[0].target_stride, 8u);
    device->copies.complete(0);
    engine->requests_seen.complete(0);
}

TEST_F(SchedulerTest, ReadsBackDeviceFramesForAHostEngine)
{
    make(false, true);
    const auto layout = on_device();
    ASSERT_TRUE(scheduler->submit(job(1, layout), listener));
    device->copies.complete(0);
    EXPECT_EQ(counters->totals()[CopyKind::ReadBack].bytes, 36u);
    EXPECT_EQ(counters->totals()[CopyKind::Upload].count, 0u);
    EXPECT_EQ(engine->requests_seen.at(0).frame.placement(), Placement::Host);
    engine->requests_seen.complete(0);
}

TEST_F(SchedulerTest, CopiesForeignFramesBeforeItReturns)
{
    for (const bool reads_host : {true, false}) {
        counters->reset();
        engine->requests_seen.clear();
        device->copies.clear();
        make(!reads_host, reads_host);
        std::vector<std::byte> luma(10 * 4), chroma(12 * 2);
        for (size_t i = 0; i < luma.size(); ++i)
            luma[i] = static_cast<std::byte>(i);
        for (size_t i = 0; i < chroma.size(); ++i)
            chroma[i] = static_cast<std::byte>(100 + i);
        const hl::FrameView view{nv12, {luma.data(), chroma.data()}, {10, 12}};
        ASSERT_TRUE(scheduler->submit({.id = 1, .foreign = &view}, listener));
        EXPECT_EQ(counters->totals()[CopyKind::CpuCopy].bytes, 36u);
        const hl::Memory copied = reads_host ? engine->requests_seen.at(0).frame.plane[0].memory
                                             : device->copies.at(0).region[0].source;
        const auto bytes = *device->host_span(copied);
        for (size_t y = 0; y < 4; ++y)
            EXPECT_EQ(std::memcmp(&bytes[y * 8], &luma[y * 10], 6), 0) << "luma row " << y;
        for (size_t y = 0; y < 2; ++y)
            EXPECT_EQ(std::memcmp(&bytes[32 + y * 8], &chroma[y * 12], 6), 0) << "chroma row " << y;
        if (!reads_host)
            device->copies.complete(0);
        EXPECT_EQ(counters->totals()[CopyKind::Upload].count, reads_host ? 0u : 1u);
        engine->requests_seen.complete(0);
        scheduler.reset();
    }
}

TEST_F(SchedulerTest, FlushesInboundWritesOfDeviceFramesOnly)
{
    make(true, true);
    const auto layout = on_device();
    auto p2p = job(1, layout);
    p2p.inbound_writes = true;
    ASSERT_TRUE(scheduler->submit(p2p, listener));
    EXPECT_EQ(device->flushes, 1);
    auto host = job(2, frame);
    host.inbound_writes = true;
    ASSERT_TRUE(scheduler->submit(host, listener));
    EXPECT_EQ(device->flushes, 1);
    engine->requests_seen.complete(0);
    engine->requests_seen.complete(1);
}

TEST_F(SchedulerTest, AnEngineThatReadsNothingCostsNothing)
{
    engine->info_.input = hl::InputKind::Nothing;
    make(false, false);
    ASSERT_TRUE(scheduler->submit({.id = 3}, listener));
    EXPECT_EQ(device->copies.size(), 0u);
    EXPECT_EQ(device->live(), 0u);
    engine->requests_seen.complete(0);
    EXPECT_EQ(listener.results.size(), 1u);
}

TEST_F(SchedulerTest, RefusesMoreThanItsLimitAndTellsWhenThereIsRoom)
{
    make(false, true, 2);
    EXPECT_EQ(scheduler->in_flight_limit(), 2u);
    Owner refused;
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    EXPECT_FALSE(scheduler->full());
    ASSERT_TRUE(scheduler->submit(job(2, frame), listener));
    EXPECT_TRUE(scheduler->full());
    const auto third = scheduler->submit(job(3, frame, &refused), listener);
    ASSERT_FALSE(third);
    EXPECT_EQ(third.error().code, ErrorCode::QueueFull);
    EXPECT_EQ(refused.released, 0) << "the owner of a refused job stays the caller's";

    bool room = false;
    listener.on_finish = [&](const hl::JobResult &) { room = !scheduler->full(); };
    engine->requests_seen.complete(1);
    EXPECT_TRUE(room) << "a listener that is told of the end must find room";
    engine->requests_seen.complete(0);
}

TEST_F(SchedulerTest, OwnerIsReleasedOnceAndAfterTheReport)
{
    make(false, true);
    Owner owner;
    int released_at_report = -1;
    listener.on_finish = [&](const hl::JobResult &) { released_at_report = owner.released; };
    ASSERT_TRUE(scheduler->submit(job(1, frame, &owner), listener));
    EXPECT_EQ(owner.released, 0);
    engine->requests_seen.complete(0);
    EXPECT_EQ(released_at_report, 0);
    EXPECT_EQ(owner.released, 1);
}

TEST_F(SchedulerTest, DetachSilencesJobsAndKeepsTheirMemory)
{
    make(true, false);
    Owner transferring, running;
    const auto layout = on_device();
    ASSERT_TRUE(scheduler->submit(job(1, frame, &transferring), listener));
    ASSERT_TRUE(scheduler->submit(job(2, layout, &running), listener));
    const size_t live = device->live();
    scheduler->detach_all();
    EXPECT_TRUE(scheduler->full()) << "detached jobs still hold their slots";
    EXPECT_EQ(device->live(), live);
    EXPECT_EQ(transferring.released + running.released, 0);

    device->copies.complete(0);
    EXPECT_EQ(engine->requests_seen.size(), 1u) << "nobody waits for this job any more: it must not be computed";
    EXPECT_EQ(transferring.released, 1);
    engine->requests_seen.complete(0);
    EXPECT_EQ(running.released, 1);
    EXPECT_EQ(listener.count, 0u);
    EXPECT_FALSE(scheduler->full());
}

TEST_F(SchedulerTest, OutlivesItsStreamUntilTheHardwareIsDone)
{
    make(true, false);
    Owner owner;
    ASSERT_TRUE(scheduler->submit(job(1, frame, &owner), listener));
    std::promise<std::thread::id> destroyed;
    auto destroyed_on = destroyed.get_future();
    engine->destroyed = &destroyed;
    engine.reset();
    scheduler.reset();
    EXPECT_EQ(device->live(), 1u) << "staging memory went while the DMA was writing it";
    EXPECT_EQ(owner.released, 0);

    // The hardware's thread must not be the one that drops the last reference to its own engine.
    device->copies.complete(0);
    EXPECT_EQ(owner.released, 1);
    EXPECT_NE(destroyed_on.get(), std::this_thread::get_id());
}

// What the engine calls (ONNX Runtime) must not be torn down by exit() while the last jobs of a stream still use it.
TEST_F(SchedulerTest, AProcessThatExitsWaitsForTheLastJobs)
{
    static FakeDevice *copying;
    static std::promise<std::thread::id> destroyed;
    static std::future<std::thread::id> destroyed_on;
    GTEST_FLAG_SET(death_test_style, "threadsafe");
    const auto stop_and_exit = [this] {
        destroyed_on = destroyed.get_future();
        // Runs last, where a library's static objects go.
        std::atexit([] {
            if (destroyed_on.wait_for(std::chrono::seconds(0)) != std::future_status::ready)
                ::_exit(3);
        });
        make(true, false);
        copying = device.get();
        engine->destroyed = &destroyed;
        Owner owner;
        if (!scheduler->submit(job(1, frame, &owner), listener))
            ::_exit(4);
        engine.reset();
        scheduler.reset();
        // Runs first: the job ends when the process is already on its way out.
        std::atexit([] { copying->copies.complete(0); });
        std::exit(0);
    };
    EXPECT_EXIT(stop_and_exit(), testing::ExitedWithCode(0), "");
}

TEST_F(SchedulerTest, DetachWaitsForAReportUnderWay)
{
    make(false, true);
    std::promise<void> entered, leave;
    std::atomic<bool> left = false;
    listener.on_finish = [&](const hl::JobResult &) {
        entered.set_value();
        leave.get_future().wait();
        left = true;
    };
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    std::thread hardware([&] { engine->requests_seen.complete(0); });
    entered.get_future().wait();
    std::promise<void> detached;
    std::thread stream([&] {
        scheduler->detach_all();
        EXPECT_TRUE(left);
        detached.set_value();
    });
    leave.set_value();
    detached.get_future().wait();
    hardware.join();
    stream.join();
}

TEST_F(SchedulerTest, AListenerMayDetachAndSubmit)
{
    make(false, true);
    listener.on_finish = [&](const hl::JobResult &result) {
        scheduler->detach_all();
        if (result.id == 1) {
            EXPECT_TRUE(scheduler->submit(job(2, frame), listener));
        }
    };
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    engine->requests_seen.complete(0);
    EXPECT_EQ(engine->requests_seen.size(), 2u);
    engine->requests_seen.complete(1);
    EXPECT_EQ(listener.count, 2u);
}

TEST_F(SchedulerTest, CompletionsMayComeFromWithinSubmit)
{
    make(false, true, 1);
    engine->inline_completion = true;
    Owner owner;
    for (uint64_t i = 0; i < 3; ++i)
        ASSERT_TRUE(scheduler->submit(job(i, frame, &owner), listener));
    EXPECT_EQ(listener.count, 3u);
    EXPECT_EQ(owner.released, 3);
}

TEST_F(SchedulerTest, RefusalsOfEachStageLeaveTheSlotFree)
{
    make(true, false, 1);
    Owner owner;
    device->allocate_fails = true;
    auto status = scheduler->submit(job(1, frame, &owner), listener);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::MemoryFull);
    device->allocate_fails = false;

    device->submit_fails = true;
    status = scheduler->submit(job(1, frame, &owner), listener);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::CopyFailed);
    device->submit_fails = false;

    engine->submit_fails = true;
    const auto layout = on_device();
    status = scheduler->submit(job(1, layout, &owner), listener);
    ASSERT_FALSE(status);
    EXPECT_EQ(status.error().code, ErrorCode::SubmitFailed);
    EXPECT_EQ(owner.released, 0);

    // Refused by the engine only after the DMA: now it is a report.
    ASSERT_TRUE(scheduler->submit(job(2, frame, &owner), listener));
    device->copies.complete(0);
    ASSERT_EQ(listener.results.size(), 1u);
    EXPECT_EQ(listener.results[0].status.error().code, ErrorCode::SubmitFailed);
    EXPECT_EQ(owner.released, 1);
    engine->submit_fails = false;
    EXPECT_FALSE(scheduler->full());
}

TEST_F(SchedulerTest, AFailedTransferIsReportedAndNotCounted)
{
    make(true, false);
    Owner owner;
    ASSERT_TRUE(scheduler->submit(job(1, frame, &owner), listener));
    device->copies.complete(0, hl::fail(ErrorCode::DeviceLost, "copy", "gone"));
    ASSERT_EQ(listener.results.size(), 1u);
    EXPECT_EQ(listener.results[0].status.error().code, ErrorCode::DeviceLost);
    EXPECT_EQ(engine->requests_seen.size(), 0u);
    EXPECT_EQ(counters->totals()[CopyKind::Upload].count, 0u);
    EXPECT_EQ(owner.released, 1);
}

TEST_F(SchedulerTest, FormatIsNeededAndMustNotChangeUnderJobs)
{
    engine->info_.reads_host = true;
    auto fresh = *hl::Scheduler::create(device, engine, {}, counters);
    auto early = fresh->submit(job(1, frame), listener);
    ASSERT_FALSE(early);
    EXPECT_EQ(early.error().code, ErrorCode::FormatMissing);

    make(false, true);
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    EXPECT_FALSE(scheduler->configure({.width = 8, .height = 8}));
    scheduler->detach_all();
    EXPECT_TRUE(scheduler->configure({.width = 8, .height = 8})) << "detached jobs do not matter";
    const auto other = scheduler->submit(job(2, frame), listener);
    ASSERT_FALSE(other);
    EXPECT_EQ(other.error().code, ErrorCode::FrameLayoutInvalid);
    engine->requests_seen.complete(0);
}

TEST_F(SchedulerTest, StagingGrowsWithTheFormatAndNotUnderADetachedJob)
{
    make(true, false, 1);
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    scheduler->detach_all();
    const hl::FrameFormat big{.format = hl::PixelFormat::NV12, .width = 64, .height = 64};
    ASSERT_TRUE(scheduler->configure(big));
    EXPECT_EQ(device->live(), 1u);
    device->copies.complete(0);
    const auto large = hl::layout_in(big, {device->id(), 1, 1000, 0, 8192, Placement::Host}, hl::packed_placement(big));
    ASSERT_TRUE(scheduler->submit(job(2, large), listener));
    EXPECT_EQ(device->live(), 1u) << "the small staging memory stayed behind";
    EXPECT_GE(device->copies.at(1).region[0].target.size, 64u * 64 * 3 / 2);
    device->copies.complete(1);
    engine->requests_seen.complete(0);
}

TEST_F(SchedulerTest, TimesOfEachStageAreInOrder)
{
    make(true, false);
    ASSERT_TRUE(scheduler->submit(job(1, frame), listener));
    const auto base = hl::Clock::now();
    const auto ms = [&](int n) { return base + std::chrono::milliseconds(n); };
    device->copies.complete(0, {}, ms(1), ms(2));
    engine->requests_seen.complete(0, {}, ms(3), ms(5));
    const auto &times = listener.results.at(0).times;
    EXPECT_LE(times.submitted, times.copied);
    EXPECT_EQ(times.transferred, ms(2));
    EXPECT_EQ(times.started, ms(3));
    EXPECT_EQ(times.finished, ms(5));
}

TEST_F(SchedulerTest, SteadyStateDoesNotTouchTheHeap)
{
    make(true, false, 2);
    listener.keep = false;
    Owner owner;
    const auto round = [&] {
        device->copies.clear();
        engine->requests_seen.clear();
        ASSERT_TRUE(scheduler->submit(job(1, frame, &owner), listener));
        ASSERT_TRUE(scheduler->submit(job(2, frame, &owner), listener));
        device->copies.complete(1);
        device->copies.complete(0);
        engine->requests_seen.complete(0);
        engine->requests_seen.complete(1);
    };
    round();
    allocations = 0;
    count_allocations = true;
    for (int i = 0; i < 10; ++i)
        round();
    count_allocations = false;
    EXPECT_EQ(allocations, 0u);
    EXPECT_EQ(listener.count, 22u);
}

// For ThreadSanitizer: submissions, completions on two threads, and detaching, all at once.
TEST_F(SchedulerTest, SurvivesConcurrentUse)
{
    make(true, false, 4);
    listener.keep = false;
    std::atomic<bool> stop = false;
    std::atomic<int> accepted{0};
    Owner owner;

    // Each "engine" thread completes what its side accepted, once each.
    const auto serve = [&](auto &pending) {
        for (size_t next = 0; next < 48;) {
            if (next < pending.size())
                pending.complete(next++);
            else if (stop)
                return;
            else
                std::this_thread::yield();
        }
    };
    std::thread dma([&] { serve(device->copies); });
    std::thread compute([&] { serve(engine->requests_seen); });
    std::thread detacher([&] {
        for (int i = 0; i < 20; ++i) {
            scheduler->detach_all();
            std::this_thread::yield();
        }
    });
    while (accepted < 48) {
        if (scheduler->submit(job(static_cast<uint64_t>(accepted.load()), frame, &owner), listener))
            ++accepted;
        else
            std::this_thread::yield();
    }
    dma.join();
    detacher.join();
    stop = true;
    compute.join();
    scheduler.reset();
    EXPECT_EQ(owner.released, 48);
    EXPECT_LE(listener.count, 48u);
}
