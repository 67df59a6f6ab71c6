// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/uniquefd.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace hl {

// Opens /dev/udmabuf; an invalid descriptor where it is missing or not permitted.
[[nodiscard]] UniqueFd open_udmabuf();
// Why it cannot be opened now: MemoryExport with errno, cause and remedy.
[[nodiscard]] Error why_no_udmabuf();

// Pages of a sealed memfd, mapped shared for life: what a V4L2 or DRM driver imports as a udmabuf and what a Gaudi pins
// (a private mapping would pin copy-on-write copies). One memfd per allocation. Move only.
class HostMemory {
public:
    // `size` is a multiple of 4096. The pages are there and zero when this returns. Errors: MemoryHost, FdLimit.
    [[nodiscard]] static Result<HostMemory> create(uint64_t size);

    HostMemory() noexcept = default;
    HostMemory(HostMemory &&other) noexcept;
    HostMemory &operator=(HostMemory &&other) noexcept;
    ~HostMemory();

    [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_, static_cast<size_t>(size_)}; }
    [[nodiscard]] int memfd() const noexcept { return memfd_.get(); }

    // A descriptor whose byte 0 is `offset`: a udmabuf, or, where `udmabuf` is invalid, a dup of the memfd (offset must
    // then be 0). Either keeps the pages by itself. Errors: MemoryExport, FdLimit, MemoryRange.
    [[nodiscard]] Result<UniqueFd> export_fd(const UniqueFd &udmabuf, uint64_t offset, uint64_t size) const;

private:
    UniqueFd memfd_;
    std::byte *data_ = nullptr;
    uint64_t size_ = 0;
};

} // namespace hl
