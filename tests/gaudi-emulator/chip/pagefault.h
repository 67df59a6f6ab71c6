// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstdint>
#include <string>

namespace gaudiemu::chip {

// Which of the two kinds of MMU: that of host memory, or that of HBM, which the first Gaudi does not have.
enum class MmuKind : uint8_t { Pmmu, Hmmu };

struct PageFault {
    MmuKind mmu = MmuKind::Pmmu;
    uint64_t captured = 0; // what the MMU's capture registers say
    std::string reason;
};

// Where a virtual address leads, good for `run` bytes.
struct Translation {
    uint64_t address = 0;
    uint64_t run = 0;
};

// What the driver reads when it gets the event of a page fault.
class PageFaultCapture {
public:
    virtual ~PageFaultCapture() = default;
    // Sets the registers; the event.
    [[nodiscard]] virtual uint16_t capture(const PageFault &fault) = 0;

protected:
    PageFaultCapture() = default;
    PageFaultCapture(const PageFaultCapture &) = delete;
    PageFaultCapture &operator=(const PageFaultCapture &) = delete;
};

} // namespace gaudiemu::chip
