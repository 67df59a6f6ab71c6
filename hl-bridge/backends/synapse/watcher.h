// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "backends/synapse/chip.h"

#include <condition_variable>
#include <memory>

namespace hl::synapse {

// Learns of the device's end by asking the driver for its status every 250 ms, and tells the chip. The driver's events
// are SynapseAI's to read: they are cleared by reading.
class Watcher {
public:
    explicit Watcher(std::shared_ptr<Chip> chip) noexcept : chip_(std::move(chip)) {}

    // The thread: returns when the chip is closing.
    void work();

private:
    // FALSE: the node answers no such question, and need not be asked again.
    [[nodiscard]] bool look(const Session &session, uint32_t generation) const;

    const std::shared_ptr<Chip> chip_;
    std::condition_variable wake_;
};

} // namespace hl::synapse
