// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "device/device.h"

#include <cstdint>

namespace hl {

// A rectangle to move between a device's addresses.
struct Move {
    uint64_t source = 0;
    uint64_t target = 0;
    uint64_t source_stride = 0;
    uint64_t target_stride = 0;
    uint64_t row_bytes = 0;
    uint32_t rows = 1;

    // `region` of a request, whose allocations begin at these addresses.
    [[nodiscard]] static Move of(const CopyRegion &region, uint64_t source_address, uint64_t target_address) noexcept
    {
        return {.source = source_address + region.source.offset + region.source_offset,
                .target = target_address + region.target.offset + region.target_offset,
                .source_stride = region.source_stride,
                .target_stride = region.target_stride,
                .row_bytes = region.row_bytes,
                .rows = region.rows};
    }

    // Whether no gap lies between rows, on either side: one stretch of bytes() then.
    [[nodiscard]] bool contiguous() const noexcept
    {
        return rows == 1 || (source_stride == row_bytes && target_stride == row_bytes);
    }
    [[nodiscard]] uint64_t bytes() const noexcept { return row_bytes * rows; }
};

} // namespace hl
