// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/fileid.h"
#include "device/memory.h"

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

namespace hl {

// Whose memory it is that the checks below are about: a device, as it is now.
struct MemoryOwner {
    uint32_t device = 0;
    uint32_t generation = 0;
    std::string_view name; // in the errors; outlives the check
};

// What every backend refuses alike, whatever its tables look like. Pure: all that is asked about is handed in.

// Whether so many bytes could be allocated at all. Errors: MemoryRange for none; MemoryFull, MemoryHost for absurd
// ones.
[[nodiscard]] Status check_allocation_size(const MemoryOwner &owner, uint64_t size, Placement placement);
// Whether `memory` may be used; `allocation` is all of what its handle names, null if that is nothing alive.
// Errors: MemoryForeign, MemoryStale, MemoryRange.
[[nodiscard]] Status check_memory(const MemoryOwner &owner, const Memory &memory, const Memory *allocation);
// What release() answers where nothing alive has the handle: what went with its generation may be released. Errors:
// MemoryForeign.
[[nodiscard]] Status check_release_of_none(const MemoryOwner &owner, const Memory &memory);
// Of memory whose device exports are open elsewhere.
[[nodiscard]] Error still_exported(const MemoryOwner &owner, size_t exports, const std::vector<pid_t> &holders);

// Whether `memory` can be exported: whole pages, and at least one. Errors: MemoryRange.
[[nodiscard]] Status check_export_pages(const MemoryOwner &owner, const Memory &memory);
// What a descriptor that may be an export is known by. Errors: MemoryForeign.
[[nodiscard]] Result<FileId> exported_file(const MemoryOwner &owner, int fd);
// What it was exported for, if that is still there. Errors: MemoryForeign for nullopt, MemoryStale.
[[nodiscard]] Result<Memory> check_resolved(const MemoryOwner &owner, const std::optional<Memory> &exported);

} // namespace hl
