// SPDX-License-Identifier: LGPL-2.1-or-later
#include "core/tensorshape.h"

#include <algorithm>

namespace hl {

TensorShape::TensorShape(std::span<const int64_t> dims) noexcept : rank_(std::min(dims.size(), max_rank))
{
    std::copy_n(dims.begin(), rank_, dims_.begin());
}

bool TensorShape::fixed() const noexcept
{
    return std::ranges::all_of(dims(), [](int64_t d) { return d > 0; });
}

uint64_t TensorShape::elements() const noexcept
{
    if (!fixed())
        return 0;
    constexpr uint64_t limit = uint64_t{1} << 62;
    uint64_t product = 1;
    for (const int64_t d : dims()) {
        const auto dim = static_cast<uint64_t>(d);
        if (dim > limit / product)
            return 0;
        product *= dim;
    }
    return product;
}

std::string TensorShape::text() const
{
    std::string out;
    for (const int64_t d : dims()) {
        if (!out.empty())
            out += 'x';
        out += d > 0 ? std::to_string(d) : "?";
    }
    return out.empty() ? "scalar" : out;
}

bool operator==(const TensorShape &a, const TensorShape &b) noexcept
{
    return std::ranges::equal(a.dims(), b.dims());
}

} // namespace hl
