// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "core/error.h"
#include "core/uniquefd.h"
#include "device/arena.h"

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <vector>

namespace hl::sim {

// Simulated HBM with its allocator. Sparse: a memfd of the chip's full size, mapped once without reserving anything;
// bytes cost memory when first touched and give it back when freed. Device pages are handed to arenas, which divide
// them among frames. Not thread safe. Only SIM's DMA engines and its resolver may use bytes().
class Hbm {
public:
    // `user_bytes`: what a user may allocate; the reserved first page comes on top. Errors: MemoryHost, FdLimit.
    [[nodiscard]] static Result<Hbm> create(uint64_t user_bytes);

    Hbm() noexcept = default;
    Hbm(Hbm &&other) noexcept;
    Hbm &operator=(Hbm &&other) noexcept;
    ~Hbm();

    // The offset of a free, 4 KiB aligned stretch, or nullopt: HBM full.
    [[nodiscard]] std::optional<uint64_t> allocate(uint64_t size);
    // Gives back what allocate() returned and punches its pages out of the memfd.
    void free(uint64_t offset);

    [[nodiscard]] std::byte *bytes(uint64_t offset) const noexcept { return data_ + offset; }
    [[nodiscard]] uint64_t user_bytes() const noexcept { return user_bytes_; }
    [[nodiscard]] uint64_t used() const noexcept { return used_; }
    // Largest stretch allocate() could give now.
    [[nodiscard]] uint64_t largest_free() const noexcept;
    // Bytes of host memory the simulated HBM occupies now.
    [[nodiscard]] uint64_t resident() const noexcept;

private:
    struct Pages {
        size_t first;
        size_t count;
        Arena arena;
    };

    [[nodiscard]] uint64_t page_bytes(size_t first, size_t count) const noexcept;
    [[nodiscard]] std::optional<size_t> take_pages(uint64_t size, size_t &count);

    UniqueFd memfd_;
    std::byte *data_ = nullptr;
    uint64_t total_bytes_ = 0;
    uint64_t user_bytes_ = 0;
    uint64_t used_ = 0;
    std::vector<bool> page_taken_;    // of the user's pages
    std::map<uint64_t, Pages> arenas_; // by offset of their first byte
};

} // namespace hl::sim
