// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/bootfirmware.h"
#include "chip/hbm.h"
#include "chip/hostbus.h"
#include "chip/idleconstant.h"
#include "chip/interrupts.h"
#include "chip/jobgate.h"
#include "chip/registerfile.h"
#include "chip/resettable.h"
#include "chip/worker.h"

#include <cstdint>
#include <mutex>
#include <span>
#include <utility>
#include <vector>

namespace gaudiemu::chip {

// The two resets. Both first end every job in flight.
//
// Compute reset (CPU-CP packet SOFT_RESET, after each close of a Gaudi2: gaudi2.c gaudi2_execute_soft_reset()):
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
        BootFirmware &boot;
        std::vector<Resettable *> keepers; // what survives a compute reset, but for `boot`
        std::vector<Resettable *> engines;
        std::span<const IdleConstant> constants;
        std::vector<Worker *> workers; // all but the CPU's
        Worker &cpu;
    };

    explicit Reset(Parts parts) : parts_(std::move(parts)) {}

    // On the CPU's worker.
    void compute();
    void hard();

private:
    void end_jobs();
    void reset_engines();

    Parts parts_;
    std::mutex mutex_; // one at a time
};

} // namespace gaudiemu::chip
