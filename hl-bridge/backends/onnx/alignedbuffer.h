// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <new>
#include <span>

namespace hl {

// Zeroed bytes on a 64-byte boundary.
class AlignedBuffer {
public:
    AlignedBuffer() noexcept = default;
    explicit AlignedBuffer(size_t bytes) : size_(bytes)
    {
        constexpr size_t line = 64;
        const size_t rounded = (bytes + line - 1) / line * line;
        if (rounded == 0)
            return;
        data_.reset(static_cast<std::byte *>(std::aligned_alloc(line, rounded)));
        if (!data_)
            throw std::bad_alloc();
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
