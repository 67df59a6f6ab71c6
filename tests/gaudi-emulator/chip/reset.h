// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/bootfirmware.h"
#include "chip/cpucp.h"
#include "chip/eventqueue.h"
#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/interrupts.h"
#include "chip/jobgate.h"
#include "chip/kdma.h"
#include "chip/mmu.h"
#include "chip/queuemanager.h"
#include "chip/registerfile.h"
#include "chip/syncmanager.h"
#include "chip/worker.h"

#include <memory>
#include <mutex>
#include <vector>

namespace gaudiemu::chip {

// The two resets. Both first end every job in flight.
//
// Compute reset (CPU-CP packet SOFT_RESET, after each close of the device: gaudi2.c gaudi2_execute_soft_reset()):
// engines, queues and sync managers; the firmware, the MMUs' tables and HBM stay, as gaudi2_hw_fini() expects by the
// capabilities that it keeps. Hard reset: all, HBM included, back to preboot.
class Reset {
public:
    struct Parts {
        RegisterFile &registers;
        const Hbm &hbm;
        HostBus &bus;
        JobGate &gate;
        Interrupts &interrupts;
        Mmu &mmu;
        SyncManager &sync;
        EventQueue &events;
        Kdma &kdma;
        CpuCp &cpucp;
        BootFirmware &boot;
        std::vector<std::unique_ptr<QueueManager>> &queues;
        std::vector<Worker *> engines; // all workers but the CPU's
        Worker &cpu;
    };

    explicit Reset(Parts parts) : parts_(std::move(parts)) {}

    // On the CPU's worker.
    void compute();
    void hard();

private:
    void end_jobs();
    void reset_engines();
    void restore_constants();

    Parts parts_;
    std::mutex mutex_; // one at a time
};

} // namespace gaudiemu::chip
