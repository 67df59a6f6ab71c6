// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/uniquefd.h"
#include "device/memory.h"

#include <cstddef>
#include <cstdint>
#include <span>

namespace hl {

// Opens /dev/udmabuf. Errors: MemoryExport, telling a missing node from one this user may not open, for which it asks
// the databases of users and groups, which may be those of a network.
[[nodiscard]] Result<UniqueFd> open_udmabuf();
// The same for who has no use for words: invalid, and errno set, where it cannot be opened.
[[nodiscard]] UniqueFd try_open_udmabuf() noexcept;

// Pages of a sealed memfd, mapped shared for life: what a V4L2 or DRM driver imports as a udmabuf and what a Gaudi pins
// (a private mapping would pin copy-on-write copies). One memfd per allocation. Move only.
class HostMemory {
public:
    // `size` is a multiple of 4096; huge pages are taken whole. The pages are there and zero when this returns. Errors:
    // MemoryHost (naming the pool of huge pages where that is empty), FdLimit.
    [[nodiscard]] static Result<HostMemory> create(uint64_t size, HostPages pages = HostPages::Base);

    HostMemory() noexcept = default;
    HostMemory(HostMemory &&other) noexcept;
    HostMemory &operator=(HostMemory &&other) noexcept;
    ~HostMemory();

    [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_, static_cast<size_t>(size_)}; }
    [[nodiscard]] int memfd() const noexcept { return memfd_.get(); }

    // A descriptor whose byte 0 is `offset`: a udmabuf, or, where `udmabuf` is invalid, a dup of the memfd (offset must
    // then be 0). Either keeps the pages by itself. Errors: MemoryExport (beyond udmabuf's size limit, or huge pages
    // that this kernel's udmabuf does not take), FdLimit, MemoryRange.
    [[nodiscard]] Result<UniqueFd> export_fd(const UniqueFd &udmabuf, uint64_t offset, uint64_t size) const;

    // What create() and export_fd() say of an errno; also to who plays one. `operation` is static.
    [[nodiscard]] static std::unexpected<Error> creation_error(const char *operation, int err, uint64_t size,
                                                               HostPages pages);
    [[nodiscard]] std::unexpected<Error> export_error(int err, uint64_t offset, uint64_t size) const;

private:
    [[nodiscard]] uint64_t mapped() const noexcept;

    UniqueFd memfd_;
    std::byte *data_ = nullptr;
    uint64_t size_ = 0;
    HostPages pages_ = HostPages::Base;
};

} // namespace hl
