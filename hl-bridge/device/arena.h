// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

namespace hl {

// Divides one stretch of device memory among allocations. A chip hands out pages far larger than a frame (Gaudi2: 768
// MiB, gaudi2.c), so a backend allocates a few and an Arena divides each. Offsets are relative to the stretch. Free
// neighbours merge at once. Finding a block costs the logarithm of the number of different free sizes, so it is
// constant for a pool of equal frames. Not thread safe.
class Arena {
public:
    // Every offset and size is a multiple of `unit`, a power of two; `size` is rounded down to one.
    explicit Arena(uint64_t size, uint64_t unit = 4096);

    // The offset of `size` bytes (rounded up to the unit), or nullopt when no free block is large enough or size is 0.
    // Best fit, lowest size first.
    [[nodiscard]] std::optional<uint64_t> allocate(uint64_t size);
    // Gives back what allocate() returned. False for an offset that is not allocated.
    [[nodiscard]] bool free(uint64_t offset);
    // Bytes the allocation at `offset` occupies; 0 if there is none.
    [[nodiscard]] uint64_t size_at(uint64_t offset) const;

    [[nodiscard]] uint64_t size() const noexcept { return size_; }
    [[nodiscard]] uint64_t used() const noexcept { return used_; }
    [[nodiscard]] bool empty() const noexcept { return used_ == 0; }
    [[nodiscard]] uint64_t largest_free() const noexcept { return free_.empty() ? 0 : free_.rbegin()->first; }

private:
    using Index = uint32_t;
    static constexpr Index none = UINT32_MAX;

    // Every byte belongs to exactly one block; `before` and `after` are neighbours by address, `left` and `right` by
    // free list (blocks of one size).
    struct Block {
        uint64_t offset = 0;
        uint64_t size = 0;
        bool is_free = false;
        Index before = none, after = none;
        Index left = none, right = none;
    };

    Index new_block();
    void put_free(Index block);
    void take_free(Index block);
    void merge_after(Index block);

    uint64_t size_;
    uint64_t unit_;
    uint64_t used_ = 0;
    std::vector<Block> blocks_;
    std::vector<Index> spare_;
    std::map<uint64_t, Index> free_; // size -> first block of that size
    std::unordered_map<uint64_t, Index> allocated_;
};

} // namespace hl
