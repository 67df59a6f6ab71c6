// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "importers/importframe.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hl {

// The bytes of a frame that an importer is to write, so that it shows which of them it wrote. The frame must outlive
// it. Device memory is filled and read by the Gaudi's own DMA, host memory through a CPU mapping.
class FrameContents {
public:
    // Fills the frame: no page is like another, nor like anything a camera sees. Errors: those of Device::allocate()
    // and copy(); MemoryExport where the descriptor cannot be mapped.
    [[nodiscard]] static Result<FrameContents> fill(const ImportFrame &frame);

    // How many of the first `bytes` lie in pages that are still as they were. Errors: as fill().
    [[nodiscard]] Result<uint64_t> untouched(uint64_t bytes) const;

private:
    explicit FrameContents(const ImportFrame &frame) : frame_(&frame) {}

    const ImportFrame *frame_;
    std::vector<std::byte> before_; // as read back: a frame may have the same page twice
};

} // namespace hl
