// SPDX-License-Identifier: LGPL-2.1-or-later
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

// The inner loops of Preprocess; private to preprocess*.cpp and their tests.
namespace hl::preprocess {

// IEEE 754 binary16, rounded to the nearest, ties to even.
using Half = _Float16;

// Fraction bits of a column weight. 14 keeps both weights of a pair, which sum to 1 << 14, in an int16, a weighted
// sample of 8 bits (at most 255 << 14) exact in a float, and one of 16 bits in an int32.
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
// order. Samples are Y, U, V as they lie (NV21 and YV12 have V before U; each still shifted up by weight_bits) for YUV,
// Y alone for grey, and the pixel's own bytes for packed RGB, where matrix[k][0] is the factor, byte[k] says which
// byte, and nothing is clamped. In packed YUV byte[i] is where sample i lies in its first two pixels.
struct ColourStep {
    std::array<std::array<float, 3>, 3> matrix{};
    std::array<float, 3> bias{};
    std::array<float, 3> low{};
    std::array<float, 3> high{};
    std::array<uint8_t, 3> byte{};
    uint8_t pixel_bytes = 0; // packed RGB: 3 or 4
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
    void (*p010)(const RowJob &) noexcept;       // rows of 16-bit samples, at even addresses
    void (*grey)(const RowJob &) noexcept;
    void (*packed)(const RowJob &) noexcept; // RGB
    // Like packed, for width pixels that need no filter: taps are not looked at, no byte past the last pixel is read,
    // and matrix[k][0] is the factor of the plain byte.
    void (*packed_direct)(const RowJob &) noexcept;
    // channels[k] -> out[3 * x + k]
    void (*interleave)(const std::array<float *, 3> &channels, uint32_t width, float *out) noexcept;
    // Rounds to nearest; values lie in 0..255.
    void (*to_bytes)(const float *in, uint32_t width, uint8_t *out) noexcept;
    void (*to_bytes_interleaved)(const std::array<float *, 3> &channels, uint32_t width, uint8_t *out) noexcept;
    void (*to_halves)(const float *in, uint32_t width, Half *out) noexcept;
    void (*to_halves_interleaved)(const std::array<float *, 3> &channels, uint32_t width, Half *out) noexcept;
    // `count` samples of 16 bits, each `fraction` / 2^weight_bits of the way from the upper row to the lower; the rows
    // may lie at odd addresses.
    void (*blend_wide)(const uint8_t *upper, const uint8_t *lower, uint32_t fraction, size_t count,
                       uint16_t *out) noexcept;
};

[[nodiscard]] const Kernels &scalar_kernels() noexcept;
// Null where this CPU (or build) has no AVX2 and FMA; halves are made by F16C where it has that.
[[nodiscard]] const Kernels *avx2_kernels() noexcept;

} // namespace hl::preprocess
