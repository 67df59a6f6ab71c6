// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/frameformat.h"
#include "device/memory.h"

#include <array>

namespace hl {

// One plane of a frame in device-known memory.
struct PlaneLayout {
    Memory memory;       // planes may share one memory (NV12) or have one each (NV12M)
    uint64_t offset = 0; // bytes into `memory`
    uint32_t stride = 0; // bytes
};

// A frame in memory that a Device knows: what Engines and copies speak of.
struct FrameLayout {
    FrameFormat format;
    std::array<PlaneLayout, max_planes> plane{};

    [[nodiscard]] Placement placement() const noexcept { return plane[0].memory.placement; }
};

// Checks that every plane has a stride of at least its row bytes, that its last row ends inside its memory, and that
// all planes share one device, generation and placement. Errors: FrameTooSmall, FrameLayoutInvalid, each naming plane
// and figures.
[[nodiscard]] Status validate(const FrameLayout &layout);

// A layout over one memory with the given placement of planes.
[[nodiscard]] FrameLayout layout_in(const FrameFormat &format, const Memory &memory,
                                    const PlanePlacement &planes) noexcept;

} // namespace hl
