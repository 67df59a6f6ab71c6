// SPDX-License-Identifier: LGPL-2.1-or-later
#include "gsthlinferqueue.h"

#include <algorithm>
#include <format>
#include <utility>

namespace {

// Serialized events that may wait in line before the sink pad's thread waits too.
constexpr size_t event_places = 32;

// A batch that comes within this time is worth waiting for, while upstream waits for the device anyway.
constexpr std::chrono::milliseconds batch_time{1};

// When to look again although the batch is not complete: the device may have stopped. Farther than the next tick of the
// kernel, so that going to sleep sets no clock: for 10,000 frames a second that took a twentieth of a virtual machine.
constexpr std::chrono::milliseconds batch_bound{10};

} // namespace

std::shared_ptr<GstHlInferQueue> GstHlInferQueue::create(unsigned in_flight, unsigned at_once,
                                                         std::chrono::nanoseconds timeout)
{
    return std::shared_ptr<GstHlInferQueue>(new GstHlInferQueue(in_flight, at_once, timeout));
}

GstHlInferQueue::GstHlInferQueue(unsigned in_flight, unsigned at_once, std::chrono::nanoseconds timeout)
    : most_frames_(most_frames(in_flight)), batch_(in_flight > at_once + 1 ? (in_flight - at_once) * 2 / 3 : 1),
      timeout_(timeout), items_(most_frames(in_flight) + event_places)
{
    requests_.reserve(in_flight);
    free_.reserve(in_flight);
    for (unsigned i = 0; i < in_flight; ++i)
        free_.push_back(requests_.emplace_back(std::make_unique<Request>()).get());
}

bool GstHlInferQueue::met(Waiting what) const
{
    const bool place = tail_ - head_ < items_.size();
    switch (what) {
    case Waiting::FrameRoom:
        return place && frames_ < most_frames_;
    case Waiting::RequestRoom:
        return place && frames_ < most_frames_ && !free_.empty();
    case Waiting::EventRoom:
        return place;
    case Waiting::NoRequests:
        return pending_ == 0;
    case Waiting::Empty:
        return head_ == tail_ && !pushing_;
    case Waiting::Nobody:
        break;
    }
    return false;
}

// The sink pad's stream lock lets one thread in here at a time.
bool GstHlInferQueue::wait(std::unique_lock<std::mutex> &lock, Waiting what)
{
    stream_waits_ = what;
    stream_.wait(lock, [this, what] { return ended() || met(what); });
    stream_waits_ = Waiting::Nobody;
    return !ended();
}

// A wake-up takes the core from who infers. Where more than half of the requests are out the device has work, and the
// sink pad's thread can fill several places at once a little later.
bool GstHlInferQueue::worth_waking(Waiting what) const
{
    if (what != Waiting::RequestRoom)
        return met(what);
    return met(what) && free_.size() >= batch_ && frames_ + batch_ <= most_frames_;
}

// Only the head's readiness is worth a wake-up; while the task coalesces, only that of several frames, or of an error.
bool GstHlInferQueue::worth_waking_task() const
{
    if (task_sleeps_ == TaskSleep::Awake || !head_ready())
        return false;
    return task_sleeps_ == TaskSleep::UntilReady || frames_ - pending_ >= batch_ ||
           items_[head_ % items_.size()].kind == Item::Kind::Error;
}

// Wakes after unlocking: who wakes on this core takes it at once, and would find the lock taken.
void GstHlInferQueue::unlock_and_wake(std::unique_lock<std::mutex> &lock)
{
    const bool task = worth_waking_task();
    const bool stream = worth_waking(stream_waits_);
    if (task)
        task_sleeps_ = TaskSleep::Awake;
    lock.unlock();
    if (task)
        task_.notify_one();
    if (stream)
        stream_.notify_one();
}

GstHlInferQueue::Item &GstHlInferQueue::append(Item::Kind kind)
{
    Item &item = at(tail_++);
    item.kind = kind;
    item.ready = true;
    item.inferred = false;
    if (kind == Item::Kind::Frame)
        ++frames_;
    return item;
}

GstFlowReturn GstHlInferQueue::push_frame(GstPtr<GstBuffer> frame, hl::Clock::time_point entered)
{
    std::unique_lock lock(mutex_);
    if (!wait(lock, Waiting::FrameRoom) || flow_ == GST_FLOW_EOS)
        return flow_;
    Item &item = append(Item::Kind::Frame);
    item.frame = std::move(frame);
    item.entered = entered;
    unlock_and_wake(lock);
    return GST_FLOW_OK;
}

std::expected<GstHlInferQueue::Request *, GstFlowReturn> GstHlInferQueue::push_request(GstPtr<GstBuffer> frame,
                                                                                       hl::Clock::time_point entered)
{
    std::unique_lock lock(mutex_);
    if (!wait(lock, Waiting::RequestRoom) || flow_ == GST_FLOW_EOS)
        return std::unexpected(flow_);
    Request *const request = free_.back();
    free_.pop_back();
    request->queue = shared_from_this();
    request->frame = std::move(frame);
    request->number = tail_;
    Item &item = append(Item::Kind::Frame);
    item.ready = false;
    item.inferred = true;
    item.request = request;
    // The time in which to answer starts when there is room, not while downstream holds everything up.
    item.entered = entered;
    request->deadline = deadline_from(hl::Clock::now());
    ++pending_;
    return request;
}

void GstHlInferQueue::fail(Request *request, hl::Error error)
{
    job_finished({.id = request->number, .status = std::unexpected(std::move(error)), .times = {}});
    release_request(request);
}

bool GstHlInferQueue::push_event(GstPtr<GstEvent> event)
{
    std::unique_lock lock(mutex_);
    if (!wait(lock, Waiting::EventRoom))
        return false;
    append(Item::Kind::Event).event = std::move(event);
    unlock_and_wake(lock);
    return true;
}

bool GstHlInferQueue::wait_requests()
{
    std::unique_lock lock(mutex_);
    return wait(lock, Waiting::NoRequests);
}

bool GstHlInferQueue::wait_empty()
{
    std::unique_lock lock(mutex_);
    return wait(lock, Waiting::Empty);
}

hl::Deadline GstHlInferQueue::deadline_from(hl::Clock::time_point start) const
{
    return timeout_.count() == 0 ? hl::no_deadline : start + timeout_;
}

// The device finishes frames faster than it pays to be woken for each, and none of them is late: upstream waits for it,
// so that more than a batch is out.
bool GstHlInferQueue::may_coalesce() const
{
    return stream_waits_ == Waiting::RequestRoom && batch_ > 1 && since_sleep_ > 0 &&
           (last_finished_ - slept_finished_) * batch_ < batch_time * since_sleep_;
}

void GstHlInferQueue::coalesce(std::unique_lock<std::mutex> &lock)
{
    task_sleeps_ = TaskSleep::Coalescing;
    task_.wait_for(lock, batch_bound);
    task_sleeps_ = TaskSleep::Awake;
}

// Waits for the head to change. TRUE if it is a request whose time is over. On an empty queue the task sleeps for one
// timeout and looks again: that is before any deadline set meanwhile, so a request need not wake it.
bool GstHlInferQueue::head_is_late(std::unique_lock<std::mutex> &lock)
{
    task_sleeps_ = TaskSleep::UntilReady;
    const bool empty = head_ == tail_;
    const uint64_t number = head_;
    const hl::Deadline until = empty ? deadline_from(hl::Clock::now()) : at(head_).request->deadline;
    bool timed_out = false;
    if (until == hl::no_deadline)
        task_.wait(lock);
    else
        timed_out = task_.wait_until(lock, until) == std::cv_status::timeout;
    task_sleeps_ = TaskSleep::Awake;
    return timed_out && !empty && number == head_ && find_pending(number);
}

bool GstHlInferQueue::pop(Item &item)
{
    std::unique_lock lock(mutex_);
    if (!ended() && !head_ready()) {
        const bool several = may_coalesce();
        slept_finished_ = last_finished_;
        since_sleep_ = 0;
        if (several)
            coalesce(lock);
    }
    while (!ended() && !head_ready()) {
        if (!head_is_late(lock))
            continue;
        item.kind = Item::Kind::Error;
        item.error = std::make_unique<hl::Error>(
            hl::Error{.code = hl::ErrorCode::RunTimeout,
                      .operation = "run inference",
                      .cause = std::format("request {} was not finished within {} ms", head_,
                                           std::chrono::duration_cast<std::chrono::milliseconds>(timeout_).count()),
                      .remedy = "raise timeout= if the model is that slow; else set the pipeline to READY and PLAYING "
                                "again"});
        return true;
    }
    if (ended())
        return false;
    item = std::move(at(head_++));
    if (item.kind == Item::Kind::Frame)
        --frames_;
    if (item.kind == Item::Kind::Frame && item.inferred) {
        ++since_sleep_;
        last_finished_ = item.times.finished;
    }
    pushing_ = true;
    unlock_and_wake(lock);
    return true;
}

void GstHlInferQueue::popped(GstFlowReturn result)
{
    std::unique_lock lock(mutex_);
    pushing_ = false;
    if (result != GST_FLOW_OK && flow_ == GST_FLOW_OK) {
        flow_ = result;
        stream_.notify_one();
    }
    unlock_and_wake(lock);
}

void GstHlInferQueue::resume_after_eos()
{
    const std::lock_guard lock(mutex_);
    if (flow_ == GST_FLOW_EOS)
        flow_ = GST_FLOW_OK;
}

GstFlowReturn GstHlInferQueue::flow() const
{
    const std::lock_guard lock(mutex_);
    return flow_;
}

void GstHlInferQueue::start()
{
    const std::lock_guard lock(mutex_);
    if (!failed_)
        flow_ = GST_FLOW_OK;
}

void GstHlInferQueue::stop(GstFlowReturn why)
{
    const std::lock_guard lock(mutex_);
    flow_ = why;
    task_.notify_one();
    stream_.notify_one();
}

// FLUSHING, not ERROR, goes upstream from here: a source that sees ERROR posts a second, meaningless error of its own
// (gstbasesrc.c gst_base_src_loop), and the user shall get one.
bool GstHlInferQueue::stop_with_error()
{
    const std::lock_guard lock(mutex_);
    flow_ = GST_FLOW_FLUSHING;
    task_.notify_one();
    stream_.notify_one();
    return !std::exchange(failed_, true);
}

std::vector<GstPtr<GstEvent>> GstHlInferQueue::clear()
{
    std::vector<Item> dropped; // let go of outside the lock: freeing buffers runs foreign code
    {
        std::unique_lock lock(mutex_);
        dropped.reserve(tail_ - head_);
        for (; head_ != tail_; ++head_)
            dropped.push_back(std::move(at(head_)));
        frames_ = 0;
        pending_ = 0;
        unlock_and_wake(lock);
    }
    std::vector<GstPtr<GstEvent>> sticky;
    for (Item &item : dropped) {
        GstEvent *const event = item.event.get();
        if (event && (gst_event_type_get_flags(GST_EVENT_TYPE(event)) & GST_EVENT_TYPE_STICKY) &&
            GST_EVENT_TYPE(event) != GST_EVENT_SEGMENT && GST_EVENT_TYPE(event) != GST_EVENT_EOS)
            sticky.push_back(std::move(item.event));
    }
    return sticky;
}

GstHlInferQueue::Item *GstHlInferQueue::find_pending(uint64_t number)
{
    if (number < head_ || number >= tail_)
        return nullptr;
    Item &item = at(number);
    return item.ready ? nullptr : &item;
}

void GstHlInferQueue::release_request(void *data) noexcept
{
    auto *const request = static_cast<Request *>(data);
    // Declared first, so let go of last: this may be the end of the queue.
    const std::shared_ptr<GstHlInferQueue> queue = std::move(request->queue);
    const GstPtr<GstBuffer> frame = std::move(request->frame);
    const GstPtr<GstBuffer> output = std::move(request->output);
    std::unique_lock lock(queue->mutex_);
    queue->free_.push_back(request);
    queue->unlock_and_wake(lock);
}

void GstHlInferQueue::job_finished(hl::JobResult result) noexcept
{
    std::unique_lock lock(mutex_);
    // Reports from before a flush find their place gone.
    Item *const item = find_pending(result.id);
    if (!item)
        return;
    item->times = result.times;
    item->ready = true;
    --pending_;
    if (result.status) {
        // The frame comes back from the request; the hardware is done with it.
        Request &request = *item->request;
        item->frame = std::move(request.frame);
        item->output = std::move(request.output);
    } else {
        item->kind = Item::Kind::Error;
        item->error = std::make_unique<hl::Error>(std::move(result.status.error()));
        --frames_;
    }
    unlock_and_wake(lock);
}
