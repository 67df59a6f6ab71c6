// SPDX-License-Identifier: LGPL-2.1-or-later
#include "cardengine.h"

#include <algorithm>
#include <utility>

namespace gaudiemu {

namespace {

// Registers that the engine only keeps.
bool is_kept(uint32_t offset)
{
    return offset == HL_CARD_IRQ_ENABLE || (offset >= HL_CARD_SG_LOW && offset <= HL_CARD_COOKIE) ||
           (offset >= HL_CARD_FORMAT && offset <= HL_CARD_STRIDE(HL_CARD_PLANES_MAX - 1));
}

} // namespace

CardEngine::CardEngine(uint32_t id, Host host, Job job)
    : id_(id), host_(std::move(host)), job_(std::move(job)), worker_([this] { work(); })
{}

CardEngine::~CardEngine()
{
    {
        const std::lock_guard lock(mutex_);
        halt();
        ending_ = true;
    }
    changed_.notify_all();
    worker_.join();
}

uint32_t CardEngine::shadow(uint32_t offset) const
{
    const auto found = registers_.find(offset);
    return found == registers_.end() ? 0 : found->second;
}

uint32_t CardEngine::read(uint32_t offset)
{
    const std::lock_guard lock(mutex_);
    const Result oldest = results_.empty() ? Result{} : results_.front();
    switch (offset) {
    case HL_CARD_ID:
        return id_;
    case HL_CARD_VERSION_REG:
        return HL_CARD_VERSION;
    case HL_CARD_CONTROL:
        return running_ ? HL_CARD_CONTROL_RUN : 0;
    case HL_CARD_STATUS:
        return running_ || busy_ ? HL_CARD_STATUS_BUSY : 0;
    case HL_CARD_IRQ_STATUS:
        return irq_status_;
    case HL_CARD_DONE_COUNT:
        return static_cast<uint32_t>(results_.size());
    case HL_CARD_DONE_COOKIE:
        return oldest.cookie;
    case HL_CARD_DONE_ERROR:
        return oldest.error;
    case HL_CARD_DONE_NUMBER:
        return oldest.number;
    case HL_CARD_DONE_CRC:
        return oldest.crc;
    default:
        return shadow(offset);
    }
}

void CardEngine::write(uint32_t offset, uint32_t value)
{
    const std::lock_guard lock(mutex_);
    switch (offset) {
    case HL_CARD_CONTROL:
        control(value);
        break;
    case HL_CARD_IRQ_STATUS:
        irq_status_ &= ~value;
        break;
    case HL_CARD_DOORBELL:
        take();
        break;
    case HL_CARD_DONE_POP:
        if (!results_.empty()) {
            results_.pop_front();
        }
        break;
    default:
        if (is_kept(offset)) {
            registers_[offset] = value;
        }
    }
}

void CardEngine::reset()
{
    Lock lock(mutex_);
    halt();
    changed_.wait(lock, [this] { return !busy_; });
    results_.clear();
    registers_.clear();
    irq_status_ = 0;
    number_ = 0;
    counts_ = {};
}

void CardEngine::set_interval(std::chrono::microseconds interval)
{
    const std::lock_guard lock(mutex_);
    interval_ = interval;
    next_ = Clock::now() + interval;
    changed_.notify_all();
}

CardEngine::Counts CardEngine::counts()
{
    const std::lock_guard lock(mutex_);
    return counts_;
}

void CardEngine::control(uint32_t value)
{
    const bool run = (value & HL_CARD_CONTROL_RUN) != 0;
    if (run == running_) {
        return;
    }
    if (!run) {
        halt();
        if (!busy_) {
            raise(HL_CARD_IRQ_IDLE);
        }
        return;
    }
    results_.clear();
    counts_ = {};
    number_ = 0;
    next_ = Clock::now() + interval_;
    stop_ = {};
    running_ = true;
    if (on_start) {
        on_start();
    }
    changed_.notify_all();
}

void CardEngine::halt()
{
    running_ = false;
    queue_.clear();
    stop_.request_stop();
    changed_.notify_all();
}

std::optional<Picture> CardEngine::picture() const
{
    auto picture = Picture::packed(shadow(HL_CARD_FORMAT), shadow(HL_CARD_WIDTH), shadow(HL_CARD_HEIGHT));
    if (!picture) {
        return std::nullopt;
    }
    picture->bytes = shadow(HL_CARD_FRAME_BYTES);
    for (uint32_t i = 0; i < picture->planes.size(); ++i) {
        picture->planes[i].offset = shadow(HL_CARD_OFFSET(i));
        picture->planes[i].stride = shadow(HL_CARD_STRIDE(i));
    }
    return picture->valid() ? picture : std::nullopt;
}

// Results that nobody takes count too: the card has no memory without end.
void CardEngine::take()
{
    const Buffer buffer{.list = uint64_t{shadow(HL_CARD_SG_HIGH)} << 32 | shadow(HL_CARD_SG_LOW),
                        .count = shadow(HL_CARD_SG_COUNT),
                        .cookie = shadow(HL_CARD_COOKIE),
                        .picture = picture()};
    if (queue_.size() < HL_CARD_QUEUE_DEPTH) {
        queue_.push_back(buffer);
        changed_.notify_all();
    } else if (results_.size() < size_t{2} * HL_CARD_QUEUE_DEPTH) {
        finish({buffer.cookie, HL_CARD_ERROR_QUEUE, 0, 0});
    }
}

void CardEngine::finish(const Result &result)
{
    results_.push_back(result);
    raise(HL_CARD_IRQ_DONE);
}

void CardEngine::raise(uint32_t cause)
{
    irq_status_ |= cause;
    if ((shadow(HL_CARD_IRQ_ENABLE) & cause) != 0) {
        host_().interrupt(0);
    }
}

void CardEngine::work()
{
    Lock lock(mutex_);
    while (!ending_) {
        if (!running_) {
            changed_.wait(lock, [this] { return running_ || ending_; });
        } else if (wait_for_frame(lock)) {
            process(lock);
        }
    }
}

// True: now is the time for a frame, and there is a buffer for it.
bool CardEngine::wait_for_frame(Lock &lock)
{
    if (interval_.count() == 0) {
        changed_.wait(lock, [this] { return !running_ || !queue_.empty() || interval_.count() != 0; });
        return running_ && !queue_.empty();
    }
    if (const auto now = Clock::now(); now < next_) {
        changed_.wait_until(lock, next_);
        return false;
    }
    // A camera does not wait for its writer: what would have been due meanwhile is lost.
    const auto due = static_cast<uint32_t>((Clock::now() - next_) / interval_);
    number_ += due;
    counts_.lost += due;
    next_ += (due + 1) * interval_;
    if (queue_.empty()) {
        ++number_;
        ++counts_.lost;
        return false;
    }
    return true;
}

void CardEngine::process(Lock &lock)
{
    const Buffer buffer = queue_.front();
    queue_.pop_front();
    const uint32_t number = number_++;
    const std::stop_token stop = stop_.get_token();
    busy_ = true;
    lock.unlock();
    const Outcome outcome = job_(buffer, number, stop);
    lock.lock();
    busy_ = false;
    changed_.notify_all();
    if (stop.stop_requested()) {
        raise(HL_CARD_IRQ_IDLE);
        return;
    }
    if (outcome.error == HL_CARD_ERROR_NONE) {
        ++counts_.done;
        if (on_frame) {
            on_frame(number, outcome.crc);
        }
    }
    finish({buffer.cookie, outcome.error, number, outcome.crc});
}

} // namespace gaudiemu
