// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/kernel/watcher.h"

#include "core/log.h"

#include <poll.h>
#include <sys/eventfd.h>

#include <array>
#include <cerrno>
#include <format>
#include <string_view>

namespace hl::kernel {
namespace {

constexpr int status_interval_ms = 250;

// habanalabs_accel.h HL_NOTIFIER_EVENT_*, by bit.
constexpr std::array<std::string_view, 11> event_names{
    "TPC assertion",  "undefined opcode", "device reset", "copy timed out",       "device unavailable",  "engine error",
    "hardware error", "illegal access",   "page fault",   "fatal hardware error", "fatal firmware error"};

} // namespace

bool ends_session(uint64_t events) noexcept
{
    return (events & (uapi::event_device_reset | uapi::event_device_unavailable)) != 0;
}

std::string events_text(uint64_t events)
{
    std::string text;
    for (size_t bit = 0; bit < 64; ++bit)
        if (events >> bit & 1)
            text +=
                std::format("{}{}", text.empty() ? "" : ", ",
                            bit < event_names.size() ? std::string(event_names[bit]) : std::format("event {}", bit));
    return text;
}

void Watcher::work()
{
    for (;;) {
        std::shared_ptr<Session> session;
        uint32_t generation = 0;
        {
            const auto lock = chip_->lock();
            if (chip_->closing(lock))
                return;
            session = chip_->session(lock);
            generation = chip_->generation(lock);
        }
        std::array<pollfd, 2> files{{{.fd = chip_->changed_fd(), .events = POLLIN, .revents = 0},
                                     {.fd = session ? session->events().get() : -1, .events = POLLIN, .revents = 0}}};
        (void)::poll(files.data(), files.size(), session || files[0].fd < 0 ? status_interval_ms : -1);
        eventfd_t drained = 0;
        if (files[0].revents != 0)
            (void)::eventfd_read(files[0].fd, &drained);
        else if (session)
            look(*session, generation);
    }
}

void Watcher::look(Session &session, uint32_t generation)
{
    eventfd_t count = 0;
    if (session.events() && ::eventfd_read(session.events().get(), &count) == 0) {
        const uint64_t events = session.driver().take_events().value_or(0);
        if (ends_session(events))
            chip_->lose(generation, "the driver reports: " + events_text(events));
        else if (events != 0)
            log(LogLevel::Warning, "kernel",
                std::format("{}: the driver reports: {}", chip_->name(), events_text(events)));
    }
    const auto status = session.driver().status();
    if (!status)
        chip_->lose(generation, "the driver answered " + errno_text(status.error()));
    else if (status_says_lost(*status))
        chip_->lose(generation, std::format("the driver says that it is {}", status_text(*status)));
}

} // namespace hl::kernel
