// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess_kernels.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>

namespace hl::preprocess {
namespace {

// The filtered sample of column x, `byte` bytes into its pixel; `distance` bytes to the next.
float tap(const uint8_t *row, const ColumnTaps &taps, uint32_t x, uint32_t distance, uint32_t byte) noexcept
{
    const ColumnBlock &columns = taps.blocks[x / block];
    const uint8_t *first = row + columns.offset[x % block] + byte;
    const uint32_t weights = columns.weights[x % block];
    return static_cast<float>(first[0] * static_cast<int32_t>(weights & 0xffff) +
                              first[distance] * static_cast<int32_t>(weights >> 16));
}

// The same of 16-bit samples, `distance` samples apart.
float wide_tap(const uint8_t *row, const ColumnTaps &taps, uint32_t x, uint32_t distance, uint32_t sample) noexcept
{
    const ColumnBlock &columns = taps.blocks[x / block];
    const auto *first = reinterpret_cast<const uint16_t *>(row + columns.offset[x % block]) + sample;
    const uint32_t weights = columns.weights[x % block];
    return static_cast<float>(first[0] * (weights & 0xffff) + first[distance] * (weights >> 16));
}

void write_yuv(const RowJob &job, uint32_t x, float y, float u, float v) noexcept
{
    const ColourStep &c = *job.colour;
    for (size_t k = 0; k < 3; ++k) {
        const float value = c.matrix[k][0] * y + c.matrix[k][1] * u + c.matrix[k][2] * v + c.bias[k];
        job.out[k][x] = std::min(std::max(value, c.low[k]), c.high[k]);
    }
}

void nv12(const RowJob &job) noexcept
{
    for (uint32_t x = 0; x < job.width; ++x)
        write_yuv(job, x, tap(job.row[0], job.luma, x, 1, 0), tap(job.row[1], job.chroma, x, 2, 0),
                  tap(job.row[1], job.chroma, x, 2, 1));
}

void i420(const RowJob &job) noexcept
{
    for (uint32_t x = 0; x < job.width; ++x)
        write_yuv(job, x, tap(job.row[0], job.luma, x, 1, 0), tap(job.row[1], job.chroma, x, 1, 0),
                  tap(job.row[2], job.chroma, x, 1, 0));
}

void packed_yuv(const RowJob &job) noexcept
{
    const ColourStep &c = *job.colour;
    const uint8_t *row = job.row[0];
    for (uint32_t x = 0; x < job.width; ++x)
        write_yuv(job, x, tap(row, job.luma, x, 2, c.byte[0]), tap(row, job.chroma, x, 4, c.byte[1]),
                  tap(row, job.chroma, x, 4, c.byte[2]));
}

void p010(const RowJob &job) noexcept
{
    for (uint32_t x = 0; x < job.width; ++x)
        write_yuv(job, x, wide_tap(job.row[0], job.luma, x, 1, 0), wide_tap(job.row[1], job.chroma, x, 2, 0),
                  wide_tap(job.row[1], job.chroma, x, 2, 1));
}

void grey(const RowJob &job) noexcept
{
    for (uint32_t x = 0; x < job.width; ++x)
        write_yuv(job, x, tap(job.row[0], job.luma, x, 1, 0), 0.f, 0.f);
}

void packed(const RowJob &job) noexcept
{
    const ColourStep &c = *job.colour;
    for (uint32_t x = 0; x < job.width; ++x)
        for (size_t k = 0; k < 3; ++k)
            job.out[k][x] = tap(job.row[0], job.luma, x, c.pixel_bytes, c.byte[k]) * c.matrix[k][0] + c.bias[k];
}

void packed_direct(const RowJob &job) noexcept
{
    const ColourStep &c = *job.colour;
    for (size_t k = 0; k < 3; ++k) {
        const uint8_t *in = job.row[0] + c.byte[k];
        for (uint32_t x = 0; x < job.width; ++x)
            job.out[k][x] = static_cast<float>(in[size_t{x} * c.pixel_bytes]) * c.matrix[k][0] + c.bias[k];
    }
}

void interleave(const std::array<float *, 3> &channels, uint32_t width, float *out) noexcept
{
    for (uint32_t x = 0; x < width; ++x)
        for (size_t k = 0; k < 3; ++k)
            *out++ = channels[k][x];
}

void to_bytes(const float *in, uint32_t width, uint8_t *out) noexcept
{
    for (uint32_t x = 0; x < width; ++x)
        out[x] = static_cast<uint8_t>(std::lrintf(in[x]));
}

void to_bytes_interleaved(const std::array<float *, 3> &channels, uint32_t width, uint8_t *out) noexcept
{
    for (uint32_t x = 0; x < width; ++x)
        for (size_t k = 0; k < 3; ++k)
            *out++ = static_cast<uint8_t>(std::lrintf(channels[k][x]));
}

void to_halves(const float *in, uint32_t width, Half *out) noexcept
{
    for (uint32_t x = 0; x < width; ++x)
        out[x] = static_cast<Half>(in[x]);
}

void to_halves_interleaved(const std::array<float *, 3> &channels, uint32_t width, Half *out) noexcept
{
    for (uint32_t x = 0; x < width; ++x)
        for (size_t k = 0; k < 3; ++k)
            *out++ = static_cast<Half>(channels[k][x]);
}

void blend_wide(const uint8_t *upper, const uint8_t *lower, uint32_t fraction, size_t count, uint16_t *out) noexcept
{
    static_assert(std::endian::native == std::endian::little, "as the samples of P010_10LE are");
    constexpr uint32_t one = 1u << weight_bits;
    for (size_t i = 0; i < count; ++i) {
        uint16_t above = 0, below = 0;
        std::memcpy(&above, upper + 2 * i, 2);
        std::memcpy(&below, lower + 2 * i, 2);
        out[i] = static_cast<uint16_t>((above * (one - fraction) + below * fraction + one / 2) >> weight_bits);
    }
}

constexpr Kernels kernels{.name = "scalar",
                          .nv12 = nv12,
                          .i420 = i420,
                          .packed_yuv = packed_yuv,
                          .p010 = p010,
                          .grey = grey,
                          .packed = packed,
                          .packed_direct = packed_direct,
                          .interleave = interleave,
                          .to_bytes = to_bytes,
                          .to_bytes_interleaved = to_bytes_interleaved,
                          .to_halves = to_halves,
                          .to_halves_interleaved = to_halves_interleaved,
                          .blend_wide = blend_wide};

} // namespace

const Kernels &scalar_kernels() noexcept
{
    return kernels;
}

} // namespace hl::preprocess
