// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/dmaqueue.h"

#include "device/driveranswer.h"

#include <algorithm>
#include <cerrno>
#include <format>
#include <utility>

namespace hl::kernel {
namespace {

constexpr const char *operation = "DMA copy";

// How long one call of the driver waits, so that the worker looks up now and then.
constexpr std::chrono::seconds wait_slice{1};

// gaudi2.h, gaudi.h (uapi): PDMA_0_0 and PDMA_1_0, DMA_0_0 and DMA_1_0. Gaudi2's driver enables no other queue for what
// we do (gaudi2.c gaudi2_is_queue_enabled).
constexpr uint32_t down_queue = 0;
constexpr uint32_t up_queue = 4;

std::string loss_text(int err)
{
    if (err == ETIMEDOUT)
        return std::format("a copy did not end within {} s, upon which the driver resets the device",
                           driver_patience.count());
    return std::format("the driver answered {}", errno_text(err));
}

} // namespace

DmaQueue::DmaQueue(std::shared_ptr<Chip> chip, CopyWay way) noexcept
    : chip_(std::move(chip)), way_(way), queue_(way == CopyWay::Up ? up_queue : down_queue)
{}

Error DmaQueue::error(ErrorCode code, std::string cause, int sys_errno) const
{
    return {.code = code,
            .operation = operation,
            .sys_errno = sys_errno,
            .device = chip_->name(),
            .cause = std::move(cause),
            .remedy = {}};
}

std::optional<Error> DmaQueue::interrupted(const Chip::Lock &lock, const Active &active) const
{
    if (active.job.generation != chip_->generation(lock))
        return chip_->lost_error(operation);
    if (chip_->closing(lock))
        return error(ErrorCode::Cancelled, "the device was closed", ECANCELED);
    if (active.submissions == 0 && Clock::now() >= active.job.deadline)
        return error(ErrorCode::CopyTimeout, "the deadline passed", ETIMEDOUT);
    return std::nullopt;
}

// --- submitting ---

void DmaQueue::push(const Chip::Lock &, const DmaJob &job)
{
    Active &active = job_at(jobs_count_++);
    active = {.job = job, .rest = CopyCutter(job.move, job.moves)};
}

void DmaQueue::pump(Chip::Lock &lock)
{
    if (pumping_)
        return; // whoever it is looks again before it leaves
    pumping_ = true;
    while (can_submit(lock))
        submit_next(lock);
    pumping_ = false;
    wake_.notify_one();
}

bool DmaQueue::can_submit(const Chip::Lock &lock) noexcept
{
    if (cursor_ == jobs_count_)
        return false;
    if (chip_->closing(lock) || job_at(cursor_).job.generation != chip_->generation(lock))
        return true; // to end it
    return submissions_count_ < Session::queue_depth && blocked_at_ != chip_->submissions_ended(lock);
}

void DmaQueue::advance_cursor() noexcept
{
    while (cursor_ < jobs_count_ && job_at(cursor_).rest.done())
        ++cursor_;
}

void DmaQueue::give_up(Active &active, Error error)
{
    active.rest = {};
    if (!active.failed)
        active.failed = std::move(error);
    advance_cursor();
}

uint32_t DmaQueue::fill(ChipKind chip, CopyCutter &rest, std::span<std::byte> buffer)
{
    PacketWriter writer(chip, buffer);
    for (uint64_t bytes = 0; writer.has_room() && bytes < submission_bytes;) {
        const auto copy = rest.next();
        if (!copy)
            break;
        writer.add(*copy);
        bytes += copy->bytes;
    }
    return writer.finish();
}

void DmaQueue::submit_next(Chip::Lock &lock)
{
    Active &active = job_at(cursor_);
    if (auto error = interrupted(lock, active)) {
        give_up(active, std::move(*error));
        return;
    }
    const size_t place = (first_submission_ + submissions_count_) % Session::queue_depth;
    const uint64_t ended_before = chip_->submissions_ended(lock);
    const uint32_t generation = active.job.generation;
    std::shared_ptr<Session> session = chip_->session(lock);
    CopyCutter rest = active.rest;
    active.filling = true;
    if (active.submissions == 0 && active.started == Clock::time_point{})
        active.started = Clock::now();
    lock.unlock();
    const CommandBuffers &buffers = session->buffers(way_);
    const uint32_t used = fill(chip_->kind(), rest, buffers.bytes(place));
    const auto sequence = session->driver().submit(queue_, buffers.filled(place, used), driver_patience);
    session.reset(); // may close the node
    lock.lock();
    active.filling = false;
    if (!sequence) {
        refused(lock, active, sequence.error(), ended_before);
        return;
    }
    chip_->submission_begins(lock);
    blocked_at_.reset();
    if (!active.failed)
        active.rest = rest;
    ++active.submissions;
    submissions_[place] = {.sequence = *sequence, .generation = generation};
    ++submissions_count_;
    advance_cursor();
    wake_.notify_one();
}

void DmaQueue::refused(Chip::Lock &lock, Active &active, int err, uint64_t ended_before)
{
    if (err == EAGAIN && chip_->in_driver(lock) > 0) {
        // No room until one of ours or of the other queue's ends (command_submission.c allocate_cs).
        blocked_at_ = ended_before;
        return;
    }
    if (submission_says_lost(err)) {
        const uint32_t generation = active.job.generation;
        lock.unlock();
        chip_->lose(generation, loss_text(err));
        lock.lock();
        return; // interrupted() ends it
    }
    give_up(active, error(ErrorCode::CopyFailed, "the driver refused the copy", err));
}

// --- the worker ---

bool DmaQueue::can_finish() noexcept
{
    if (jobs_count_ == 0)
        return false;
    const Active &front = job_at(0);
    return front.rest.done() && front.submissions == 0 && !front.filling;
}

void DmaQueue::work()
{
    Chip::Lock lock = chip_->lock();
    for (;;) {
        wake_.wait(lock, [&] {
            return can_finish() || submissions_count_ > 0 || (!pumping_ && can_submit(lock)) ||
                   (chip_->closing(lock) && jobs_count_ == 0);
        });
        if (can_finish())
            finish_front(lock);
        else if (!pumping_ && can_submit(lock))
            pump(lock);
        else if (submissions_count_ > 0)
            wait_front(lock);
        else
            return;
    }
}

void DmaQueue::wait_front(Chip::Lock &lock)
{
    const Submission front = submissions_[first_submission_];
    const auto lost = [&] { return front.generation != chip_->generation(lock); };
    if (lost()) {
        front_ended(lock, chip_->lost_error(operation));
        return;
    }
    std::shared_ptr<Session> session = chip_->session(lock);
    lock.unlock();
    const auto ended = session->driver().wait(front.sequence, wait_slice);
    session.reset(); // may close the node
    if (!ended && submission_says_lost(ended.error()))
        chip_->lose(front.generation, loss_text(ended.error()));
    lock.lock();
    if (lost())
        front_ended(lock, chip_->lost_error(operation));
    else if (!ended)
        front_ended(lock, error(ErrorCode::CopyFailed, "the driver does not know the copy", ended.error()));
    else if (*ended)
        front_ended(lock, std::nullopt);
}

void DmaQueue::front_ended(const Chip::Lock &lock, std::optional<Error> failed)
{
    first_submission_ = (first_submission_ + 1) % Session::queue_depth;
    --submissions_count_;
    chip_->submission_ends(lock);
    size_t index = 0;
    while (job_at(index).submissions == 0)
        ++index;
    Active &active = job_at(index);
    --active.submissions;
    if (failed)
        give_up(active, std::move(*failed));
}

void DmaQueue::finish_front(Chip::Lock &lock)
{
    Active ended = std::move(job_at(0));
    first_job_ = (first_job_ + 1) % jobs_size;
    --jobs_count_;
    --cursor_;
    Completion completion{.id = ended.job.id, .started = ended.started, .finished = Clock::now()};
    if (ended.failed)
        completion.status = std::unexpected(std::move(*ended.failed));
    else if (completion.finished > ended.job.deadline)
        completion.status = std::unexpected(error(ErrorCode::CopyTimeout, "the deadline passed", ETIMEDOUT));
    std::array<std::unique_ptr<Allocation>, 8> dead;
    for (size_t h = 0; h < 2 * ended.job.moves; ++h)
        dead[h] = chip_->drop(lock, *ended.job.held[h]);
    chip_->request_ends(lock);
    lock.unlock();
    dead = {};
    chip_->delivery().deliver(*ended.job.listener, std::move(completion));
    lock.lock();
}

} // namespace hl::kernel
