// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/dmaengine.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"
#include "chip/worker.h"

namespace gaudiemu::chip {

// The kernel's own DMA engine, without a queue: the driver fills its registers and commits (gaudi2.c
// gaudi2_send_job_to_kdma()); completion is a message to the address that it gave.
class Kdma final : public RegisterBlock {
public:
    Kdma(RegisterFile &registers, Fabric &fabric, DmaEngine &dma, ErrorReporter &errors, JobGate &gate, Worker &worker)
        : registers_(registers), fabric_(fabric), dma_(dma), errors_(errors), gate_(gate), worker_(worker)
    {}

    void reset();

    [[nodiscard]] uint32_t read(uint32_t reg) override { return registers_.load(reg); }
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    RegisterFile &registers_;
    Fabric &fabric_;
    DmaEngine &dma_;
    ErrorReporter &errors_;
    JobGate &gate_;
    Worker &worker_;
};

} // namespace gaudiemu::chip
