// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/jobgate.h"

namespace gaudiemu::chip {

void JobGate::next()
{
    {
        const std::lock_guard lock(mutex_);
        epoch_.fetch_add(1, std::memory_order_acq_rel);
    }
    ended_.notify_all();
}

bool JobGate::wait(Epoch epoch, std::chrono::microseconds time)
{
    std::unique_lock lock(mutex_);
    return !ended_.wait_for(lock, time, [&] { return !open(epoch); });
}

void JobGate::wait_for_end(Epoch epoch)
{
    std::unique_lock lock(mutex_);
    ended_.wait(lock, [&] { return !open(epoch); });
}

} // namespace gaudiemu::chip
