// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"

#include <memory>
#include <string>

namespace hl::synapse {

// This process's claim on the one device that SynapseAI gives it (G3SW device_manager.cpp). SynapseAI tells a device
// that this process has from one that another has, but not whether it is a session of ours that is on its way out or a
// framework's: the claim does. As what it stands for, it is the process's. Thread safe.
class DeviceClaim {
public:
    // Waits while a session of ours ends: at most 30 s if it has the same chip, else 1 s. Errors: SynapseHolder (it has
    // another one), DeviceBusy (it does not end).
    [[nodiscard]] static Result<DeviceClaim> take(const std::string &address);

    // Whether SynapseAI may still have the device for a session of ours, whose release failed: what it says is acquired
    // already is then no framework's.
    void set_unreleased(bool unreleased) const;
    [[nodiscard]] bool unreleased() const;

private:
    struct Held;

    explicit DeviceClaim(std::shared_ptr<Held> held) noexcept : held_(std::move(held)) {}

    std::shared_ptr<Held> held_;
};

} // namespace hl::synapse
