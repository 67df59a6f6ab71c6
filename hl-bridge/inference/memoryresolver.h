// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "device/memory.h"

#include <cstddef>
#include <span>

namespace hl {

// How an engine that runs on the CPU reaches bytes named by a Memory. A Device gives one to the engine it makes: the
// simulator's reaches its HBM (device side, never shown to anyone else), the host resolver reaches Host placement only.
// Thread safe. No malloc on success. A span stays valid until the memory is released or the Device object dies, also
// across a loss.
class MemoryResolver {
public:
    virtual ~MemoryResolver() = default;
    // Errors: MemoryStale, MemoryForeign, MemoryRange.
    [[nodiscard]] virtual Result<std::span<std::byte>> resolve(const Memory &memory) = 0;
    // Which placements this resolver reaches; fixed.
    [[nodiscard]] virtual bool reaches(Placement placement) const noexcept = 0;
};

} // namespace hl
