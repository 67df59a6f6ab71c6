// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <cstdint>

// The inner loops of Preprocess; private to preprocess*.cpp and their tests.
namespace hl::preprocess {

// Fraction bits of a column weight. 14 keeps both weights of a pair, which sum to 1 << 14, in an int16, and a weighted
// sample (at most 255 << 14) exact in a float.
inline constexpr int weight_bits = 14;
// Column tables are filled up to a multiple of this, so kernels read whole blocks of them.
inline constexpr uint32_t block = 8;
// Bytes a kernel may read past the last sample of a row it filters.
inline constexpr uint32_t row_padding = 64;

// Two-tap filter for `block` output columns: sample = row[offset] * low16(weights) + row[offset + distance] *
// high16(weights).
struct alignas(32) ColumnBlock {
    std::array<int32_t, block> offset;      // bytes from the row's start
    std::array<uint32_t, block> weights;    // two int16
    std::array<uint8_t, 4 * block> shuffle; // per column: bytes of its two taps in the half's window, as two int16
    std::array<int32_t, 2> window;          // offset of the 16 bytes that hold all taps of each half
};

// A row's filter: blocks up to a whole one, the last column repeated.
struct ColumnTaps {
    const ColumnBlock *blocks = nullptr;
    bool windowed = false; // shuffle and window can be used: the taps of four columns always lie within 16 bytes
};

// channel[k] = clamp(sum over i of matrix[k][i] * sample[i] + bias[k], low[k], high[k]), k in the model's channel
// order. Samples are Y, U, V (each still shifted up by weight_bits) for YUV, and the pixel's own bytes for packed
// formats, where matrix[k][0] is the factor, byte[k] says which byte, and nothing is clamped. In packed YUV byte[i] is
// where sample i lies in its first two pixels.
struct ColourStep {
    std::array<std::array<float, 3>, 3> matrix{};
    std::array<float, 3> bias{};
    std::array<float, 3> low{};
    std::array<float, 3> high{};
    std::array<uint8_t, 3> byte{};
    uint8_t pixel_bytes = 0; // packed formats: 3 or 4
};

// One row of output from rows that are already filtered vertically.
struct RowJob {
    std::array<const uint8_t *, 3> row{}; // one per plane, readable for row_padding bytes past its last sample
    ColumnTaps luma{};                    // packed formats: of the pixels
    ColumnTaps chroma{};
    const ColourStep *colour = nullptr;
    uint32_t width = 0;           // pixels to write
    std::array<float *, 3> out{}; // one row per channel
};

// A set of kernels for one instruction set.
struct Kernels {
    const char *name;
    void (*nv12)(const RowJob &) noexcept;
    void (*i420)(const RowJob &) noexcept;
    void (*packed_yuv)(const RowJob &) noexcept; // YUY2, UYVY: luma every 2 bytes, chroma every 4
    void (*packed)(const RowJob &) noexcept;
    // Like packed, for width pixels that need no filter: taps are not looked at, no byte past the last pixel is read,
    // and matrix[k][0] is the factor of the plain byte.
    void (*packed_direct)(const RowJob &) noexcept;
    // channels[k] -> out[3 * x + k]
    void (*interleave)(const std::array<float *, 3> &channels, uint32_t width, float *out) noexcept;
    // Rounds to nearest; values lie in 0..255.
    void (*to_bytes)(const float *in, uint32_t width, uint8_t *out) noexcept;
    void (*to_bytes_interleaved)(const std::array<float *, 3> &channels, uint32_t width, uint8_t *out) noexcept;
};

[[nodiscard]] const Kernels &scalar_kernels() noexcept;
// Null where this CPU (or build) has no AVX2 and FMA.
[[nodiscard]] const Kernels *avx2_kernels() noexcept;

} // namespace hl::preprocess
