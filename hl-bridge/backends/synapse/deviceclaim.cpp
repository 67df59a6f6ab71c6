// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/deviceclaim.h"

#include <cerrno>
#include <chrono>
#include <condition_variable>
#include <format>
#include <mutex>

namespace hl::synapse {
namespace {

// The double lets go of a device that hangs when the driver has reset it, 30 s after the job began
// (timeout_locked); how long SynapseAI takes is not known.
constexpr std::chrono::seconds patience{30};
// For a session of another chip, which most likely goes on.
constexpr std::chrono::seconds patience_with_another{1};

// Process-wide, because what it is about is: SynapseAI's one device.
struct Record {
    std::mutex mutex;
    std::condition_variable released;
    std::string address; // empty: no session of ours
    bool unreleased = false;
};

Record &record()
{
    // Never destroyed: a session may outlive static destruction (a GStreamer object that leaks).
    static auto *the = new Record;
    return *the;
}

} // namespace

struct DeviceClaim::Held {
    Held() = default;
    Held(const Held &) = delete;
    Held &operator=(const Held &) = delete;
    ~Held()
    {
        const std::lock_guard lock(record().mutex);
        record().address.clear();
        record().released.notify_all();
    }
};

Result<DeviceClaim> DeviceClaim::take(const std::string &address)
{
    const std::string operation = std::format("open {}", address);
    Record &the = record();
    std::unique_lock lock(the.mutex);
    (void)the.released.wait_for(lock, the.address == address ? patience : patience_with_another,
                                [&] { return the.address.empty(); });
    if (the.address == address)
        return fail(ErrorCode::DeviceBusy, operation,
                    std::format("{} is still being released by this process", address),
                    "stop every pipeline of the process that uses it, and try again", EBUSY, address);
    if (!the.address.empty())
        return fail(
            ErrorCode::SynapseHolder, operation,
            std::format("this process has {} open, and SynapseAI gives a process one device", the.address),
            "use that device, or open the other one in a process of its own; HL_RUNTIME=kernel opens any number", EBUSY,
            address);
    auto held = std::make_shared<Held>();
    the.address = address;
    return DeviceClaim(std::move(held));
}

void DeviceClaim::set_unreleased(bool unreleased) const
{
    const std::lock_guard lock(record().mutex);
    record().unreleased = unreleased;
}

bool DeviceClaim::unreleased() const
{
    const std::lock_guard lock(record().mutex);
    return record().unreleased;
}

} // namespace hl::synapse
