// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

#include <sys/mman.h>

namespace hl {

// Zeroed bytes on a 64-byte boundary. Large ones ask for huge pages (madvise(2), MADV_HUGEPAGE, where the kernel has
// transparent_hugepage=madvise or always): a model's input is written and read once a frame, and small pages make the
// processor walk its page tables for each 4 KiB of it.
class AlignedBuffer {
public:
    AlignedBuffer() noexcept = default;
    explicit AlignedBuffer(size_t bytes) : size_(bytes)
    {
        constexpr size_t line = 64;
        constexpr size_t huge_page = size_t{2} << 20;
        const bool large = bytes >= huge_page / 2;
        const size_t unit = large ? huge_page : line;
        const size_t rounded = (bytes + unit - 1) / unit * unit;
        if (rounded == 0)
            return;
        data_.reset(static_cast<std::byte *>(std::aligned_alloc(unit, rounded)));
        if (!data_)
            throw std::bad_alloc();
        if (large)
            (void)::madvise(data_.get(), rounded, MADV_HUGEPAGE); // a refusal costs speed only
        std::memset(data_.get(), 0, rounded);
    }

    [[nodiscard]] std::span<std::byte> span() const noexcept { return {data_.get(), size_}; }

private:
    struct Free {
        void operator()(std::byte *p) const noexcept { std::free(p); }
    };
    std::unique_ptr<std::byte[], Free> data_;
    size_t size_ = 0;
};

} // namespace hl
