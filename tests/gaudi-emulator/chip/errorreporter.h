// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "chip/eventqueue.h"
#include "chip/fabric.h"
#include "chip/journal.h"
#include "chip/pagefault.h"

#include <cstdint>
#include <string>

namespace gaudiemu::chip {

// Faults, to the journal and to the driver: what it reads when it gets the event is there before the event.
class ErrorReporter {
public:
    ErrorReporter(PageFaultCapture &mmu, EventQueue &events, Journal &journal)
        : mmu_(mmu), events_(events), journal_(journal)
    {}

    // An engine met an address behind which nothing lies. A page fault is the MMU's event, with its capture registers
    // set; anything else is the engine's own, `core_event` (0: it has none), with cause bit 0 or 1.
    void address(const std::string &who, const AddressFault &fault, bool write, uint16_t core_event);
    // A queue manager's error: the bit of its GLBL_ERR_STS is set by the caller.
    void queue(const std::string &who, const std::string &what, uint16_t event);

private:
    PageFaultCapture &mmu_;
    EventQueue &events_;
    Journal &journal_;
};

} // namespace gaudiemu::chip
