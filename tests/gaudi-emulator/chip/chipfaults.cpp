// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/chipfaults.h"

#include <algorithm>
#include <charconv>
#include <format>
#include <utility>

namespace gaudiemu::chip {
namespace {

constexpr std::string_view grammar =
    "dma-stall@N, dma-slow=MICROSECONDS, event=ID@N, link-gone@N, cpu-stall@N (N from 1) "
    "or firmware-fail=preboot|boot-fit|linux";

std::optional<uint64_t> number(std::string_view text, uint64_t limit)
{
    uint64_t value = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
    if (text.empty() || error != std::errc{} || end != text.data() + text.size() || value > limit)
        return std::nullopt;
    return value;
}

// What follows `head`; nullopt if the text does not begin with it.
std::optional<std::string_view> after(std::string_view text, std::string_view head)
{
    return text.starts_with(head) ? std::optional(text.substr(head.size())) : std::nullopt;
}

std::optional<uint64_t> count_after(std::string_view text, std::string_view head)
{
    const auto rest = after(text, head);
    const auto value = rest ? number(*rest, UINT64_MAX) : std::nullopt;
    return value && *value > 0 ? value : std::nullopt;
}

std::optional<FirmwareFault> stage(std::string_view name)
{
    if (name == "preboot")
        return FirmwareFault::Preboot;
    if (name == "boot-fit")
        return FirmwareFault::BootFit;
    if (name == "linux")
        return FirmwareFault::Linux;
    return std::nullopt;
}

constexpr uint64_t slowest = 60'000'000; // a minute
constexpr uint64_t last_event = 4095;    // EQ_CTL_EVENT_TYPE_MASK

} // namespace

ChipFaults::ChipFaults(ChipFaults &&other) noexcept
    : dma_jobs_(other.dma_jobs_), cpu_packets_(other.cpu_packets_), delay_(other.delay_),
      stalls_(std::move(other.stalls_)), events_(std::move(other.events_)), link_gone_(other.link_gone_),
      cpu_stall_(other.cpu_stall_), firmware_(other.firmware_)
{}

std::expected<void, std::string> ChipFaults::add(std::string_view order)
{
    const std::lock_guard lock(mutex_);
    const auto at = order.find('@');
    if (const auto stall = count_after(order, "dma-stall@")) {
        stalls_.push_back(*stall);
    } else if (const auto gone = count_after(order, "link-gone@")) {
        link_gone_ = *gone;
    } else if (const auto cpu = count_after(order, "cpu-stall@")) {
        cpu_stall_ = *cpu;
    } else if (const auto slow = after(order, "dma-slow="); slow && number(*slow, slowest)) {
        delay_ = std::chrono::microseconds(*number(*slow, slowest));
    } else if (const auto failing = after(order, "firmware-fail="); failing && stage(*failing)) {
        firmware_ = *stage(*failing);
    } else if (const auto event = after(order.substr(0, at), "event="); event && at != std::string_view::npos &&
                                                                        number(*event, last_event) &&
                                                                        count_after(order.substr(at), "@")) {
        events_.push_back({static_cast<uint16_t>(*number(*event, last_event)), *count_after(order.substr(at), "@")});
    } else {
        return std::unexpected(std::format("--fault {}: not an order; one is {}", order.substr(0, 60), grammar));
    }
    return {};
}

DmaOrder ChipFaults::next_dma()
{
    const std::lock_guard lock(mutex_);
    const uint64_t job = ++dma_jobs_;
    DmaOrder order;
    order.delay = delay_;
    order.stall = std::ranges::contains(stalls_, job);
    order.link_gone = link_gone_ && job >= *link_gone_;
    for (const auto &event : events_)
        if (event.at == job)
            order.events.push_back(event.id);
    return order;
}

bool ChipFaults::next_cpu_packet()
{
    const std::lock_guard lock(mutex_);
    return ++cpu_packets_ < cpu_stall_.value_or(UINT64_MAX);
}

void ChipFaults::revive_cpu()
{
    const std::lock_guard lock(mutex_);
    if (cpu_stall_ && cpu_packets_ >= *cpu_stall_)
        cpu_stall_.reset();
}

FirmwareFault ChipFaults::firmware() const
{
    const std::lock_guard lock(mutex_);
    return firmware_;
}

} // namespace gaudiemu::chip
