// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <string>

namespace hl {

// The dimensions of a tensor, outermost first (row-major), at most 8. A dimension of -1 is unknown until run time.
class TensorShape {
public:
    static constexpr size_t max_rank = 8;

    TensorShape() noexcept = default;
    TensorShape(std::initializer_list<int64_t> dims) : TensorShape(std::span(dims.begin(), dims.size())) {}
    // Dimensions past max_rank are dropped; callers check rank() first where input is not trusted.
    explicit TensorShape(std::span<const int64_t> dims) noexcept;

    [[nodiscard]] size_t rank() const noexcept { return rank_; }
    [[nodiscard]] int64_t operator[](size_t i) const noexcept { return dims_[i]; }
    int64_t &operator[](size_t i) noexcept { return dims_[i]; }
    [[nodiscard]] std::span<const int64_t> dims() const noexcept { return {dims_.data(), rank_}; }
    // True where every dimension is known and positive.
    [[nodiscard]] bool fixed() const noexcept;
    // Elements in all; 0 where not fixed or where the product overflows 2^62.
    [[nodiscard]] uint64_t elements() const noexcept;
    // "1x3x320x320", "?" for an unknown dimension.
    [[nodiscard]] std::string text() const;

    friend bool operator==(const TensorShape &a, const TensorShape &b) noexcept;

private:
    std::array<int64_t, max_rank> dims_{};
    size_t rank_ = 0;
};

} // namespace hl
