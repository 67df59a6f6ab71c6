// SPDX-License-Identifier: LGPL-2.1-or-later
#include "backends/synapse/watcher.h"

#include "core/log.h"

#include <cerrno>
#include <chrono>
#include <format>

namespace hl::synapse {
namespace {

constexpr std::chrono::milliseconds interval{250};

} // namespace

void Watcher::work()
{
    Chip::Lock lock = chip_->lock();
    chip_->add_waiter(lock, wake_);
    for (bool answers = true; !chip_->closing(lock);) {
        if (auto session = chip_->session(lock); session && answers) {
            const uint32_t generation = chip_->generation(lock);
            lock.unlock();
            answers = look(*session, generation);
            session.reset(); // may release the device
            lock.lock();
            if (chip_->closing(lock) || generation != chip_->generation(lock))
                continue;
        }
        (void)wake_.wait_for(lock, interval);
    }
    chip_->remove_waiter(lock, wake_);
}

bool Watcher::look(const Session &session, uint32_t generation) const
{
    if (!session.still_acquired()) {
        chip_->lose(generation, "the software that had acquired it released it");
        return true;
    }
    const auto status = habanalabs::device_status(session.health_node());
    if (!status && status.error() == ENOTTY) {
        log(LogLevel::Warning, "synapse",
            std::format("{}: the node does not tell the device's status; a failure shows when a request fails",
                        chip_->name()));
        return false;
    }
    if (!status)
        chip_->lose(generation, "the driver answered " + errno_text(status.error()));
    else if (habanalabs::status_says_lost(*status))
        chip_->lose(generation, std::format("the driver says that it is {}", habanalabs::status_text(*status)));
    return true;
}

} // namespace hl::synapse
