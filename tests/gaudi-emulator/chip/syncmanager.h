// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/fabric.h"
#include "chip/journal.h"
#include "chip/registerblock.h"
#include "chip/registerfile.h"
#include "chip/resettable.h"

#include <cstdint>
#include <deque>
#include <mutex>

namespace gaudiemu::chip {

// The four sync managers (one per dcore): sync objects that engines count up, monitors that watch them and send
// messages when they reach a value, and completion queues that such a message may go to. gaudi2.c gaudi2_init_sm(),
// gaudi2_arm_cq_monitor(), gaudi2_arm_monitors_for_virt_msix_db().
//
// Its registers are plain memory to the guest's CPU, which sets sync objects and arms monitors only before it sends
// work (gaudi2_pre_schedule_cs()): monitors are looked at when an engine writes a sync object or arms a monitor.
class SyncManager final : public RegisterBlock, public Resettable {
public:
    SyncManager(RegisterFile &registers, Journal &journal) : registers_(registers), journal_(journal) {}

    // Where messages go; before the first write.
    void connect(Fabric &fabric) { fabric_ = &fabric; }
    void reset() override;

    [[nodiscard]] uint32_t read(uint32_t reg) override { return registers_.load(reg); }
    void write(uint32_t reg, uint32_t value, Origin origin) override;

private:
    struct Message {
        uint64_t address = 0;
        uint32_t value = 0;
    };

    void apply(uint32_t reg, uint32_t value);
    void set_sob(uint32_t dcore_base, uint32_t sob, uint32_t value);
    void look_at(uint32_t dcore_base, uint32_t monitor);
    void fire(uint32_t dcore_base, uint32_t monitor, uint32_t config);
    void complete(uint32_t dcore_base, uint32_t cq, uint32_t payload, bool lbw);
    void send(uint32_t dcore_base, Message message);

    RegisterFile &registers_;
    Journal &journal_;
    Fabric *fabric_ = nullptr;
    // Held while messages go out: what an engine sees in a completion queue happened before what it is told next.
    std::mutex mutex_;
    std::deque<std::pair<uint32_t, uint32_t>> pending_; // register writes of this block that its own messages made
};

} // namespace gaudiemu::chip
