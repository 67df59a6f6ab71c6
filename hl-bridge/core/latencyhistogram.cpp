// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/latencyhistogram.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace hl {

// Values below 2^sub_bits have a bucket each; above, the top bit picks the octave and the next sub_bits bits the bucket
// in it.
size_t LatencyHistogram::bucket_of(uint64_t value) noexcept
{
    if (value < (uint64_t{1} << sub_bits))
        return static_cast<size_t>(value);
    const auto top = static_cast<unsigned>(std::bit_width(value)) - 1;
    const unsigned octave = top - sub_bits + 1;
    return (static_cast<size_t>(octave) << sub_bits) +
           static_cast<size_t>((value >> (top - sub_bits)) & ((1u << sub_bits) - 1));
}

uint64_t LatencyHistogram::upper_edge(size_t bucket) noexcept
{
    const size_t octave = bucket >> sub_bits;
    const uint64_t sub = bucket & ((1u << sub_bits) - 1);
    if (octave == 0)
        return sub;
    const auto shift = static_cast<unsigned>(octave - 1);
    return (((uint64_t{1} << sub_bits) + sub + 1) << shift) - 1;
}

void LatencyHistogram::add(int64_t nanoseconds) noexcept
{
    const auto value = static_cast<uint64_t>(std::max<int64_t>(nanoseconds, 0));
    cells_[bucket_of(value)].fetch_add(1, std::memory_order_relaxed);
}

uint64_t LatencyHistogram::count() const noexcept
{
    uint64_t total = 0;
    for (const auto &cell : cells_)
        total += cell.load(std::memory_order_relaxed);
    return total;
}

int64_t LatencyHistogram::percentile(double q) const noexcept
{
    const uint64_t total = count();
    if (total == 0)
        return 0;
    const auto rank = std::max<uint64_t>(1, static_cast<uint64_t>(std::ceil(q * static_cast<double>(total))));
    uint64_t seen = 0;
    for (size_t i = 0; i < buckets; ++i) {
        seen += cells_[i].load(std::memory_order_relaxed);
        if (seen >= rank)
            return static_cast<int64_t>(upper_edge(i));
    }
    return 0;
}

void LatencyHistogram::reset() noexcept
{
    for (auto &cell : cells_)
        cell.store(0, std::memory_order_relaxed);
}

} // namespace hl
