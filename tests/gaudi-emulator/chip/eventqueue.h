// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/cpuport.h"
#include "chip/interrupts.h"
#include "chip/journal.h"
#include "chip/registerfile.h"
#include "chip/resettable.h"

#include <array>
#include <cstdint>
#include <deque>
#include <mutex>

namespace gaudiemu::chip {

// What the firmware tells the driver unasked: 64-byte entries in a ring in host memory, then vector 0
// (include/linux/habanalabs/cpucp_if.h struct hl_eq_entry, common/irq.c hl_irq_handler_eq()). Thread safe.
class EventQueue final : public Resettable {
public:
    using Data = std::array<uint64_t, 7>;

    EventQueue(RegisterFile &registers, uint32_t cpuif_page, CpuPort &host, Interrupts &interrupts, Journal &journal)
        : registers_(registers), page_(cpuif_page), host_(host), interrupts_(interrupts), journal_(journal)
    {}

    // Waits in the chip until the driver wants events.
    void post(uint16_t event, const Data &data = {});
    // The driver is ready (gaudi2.c gaudi2_enable_events_from_fw()).
    void enable();
    void reset() override;

private:
    struct Event {
        uint16_t id = 0;
        Data data{};
    };
    void send(const Event &event);

    RegisterFile &registers_;
    const uint32_t page_;
    CpuPort &host_;
    Interrupts &interrupts_;
    Journal &journal_;
    std::mutex mutex_;
    bool enabled_ = false;
    uint32_t written_ = 0;
    std::deque<Event> waiting_;
};

} // namespace gaudiemu::chip
