// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/eventqueue.h"
#include "chip/firmwarelayout.h"

#include <algorithm>
#include <cstring>
#include <format>
#include <span>

namespace gaudiemu::chip {

using namespace cpuinterface;

namespace {

constexpr size_t entry_size = 64;
constexpr uint32_t entry_ready = 0x80000000; // EQ_CTL_READY_MASK
constexpr unsigned event_shift = 16;         // EQ_CTL_EVENT_TYPE_SHIFT
constexpr unsigned vector = 0;               // GAUDI2_EVENT_QUEUE_MSIX_IDX, gaudi.c gaudi_enable_msi_single()
constexpr size_t waiting_limit = 64;

} // namespace

void EventQueue::post(uint16_t event, const Data &data)
{
    const std::lock_guard lock(mutex_);
    journal_.note(std::format("event {}{}", event, enabled_ ? "" : ", which waits until the driver wants events"));
    if (enabled_)
        send({event, data});
    else if (waiting_.size() < waiting_limit)
        waiting_.push_back({event, data});
}

void EventQueue::enable()
{
    const std::lock_guard lock(mutex_);
    enabled_ = true;
    for (const auto &event : waiting_)
        send(event);
    waiting_.clear();
}

void EventQueue::reset()
{
    const std::lock_guard lock(mutex_);
    enabled_ = false;
    written_ = 0;
    waiting_.clear();
}

void EventQueue::send(const Event &event)
{
    const uint64_t base = registers_.load_pair(page_ + eq_base_lo, page_ + eq_base_hi);
    const uint32_t entries = registers_.load(page_ + eq_length) / entry_size;
    if (!base || !entries) {
        journal_.fault(std::format("event {}: the driver has set up no queue", event.id));
        return;
    }
    // update_eq_ci (gaudi2.c gaudi2_update_eq_ci()) tells how far the driver has read, modulo the length.
    const uint32_t read = registers_.load(page_ + eq_read) % entries;
    if ((written_ + 1) % entries == read) {
        journal_.fault(std::format("event {}: the queue is full", event.id));
        return;
    }
    const uint64_t address = base + uint64_t{written_ % entries} * entry_size;
    const uint32_t control = entry_ready | static_cast<uint32_t>(event.id) << event_shift | (written_ & 0xffff);
    // The entry first, its ready bit last.
    const auto body = std::as_bytes(std::span(event.data));
    const auto words = std::as_bytes(std::span(&control, 1));
    if (!host_.write(address + 8, body) || !host_.write(address + 4, words)) {
        journal_.fault(std::format("event {}: no memory at {:#x}", event.id, address));
        return;
    }
    ++written_;
    interrupts_.raise(vector);
}

} // namespace gaudiemu::chip
