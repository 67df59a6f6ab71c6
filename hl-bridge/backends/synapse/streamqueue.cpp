// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/streamqueue.h"

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::synapse {
namespace {

using namespace std::chrono_literals;

// How often the end of what is in the stream is asked for: soon first, as most of it is short, then less often.
constexpr std::chrono::microseconds first_interval = 20us, longest_interval = 500us;

} // namespace

// --- the stream ---

Result<std::unique_ptr<Stream>> Stream::create(std::shared_ptr<Session> session, const std::string &device)
{
    std::unique_ptr<Stream> stream(new Stream(std::move(session)));
    const Library &library = stream->session_->library();
    const char *call = "synStreamCreateGeneric";
    abi::Status status = library->synStreamCreateGeneric(&stream->handle_, abi::only_device, 0);
    for (abi::EventHandle &event : stream->events_)
        if (status == abi::success) {
            call = "synEventCreate";
            status = library->synEventCreate(&event, abi::only_device, 0);
        }
    if (status == abi::success)
        return stream;
    return fail(says_lost(status) ? ErrorCode::DeviceLost : ErrorCode::SynapseCall, "create stream",
                library.failure(call, status), "use fewer streams and models on the device at once", 0, device);
}

Stream::~Stream()
{
    const Library &library = session_->library();
    for (const abi::EventHandle event : events_)
        if (event)
            (void)library->synEventDestroy(event);
    // Busy: of a lost device, whose release ends it.
    if (handle_)
        (void)library->synStreamDestroy(handle_);
}

// --- the queue ---

StreamQueue::StreamQueue(std::shared_ptr<Chip> chip, uint32_t generation, const Kind &kind,
                         std::function<void()> detached)
    : chip_(std::move(chip)), kind_(kind), detached_(std::move(detached)), generation_(generation)
{}

void StreamQueue::push(const Chip::Lock &, StreamWork &work)
{
    ring_[(first_waiting_ + waiting_++) % ring_size] = &work;
    wake_.notify_one();
}

void StreamQueue::close()
{
    const auto lock = chip_->lock();
    closed_ = true;
    wake_.notify_all();
}

Error StreamQueue::error(ErrorCode code, std::string cause, int sys_errno) const
{
    return {.code = code,
            .operation = kind_.operation,
            .sys_errno = sys_errno,
            .device = chip_->name(),
            .cause = std::move(cause),
            .remedy = {}};
}

Error StreamQueue::failure(const CallFailure &failure, const Library &library) const
{
    Error out = error(kind_.failed, library.failure(failure.call, failure.status), 0);
    out.remedy = "see SynapseAI's log (~/.habana_logs, or $HABANA_LOGS)";
    return out;
}

std::optional<Error> StreamQueue::interrupted(const Chip::Lock &lock, const StreamWork &work) const
{
    if (work.generation != chip_->generation(lock) || chip_->lost(lock))
        return chip_->lost_error(kind_.operation);
    if (closing(lock))
        return error(ErrorCode::Cancelled, std::format("the {} was given up", kind_.what), ECANCELED);
    if (Clock::now() >= work.deadline)
        return error(kind_.late, std::format("the deadline passed before the {} began", kind_.what), ETIMEDOUT);
    return std::nullopt;
}

void StreamQueue::work()
{
    Chip::Lock lock = chip_->lock();
    chip_->add_waiter(lock, wake_);
    for (;;) {
        if (running_count_ == 0 && generation_ != chip_->generation(lock))
            detach(lock);
        else if (waiting_ > 0 && running_count_ < Stream::depth)
            begin_next(lock);
        else if (running_count_ > 0)
            look_at_front(lock);
        else if (closing(lock))
            break;
        else
            wake_.wait(lock);
    }
    chip_->remove_waiter(lock, wake_);
    lock.unlock();
    stream_.reset(); // may release the device
}

// --- beginning ---

void StreamQueue::begin_next(Chip::Lock &lock)
{
    StreamWork &work = *ring_[first_waiting_];
    first_waiting_ = (first_waiting_ + 1) % ring_size;
    --waiting_;
    auto stopped = interrupted(lock, work);
    if (!stopped && !stream_)
        stopped = attach(lock);
    if (stopped)
        end(lock, work, std::move(stopped), Clock::now());
    else
        issue(lock, work);
}

std::optional<Error> StreamQueue::attach(Chip::Lock &lock)
{
    auto session = chip_->session(lock);
    lock.unlock();
    auto stream = Stream::create(std::move(session), chip_->name());
    if (!stream && stream.error().code == ErrorCode::DeviceLost)
        chip_->lose(generation_, stream.error().cause);
    lock.lock();
    if (!stream)
        return std::move(stream.error());
    stream_ = std::move(*stream);
    return std::nullopt;
}

void StreamQueue::detach(Chip::Lock &lock)
{
    generation_ = chip_->generation(lock);
    lock.unlock();
    stream_.reset(); // may release the device
    if (detached_)
        detached_();
    lock.lock();
}

// Work that could be put into the stream in part is in it all the same: it ends, as failed, when the stream is past it.
void StreamQueue::issue(Chip::Lock &lock, StreamWork &work)
{
    const size_t place = (first_running_ + running_count_) % Stream::depth;
    const Clock::time_point now = Clock::now();
    lock.unlock();
    const Library &library = stream_->session().library();
    const auto refused = work.issue(stream_->session(), stream_->handle());
    const abi::Status recorded = library->synEventRecord(stream_->event(place), stream_->handle());
    std::optional<Error> failed;
    if (refused)
        failed = failure(*refused, library);
    const CallFailure last = refused ? *refused : CallFailure{"synEventRecord", recorded};
    // Without an event nobody knows when the hardware has let go of the memories.
    if (says_lost(last.status) || recorded != abi::success)
        chip_->lose(generation_, library.failure(last.call, says_lost(last.status) ? last.status : recorded));
    lock.lock();
    running_[place] = {.work = &work, .issued = now, .event = place, .failed = std::move(failed)};
    ++running_count_;
    interval_ = first_interval;
}

// --- ending ---

void StreamQueue::look_at_front(Chip::Lock &lock)
{
    const Running &front = running_[first_running_];
    if (generation_ != chip_->generation(lock)) {
        end_front(lock, chip_->lost_error(kind_.operation));
        return;
    }
    lock.unlock();
    const Library &library = stream_->session().library();
    const abi::Status status = library->synEventQuery(stream_->event(front.event));
    // What waited behind others in the stream has begun when they ended.
    const bool hangs = status == abi::busy && Clock::now() - std::max(front.issued, last_end_) > patience;
    if (hangs)
        chip_->lose(generation_, std::format("a {} did not end within {} s", kind_.what, patience.count()));
    else if (status != abi::success && status != abi::busy)
        chip_->lose(generation_, library.failure("synEventQuery", status)); // who knows where the hardware is
    lock.lock();
    if (generation_ != chip_->generation(lock)) {
        end_front(lock, chip_->lost_error(kind_.operation));
    } else if (status == abi::busy) {
        (void)wake_.wait_for(lock, interval_);
        interval_ = std::min(2 * interval_, longest_interval);
    } else {
        end_front(lock, std::nullopt);
    }
}

void StreamQueue::end_front(Chip::Lock &lock, std::optional<Error> failed)
{
    Running front = std::exchange(running_[first_running_], {});
    first_running_ = (first_running_ + 1) % Stream::depth;
    --running_count_;
    interval_ = first_interval;
    const Clock::time_point started = std::max(front.issued, last_end_);
    const bool lost = failed && failed->code == ErrorCode::DeviceLost;
    end(lock, *front.work, front.failed && !lost ? std::move(front.failed) : std::move(failed), started);
}

void StreamQueue::end(Chip::Lock &lock, StreamWork &work, std::optional<Error> failed, Clock::time_point started)
{
    last_end_ = Clock::now();
    Completion completion{.id = 0, .status = {}, .started = started, .finished = last_end_};
    if (failed)
        completion.status = std::unexpected(std::move(*failed));
    lock.unlock();
    work.ended(std::move(completion));
    lock.lock();
}

} // namespace hl::synapse
