// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/errorreporter.h"
#include "chip/fabric.h"
#include "chip/jobgate.h"
#include "chip/packetengine.h"
#include "chip/queuelayout.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"
#include "chip/resettable.h"
#include "chip/worker.h"

#include <atomic>
#include <cstdint>

namespace gaudiemu::chip {

// One queue manager: four rings of buffer descriptors (include/common/qman_if.h struct hl_bd) in host memory or HBM.
// The doorbell is a write to PQ_PI (gaudi2.c gaudi2_ring_doorbell(), gaudi.c gaudi_ring_doorbell()); the worker then
// runs each descriptor's command buffer and, with completions enabled, tells the sync object that the descriptor names.
class QueueManager final : public RegisterBlock, public Resettable {
public:
    QueueManager(const QueueManagerPlace &place, const EngineLayout &layout, RegisterFile &registers, Fabric &fabric,
                 PacketEngine &packets, ErrorReporter &errors, JobGate &gate, Worker &worker)
        : place_(place), layout_(layout.queue), core_(layout.core), registers_(registers), fabric_(fabric),
          packets_(packets), errors_(errors), gate_(gate), worker_(worker)
    {}

    // With its worker idle.
    void reset() override;

    [[nodiscard]] uint32_t read(uint32_t reg) override;
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    struct Descriptor {
        uint64_t address = 0;
        uint32_t size = 0;
        uint32_t control = 0;
    };

    [[nodiscard]] uint32_t reg(uint32_t offset, unsigned stream = 0) const { return place_.page + offset + stream * 4; }
    [[nodiscard]] bool enabled(unsigned stream) const;
    [[nodiscard]] Initiator part(unsigned stream, uint32_t mask) const;
    void work(unsigned stream, JobGate::Epoch epoch);
    [[nodiscard]] bool run(unsigned stream, const Descriptor &descriptor, JobGate::Epoch epoch);
    void complete(unsigned stream, const Descriptor &descriptor);
    void stop(unsigned stream, const PacketResult &fault, bool write);

    const QueueManagerPlace place_;
    const QueueLayout layout_;
    const DmaCoreLayout core_;
    RegisterFile &registers_;
    Fabric &fabric_;
    PacketEngine &packets_;
    ErrorReporter &errors_;
    JobGate &gate_;
    Worker &worker_;
    std::atomic<uint32_t> busy_ = 0;    // streams at work
    std::atomic<uint32_t> stopped_ = 0; // streams that met an error: until a reset
};

} // namespace gaudiemu::chip
