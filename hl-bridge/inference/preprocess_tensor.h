// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include "inference/preprocess.h"
#include "inference/preprocess_kernels.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <type_traits>

// Private to preprocess.cpp.
namespace hl::preprocess {

// The model's input tensor, written row by row. T: float, Half or uint8_t.
template <class T>
class Tensor {
public:
    Tensor(const ImageTarget &target, const Kernels &kernels, const std::array<float, 3> &pad,
           std::byte *tensor) noexcept
        : kernels_(kernels), width_(target.width), plane_(size_t{target.width} * target.height),
          planar_(target.layout == TensorLayout::NCHW), out_(reinterpret_cast<T *>(tensor))
    {
        for (size_t k = 0; k < 3; ++k)
            pad_[k] = static_cast<T>(pad[k]);
    }

    [[nodiscard]] uint32_t width() const noexcept { return width_; }

    // `count` pixels of border from (x, y) on, running on into further rows.
    void border(uint32_t x, uint32_t y, size_t count) const noexcept
    {
        const size_t at = size_t{y} * width_ + x;
        if (planar_) {
            for (size_t k = 0; k < 3; ++k)
                std::fill_n(out_ + k * plane_ + at, count, pad_[k]);
            return;
        }
        for (T *to = out_ + at * 3; count > 0; --count, to += 3)
            std::copy(pad_.begin(), pad_.end(), to);
    }

    // Where the kernel writes its rows of floats for output row (x, y): the tensor itself where it can.
    void aim(RowJob &job, uint32_t x, uint32_t y, const std::array<float *, 3> &rows) const noexcept
    {
        job.out = rows;
        if constexpr (std::is_same_v<T, float>)
            if (planar_)
                for (size_t k = 0; k < 3; ++k)
                    job.out[k] = out_ + k * plane_ + size_t{y} * width_ + x;
    }

    // Brings the rows the kernel wrote into the tensor's type and layout.
    void finish(const RowJob &job, uint32_t x, uint32_t y) const noexcept
    {
        const size_t at = size_t{y} * width_ + x;
        if (!planar_)
            interleave(job, out_ + at * 3);
        else if constexpr (!std::is_same_v<T, float>)
            for (size_t k = 0; k < 3; ++k)
                convert(job.out[k], job.width, out_ + k * plane_ + at);
    }

private:
    void interleave(const RowJob &job, T *to) const noexcept
    {
        if constexpr (std::is_same_v<T, float>)
            kernels_.interleave(job.out, job.width, to);
        else if constexpr (std::is_same_v<T, Half>)
            kernels_.to_halves_interleaved(job.out, job.width, to);
        else
            kernels_.to_bytes_interleaved(job.out, job.width, to);
    }
    void convert(const float *from, uint32_t width, T *to) const noexcept
    {
        if constexpr (std::is_same_v<T, Half>)
            kernels_.to_halves(from, width, to);
        else
            kernels_.to_bytes(from, width, to);
    }

    const Kernels &kernels_;
    uint32_t width_;
    size_t plane_;
    bool planar_;
    T *out_;
    std::array<T, 3> pad_{};
};

} // namespace hl::preprocess
