// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/reset.h"

namespace gaudiemu::chip {

void Reset::compute()
{
    const std::lock_guard lock(mutex_);
    end_jobs();
    reset_engines();
    parts_.bus.open();
}

void Reset::hard()
{
    // A job of the CPU's worker that is a reset itself takes the lock: no waiting for it with the lock held.
    parts_.gate.next();
    parts_.cpu.wait_idle();
    const std::lock_guard lock(mutex_);
    end_jobs();
    parts_.interrupts.set_virtual_doorbell(0);
    for (Resettable *const block : parts_.keepers)
        block->reset();
    parts_.registers.clear();
    parts_.hbm.clear();
    reset_engines();
    parts_.bus.open();
    parts_.boot.reset();
}

void Reset::end_jobs()
{
    parts_.gate.next();
    parts_.bus.close();
    for (Worker *const worker : parts_.workers)
        worker->wait_idle();
}

void Reset::reset_engines()
{
    for (Resettable *const block : parts_.engines)
        block->reset();
    for (const auto &[reg, value] : parts_.constants)
        parts_.registers.store(reg, value);
}

} // namespace gaudiemu::chip
