// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/kernel/chip.h"

#include <cstdint>
#include <memory>
#include <string>

namespace hl::kernel {

// Learns of the device's end from the driver and tells the chip: events, and its status every 250 ms, as a reset by
// hl_device_reset() alone sends no event and gives a process one second (device.c device_kill_open_processes).
class Watcher {
public:
    explicit Watcher(std::shared_ptr<Chip> chip) noexcept : chip_(std::move(chip)) {}

    // The thread: returns when the chip is closing.
    void work();

private:
    void look(Session &session, uint32_t generation);

    const std::shared_ptr<Chip> chip_;
};

// Whether events (uapi::Event bits, and others of the driver) end the session, and the names of all.
[[nodiscard]] bool ends_session(uint64_t events) noexcept;
[[nodiscard]] std::string events_text(uint64_t events);

} // namespace hl::kernel
