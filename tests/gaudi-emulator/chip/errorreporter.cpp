// SPDX-License-Identifier: LGPL-2.1-or-later
#include "chip/errorreporter.h"
#include "chip/registers.h"

#include <format>

namespace gaudiemu::chip {

using namespace gaudi2;

void ErrorReporter::address(const std::string &who, const AddressFault &fault, bool write, uint16_t core_event)
{
    journal_.fault(std::format("{}: {} {:#x}: {}", who, write ? "write to" : "read of", fault.address, fault.reason));
    if (fault.page) {
        capture(*fault.page);
        events_.post(fault.page->mmu == MmuKind::Pmmu ? event_pmmu_page_fault : event_hmmu0_page_fault);
    } else if (core_event) {
        // gaudi2.c gaudi2_handle_dma_core_event(): HBW read and write errors.
        events_.post(core_event, {write ? uint64_t{2} : uint64_t{1}});
    }
}

void ErrorReporter::queue(const std::string &who, const std::string &what, uint16_t event)
{
    journal_.fault(who + ": " + what);
    events_.post(event);
}

// gaudi2.c gaudi2_handle_mmu_spi_sei_generic() and gaudi2_handle_page_error() read these and clear them.
void ErrorReporter::capture(const PageFault &page)
{
    const uint32_t base = page.mmu == MmuKind::Pmmu ? mmu::pmmu : mmu::hmmu0;
    const std::lock_guard lock(capturing_);
    if (registers_.load(base + mmu::access_page_error_valid) & 1)
        return; // the first one is kept
    registers_.store(base + mmu::page_error_capture, static_cast<uint32_t>(page.captured >> 32));
    registers_.store(base + mmu::page_error_capture_va, static_cast<uint32_t>(page.captured));
    registers_.store(base + mmu::access_page_error_valid, 1);
    registers_.store(base + mmu::spi_sei_cause, registers_.load(base + mmu::spi_sei_cause) | 1);
}

} // namespace gaudiemu::chip
