// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/reset.h"
#include "chip/registers.h"

namespace gaudiemu::chip {

using namespace gaudi2;

void Reset::compute()
{
    const std::lock_guard lock(mutex_);
    end_jobs();
    reset_engines();
    restore_constants();
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
    parts_.events.reset();
    parts_.cpucp.reset();
    parts_.mmu.reset();
    parts_.registers.clear();
    parts_.hbm.clear();
    reset_engines();
    restore_constants();
    parts_.bus.open();
    parts_.boot.reset();
}

void Reset::end_jobs()
{
    parts_.gate.next();
    parts_.bus.close();
    for (Worker *const worker : parts_.engines)
        worker->wait_idle();
}

void Reset::reset_engines()
{
    for (const auto &queue : parts_.queues)
        queue->reset();
    parts_.kdma.reset();
    parts_.sync.reset();
}

void Reset::restore_constants()
{
    for (const auto &[reg, value] : idle_constant_registers())
        parts_.registers.store(reg, value);
}

} // namespace gaudiemu::chip
