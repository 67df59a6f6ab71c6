// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "gsthlptr.h"
#include "inference/scheduler.h"

#include <gst/gst.h>

#include <chrono>
#include <condition_variable>
#include <cstdint>
#include <expected>
#include <memory>
#include <mutex>
#include <vector>

// What flows from hlinfer's sink pad to its source pad, in order: frames that are ready, frames whose inference is under
// way, serialized events, and the error that ends the stream. Fixed storage. Three parties: the sink pad's streaming
// thread fills it, the source pad's task empties it, the device's side reports.
//
// A frame under inference belongs to its Request alone, until it is reported; a request that was given up (flush, stop)
// keeps frame and output memory, and this queue, until the hardware has let go.
class GstHlInferQueue final : public hl::JobListener, public std::enable_shared_from_this<GstHlInferQueue> {
public:
    struct Request {
        std::shared_ptr<GstHlInferQueue> queue; // set while in use
        GstPtr<GstBuffer> frame;
        GstPtr<GstBuffer> output;
        uint64_t number = 0;
        hl::Deadline deadline = hl::no_deadline;
    };

    struct Item {
        enum class Kind : uint8_t { Frame, Event, Error };
        Kind kind = Kind::Frame;
        bool ready = false;
        bool inferred = false;
        GstPtr<GstBuffer> frame;
        GstPtr<GstBuffer> output;
        GstPtr<GstEvent> event;
        Request *request = nullptr; // while not ready
        std::unique_ptr<hl::Error> error;
        hl::Clock::time_point entered; // when the sink pad got it
        hl::JobTimes times;
    };

    // At most `in_flight` requests are out, of which the device works on `at_once`, and most_frames() frames are in
    // line. A request not reported within `timeout` (0: for ever) ends the stream.
    [[nodiscard]] static std::shared_ptr<GstHlInferQueue> create(unsigned in_flight, unsigned at_once,
                                                                 std::chrono::nanoseconds timeout);

    // Frames held at most with so many requests: those out and a few that are ready and wait for the task, so that the
    // device is not idle while it wakes.
    [[nodiscard]] static constexpr unsigned most_frames(unsigned in_flight)
    {
        return in_flight + (in_flight < 6 ? 3 : in_flight / 2);
    }

    // ---- sink pad's streaming thread ----

    // Takes the next place for a frame that needs no inference. Waits for room.
    [[nodiscard]] GstFlowReturn push_frame(GstPtr<GstBuffer> frame, hl::Clock::time_point entered);
    // Takes the next place for a frame and a request to infer on it. Waits for both. The request is then submitted with
    // its number as id, its deadline, and release_request as owner's release, or given to fail().
    [[nodiscard]] std::expected<Request *, GstFlowReturn> push_request(GstPtr<GstBuffer> frame,
                                                                       hl::Clock::time_point entered);
    // The request could not be submitted: the stream ends with this error when its turn has come.
    void fail(Request *request, hl::Error error);
    // FALSE where the stream has ended.
    [[nodiscard]] bool push_event(GstPtr<GstEvent> event);
    // Waits until no request is out. FALSE where the stream ended meanwhile.
    [[nodiscard]] bool wait_requests();
    // Waits until everything was pushed downstream. FALSE where the stream ended meanwhile.
    [[nodiscard]] bool wait_empty();

    // ---- source pad's task ----

    // Waits until the oldest item is ready and moves it out. FALSE: the stream has ended, pause. A request past its
    // deadline comes out as an Error item.
    [[nodiscard]] bool pop(Item &item);
    // What became of the item popped last; anything but OK ends the stream, EOS for frames only.
    void popped(GstFlowReturn result);
    // A new segment after downstream said EOS.
    void resume_after_eos();

    // ---- any thread ----

    [[nodiscard]] GstFlowReturn flow() const;
    void start();
    // Ends the stream and wakes everyone.
    void stop(GstFlowReturn why);
    // Ends the stream for good, until the queue is replaced. TRUE for the first caller, who tells the user.
    [[nodiscard]] bool stop_with_error();
    // Drops what is queued. Requests that are out must have been detached from their scheduler. Returns the sticky
    // events that a flush must not lose.
    std::vector<GstPtr<GstEvent>> clear();

    static void release_request(void *request) noexcept;
    void job_finished(hl::JobResult result) noexcept override;

private:
    enum class Waiting : uint8_t { Nobody, FrameRoom, RequestRoom, EventRoom, NoRequests, Empty };
    // How the task sleeps: woken by the oldest frame, or for a bounded time, by which several are ready.
    enum class TaskSleep : uint8_t { Awake, UntilReady, Coalescing };

    GstHlInferQueue(unsigned in_flight, unsigned at_once, std::chrono::nanoseconds timeout);
    Item &at(uint64_t number) { return items_[number % items_.size()]; }
    [[nodiscard]] Item *find_pending(uint64_t number);
    [[nodiscard]] bool ended() const { return flow_ != GST_FLOW_OK && flow_ != GST_FLOW_EOS; }
    [[nodiscard]] bool met(Waiting what) const;
    [[nodiscard]] bool worth_waking(Waiting what) const;
    [[nodiscard]] bool head_ready() const { return head_ != tail_ && items_[head_ % items_.size()].ready; }
    [[nodiscard]] bool may_coalesce() const;
    bool wait(std::unique_lock<std::mutex> &lock, Waiting what);
    [[nodiscard]] bool worth_waking_task() const;
    void unlock_and_wake(std::unique_lock<std::mutex> &lock);
    Item &append(Item::Kind kind);

    [[nodiscard]] hl::Deadline deadline_from(hl::Clock::time_point start) const;
    void coalesce(std::unique_lock<std::mutex> &lock);
    [[nodiscard]] bool head_is_late(std::unique_lock<std::mutex> &lock);

    const unsigned most_frames_;
    const unsigned batch_; // frames, or places for requests, that are worth a wake-up on their own
    const std::chrono::nanoseconds timeout_;
    std::vector<std::unique_ptr<Request>> requests_;

    mutable std::mutex mutex_; // guards all below; nothing is called with it held
    std::condition_variable task_;
    std::condition_variable stream_;
    std::vector<Request *> free_;
    std::vector<Item> items_; // a ring: numbers head_ to tail_ - 1
    uint64_t head_ = 0;
    uint64_t tail_ = 0;
    unsigned frames_ = 0;  // Frame items in the ring
    unsigned pending_ = 0; // of these, not ready
    bool pushing_ = false; // the task holds an item
    TaskSleep task_sleeps_ = TaskSleep::Awake;
    hl::Clock::time_point last_finished_;  // when the device was done with the frame taken last
    hl::Clock::time_point slept_finished_; // the same when the task last went to sleep
    unsigned since_sleep_ = 0;             // frames taken since, of those inferred
    bool failed_ = false;
    Waiting stream_waits_ = Waiting::Nobody;
    GstFlowReturn flow_ = GST_FLOW_FLUSHING;
};
