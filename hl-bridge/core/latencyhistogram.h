// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

namespace hl {

// Durations in nanoseconds, counted in buckets whose width is at most 1/16 of their value, so a percentile read back is
// at most 6.25 % too high. Fixed storage, any thread may add; readers see a consistent-enough state.
class LatencyHistogram {
public:
    void add(int64_t nanoseconds) noexcept;
    // The upper edge (ns) of the bucket that holds the given fraction (0 < q <= 1) of all values; 0 where nothing was
    // added.
    [[nodiscard]] int64_t percentile(double q) const noexcept;
    [[nodiscard]] uint64_t count() const noexcept;
    void reset() noexcept;

private:
    static constexpr unsigned sub_bits = 4;
    static constexpr size_t buckets = (64 - sub_bits + 1) << sub_bits;

    static size_t bucket_of(uint64_t value) noexcept;
    static uint64_t upper_edge(size_t bucket) noexcept;

    std::array<std::atomic<uint64_t>, buckets> cells_{};
};

} // namespace hl
