// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferqueue.h"

#include "sleeper.h"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <future>
#include <optional>
#include <string>
#include <thread>
#include <vector>

namespace {

using Queue = GstHlInferQueue;
using namespace std::chrono_literals;
using hltest::Sleeper;

class InferQueueTest : public testing::Test {
protected:
    static void SetUpTestSuite() { gst_init(nullptr, nullptr); }

    static GstPtr<GstBuffer> frame(guint64 n)
    {
        GstBuffer *const buffer = gst_buffer_new();
        GST_BUFFER_OFFSET(buffer) = n;
        return GstPtr<GstBuffer>::adopt(buffer);
    }
    Queue::Request *request(guint64 n)
    {
        auto made = queue->push_request(frame(n), hl::Clock::now());
        EXPECT_TRUE(made);
        return made ? *made : nullptr;
    }
    // What the scheduler does at the end of a job.
    void finish(Queue::Request *r, hl::Status status = {}, std::chrono::microseconds when = 0us)
    {
        queue->job_finished(
            {.id = r->number, .status = std::move(status), .times = {.finished = hl::Clock::time_point(when)}});
        Queue::release_request(r);
    }
    guint64 pop()
    {
        Queue::Item item;
        EXPECT_TRUE(queue->pop(item));
        queue->popped(GST_FLOW_OK);
        return item.frame ? GST_BUFFER_OFFSET(item.frame.get()) : 9999;
    }

    // Ten requests are out, of which the device works on two, and the sink pad's thread waits for a place.
    void saturate()
    {
        make(10, 0ns, 2);
        out.reserve(11);
        for (guint64 i = 0; i < 10; ++i)
            out.push_back(request(i));
        sink_pad.emplace([this] { out.push_back(request(10)); });
        sink_pad->wait_asleep();
    }

    // Finishes those from `first` on: with the fifth, the sink pad's thread gets its place.
    void finish_from(size_t first)
    {
        while (first < 5)
            finish(out[first++]);
        sink_pad->join();
        while (first < out.size())
            finish(out[first++]);
    }

    // The first two frames, which the device finished so long one after the other.
    void take_two(std::chrono::microseconds apart)
    {
        finish(out[0], {}, apart);
        finish(out[1], {}, 2 * apart);
        EXPECT_EQ(pop(), 0u);
        EXPECT_EQ(pop(), 1u);
    }

    // That the task, asleep in take(), is awake when cause() returns.
    static void expect_woken(const std::function<void()> &take, const std::function<void()> &cause)
    {
        std::atomic<bool> waits = true;
        Sleeper task([&] {
            take();
            waits = false;
        });
        task.wait_asleep();
        cause();
        EXPECT_TRUE(!task.asleep() || !waits) << "not woken";
        task.join();
    }

    std::shared_ptr<Queue> make(unsigned in_flight, std::chrono::nanoseconds timeout = 0ns, unsigned at_once = 1)
    {
        queue = Queue::create(in_flight, at_once, timeout);
        queue->start();
        return queue;
    }
    std::shared_ptr<Queue> queue;
    std::vector<Queue::Request *> out; // in their order
    std::optional<Sleeper> sink_pad;
};

} // namespace

TEST_F(InferQueueTest, KeepsOrderWhenCompletionsComeBackwards)
{
    make(3);
    Queue::Request *const r0 = request(0), *const r1 = request(1), *const r2 = request(2);
    ASSERT_TRUE(queue->push_event(GstPtr<GstEvent>::adopt(gst_event_new_gap(0, 1))));
    ASSERT_EQ(queue->push_frame(frame(3), hl::Clock::now()), GST_FLOW_OK);
    finish(r2);
    finish(r1);
    auto first = std::async(std::launch::async, [&] { return pop(); });
    finish(r0);
    EXPECT_EQ(first.get(), 0u);
    EXPECT_EQ(pop(), 1u);
    EXPECT_EQ(pop(), 2u);
    Queue::Item item;
    ASSERT_TRUE(queue->pop(item));
    EXPECT_EQ(item.kind, Queue::Item::Kind::Event);
    queue->popped(GST_FLOW_OK);
    EXPECT_EQ(pop(), 3u);
}

TEST_F(InferQueueTest, AFrameHasOneOwnerAtATime)
{
    make(1);
    GstBuffer *const buffer = gst_buffer_new();
    auto r = queue->push_request(GstPtr<GstBuffer>::adopt(buffer), hl::Clock::now());
    ASSERT_TRUE(r);
    EXPECT_EQ(GST_MINI_OBJECT_REFCOUNT_VALUE(buffer), 1);
    finish(*r);
    Queue::Item item;
    ASSERT_TRUE(queue->pop(item));
    EXPECT_EQ(item.frame.get(), buffer);
    EXPECT_EQ(GST_MINI_OBJECT_REFCOUNT_VALUE(buffer), 1) << "not writable: its metas would need a copy";
}

TEST_F(InferQueueTest, WaitsForARequestAndAFlushEndsTheWait)
{
    make(1);
    Queue::Request *const r0 = request(0);
    auto blocked = std::async(std::launch::async, [&] { return queue->push_request(frame(1), hl::Clock::now()); });
    queue->stop(GST_FLOW_FLUSHING);
    const auto refused = blocked.get();
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error(), GST_FLOW_FLUSHING);
    queue->clear();
    queue->start();
    // The hardware still has the only request: the next frame waits for it.
    auto next = std::async(std::launch::async, [&] { return queue->push_request(frame(2), hl::Clock::now()); });
    queue->job_finished({.id = r0->number, .status = {}, .times = {}}); // late: nobody may see it
    Queue::release_request(r0);
    const auto taken = next.get();
    ASSERT_TRUE(taken);
    finish(*taken);
    EXPECT_EQ(pop(), 2u);
}

TEST_F(InferQueueTest, OutlivesItsElementWhileARequestIsOut)
{
    make(1);
    Queue::Request *const r = request(0);
    const std::weak_ptr<Queue> alive = queue;
    queue->stop(GST_FLOW_FLUSHING);
    queue->clear();
    queue.reset();
    ASSERT_FALSE(alive.expired());
    Queue::release_request(r);
    EXPECT_TRUE(alive.expired());
}

TEST_F(InferQueueTest, AnErrorComesInItsTurnAndIsToldOnce)
{
    make(2);
    Queue::Request *const r0 = request(0), *const r1 = request(1);
    finish(r1, hl::fail(hl::ErrorCode::RunFailed, "run", "broken"));
    finish(r0);
    EXPECT_EQ(pop(), 0u);
    Queue::Item item;
    ASSERT_TRUE(queue->pop(item));
    ASSERT_EQ(item.kind, Queue::Item::Kind::Error);
    EXPECT_EQ(item.error->code, hl::ErrorCode::RunFailed);
    EXPECT_TRUE(queue->stop_with_error());
    EXPECT_FALSE(queue->stop_with_error());
    EXPECT_FALSE(queue->pop(item));
    queue->start();
    EXPECT_EQ(queue->flow(), GST_FLOW_FLUSHING) << "an error lasts until READY";
}

TEST_F(InferQueueTest, ARequestPastItsDeadlineEndsTheStream)
{
    make(2, 20ms);
    Queue::Item item;
    // The task sleeps on an empty queue when the request comes, and is not woken for it.
    auto task = std::async(std::launch::async, [&] { return queue->pop(item); });
    Queue::Request *const r = request(0);
    ASSERT_TRUE(task.get());
    EXPECT_GE(hl::Clock::now(), r->deadline);
    ASSERT_EQ(item.kind, Queue::Item::Kind::Error);
    EXPECT_EQ(item.error->code, hl::ErrorCode::RunTimeout);
    queue->stop(GST_FLOW_FLUSHING);
    queue->clear();
    Queue::release_request(r);
}

TEST_F(InferQueueTest, EosFromDownstreamEndsFramesButNotEvents)
{
    make(2);
    ASSERT_EQ(queue->push_frame(frame(0), hl::Clock::now()), GST_FLOW_OK);
    Queue::Item item;
    ASSERT_TRUE(queue->pop(item));
    queue->popped(GST_FLOW_EOS);
    EXPECT_EQ(queue->push_frame(frame(1), hl::Clock::now()), GST_FLOW_EOS);
    ASSERT_TRUE(queue->push_event(GstPtr<GstEvent>::adopt(gst_event_new_eos())));
    ASSERT_TRUE(queue->pop(item));
    queue->popped(GST_FLOW_OK);
    queue->resume_after_eos();
    EXPECT_EQ(queue->push_frame(frame(2), hl::Clock::now()), GST_FLOW_OK);
}

TEST_F(InferQueueTest, DrainingWaitsForTheFrameInTheTasksHands)
{
    make(2);
    ASSERT_EQ(queue->push_frame(frame(0), hl::Clock::now()), GST_FLOW_OK);
    Queue::Item item;
    ASSERT_TRUE(queue->pop(item));
    std::atomic<bool> pushed = false;
    auto drained = std::async(std::launch::async, [&] {
        EXPECT_TRUE(queue->wait_empty());
        EXPECT_TRUE(pushed);
    });
    pushed = true;
    queue->popped(GST_FLOW_OK);
    drained.get();
}

TEST_F(InferQueueTest, DownstreamsRefusalReachesTheWaitingSinkPad)
{
    make(1);
    for (unsigned i = 0; i < Queue::most_frames(1); ++i)
        ASSERT_EQ(queue->push_frame(frame(i), hl::Clock::now()), GST_FLOW_OK);
    auto blocked = std::async(std::launch::async, [&] { return queue->push_frame(frame(2), hl::Clock::now()); });
    Queue::Item item;
    ASSERT_TRUE(queue->pop(item));
    queue->popped(GST_FLOW_NOT_LINKED);
    EXPECT_NE(blocked.get(), GST_FLOW_ERROR);
    EXPECT_EQ(queue->push_frame(frame(3), hl::Clock::now()), GST_FLOW_NOT_LINKED);
    EXPECT_FALSE(queue->pop(item));
}

// A wake-up per frame takes the core from the engine's workers; while they have work, places are filled several at
// once.
TEST_F(InferQueueTest, TheSinkPadIsWokenForSeveralPlaces)
{
    saturate();
    for (size_t i = 0; i < 4; ++i) {
        finish(out[i]);
        EXPECT_TRUE(sink_pad->asleep()) << i;
    }
    finish_from(4);
    EXPECT_EQ(out.size(), 11u);
}

// With no more requests than the device works on at once, every free place counts.
TEST_F(InferQueueTest, TheSinkPadIsWokenForOnePlaceWhereTheDeviceWouldStarve)
{
    make(3, 0ns, 2);
    out = {request(0), request(1), request(2)};
    Sleeper waiting([&] { out.push_back(request(3)); });
    waiting.wait_asleep();
    finish(out[0]);
    waiting.join();
    for (size_t i = 1; i < out.size(); ++i)
        finish(out[i]);
}

// While upstream waits for the device and frames come fast, the task sleeps for a bounded time and takes what is there.
TEST_F(InferQueueTest, TheTaskTakesSeveralFramesOfASaturatedDevice)
{
    saturate();
    take_two(100us);
    hl::Clock::duration slept{};
    Sleeper task([&] {
        const auto begun = hl::Clock::now();
        EXPECT_EQ(pop(), 2u);
        slept = hl::Clock::now() - begun;
    });
    task.wait_asleep();
    finish(out[2]); // alone it wakes nobody, and nobody else follows
    task.join();
    EXPECT_GE(slept, 10ms);
    finish_from(3);
}

TEST_F(InferQueueTest, TheTaskIsWokenForAnErrorOfASaturatedDevice)
{
    saturate();
    take_two(100us);
    const auto take_error = [this] {
        Queue::Item item;
        EXPECT_TRUE(queue->pop(item));
        EXPECT_EQ(item.kind, Queue::Item::Kind::Error);
        queue->popped(GST_FLOW_OK);
    };
    expect_woken(take_error, [this] { finish(out[2], hl::fail(hl::ErrorCode::RunFailed, "run", "broken")); });
    finish_from(3);
}

TEST_F(InferQueueTest, TheTaskIsWokenForEachFrameOfASlowDevice)
{
    saturate();
    take_two(500us);
    expect_woken([this] { EXPECT_EQ(pop(), 2u); }, [this] { finish(out[2]); });
    finish_from(3);
}

// A live stream: upstream has nothing more to give, and each frame leaves when it is complete.
TEST_F(InferQueueTest, TheTaskIsWokenForEachFrameWhereUpstreamDoesNotWait)
{
    make(10, 0ns, 2);
    for (guint64 i = 0; i < 5; ++i)
        out.push_back(request(i));
    take_two(100us);
    expect_woken([this] { EXPECT_EQ(pop(), 2u); }, [this] { finish(out[2]); });
    finish(out[3]);
    finish(out[4]);
}
