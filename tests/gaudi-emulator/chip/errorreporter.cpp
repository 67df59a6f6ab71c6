// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/errorreporter.h"

#include <format>

namespace gaudiemu::chip {

void ErrorReporter::address(const std::string &who, const AddressFault &fault, bool write, uint16_t core_event)
{
    journal_.fault(std::format("{}: {} {:#x}: {}", who, write ? "write to" : "read of", fault.address, fault.reason));
    if (fault.page) {
        events_.post(mmu_.capture(*fault.page));
    } else if (core_event) {
        // gaudi2.c gaudi2_handle_dma_core_event(): HBW read and write errors. The first Gaudi's driver does not look.
        events_.post(core_event, {write ? uint64_t{2} : uint64_t{1}});
    }
}

void ErrorReporter::queue(const std::string &who, const std::string &what, uint16_t event)
{
    journal_.fault(who + ": " + what);
    events_.post(event);
}

} // namespace gaudiemu::chip
