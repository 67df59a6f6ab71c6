// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess_kernels.h"

#include <algorithm>
#include <cmath>

namespace hl::preprocess {
namespace {

float tap(const uint8_t *first, uint32_t pixel, uint32_t weights) noexcept
{
    const auto low = static_cast<int32_t>(weights & 0xffff);
    const auto high = static_cast<int32_t>(weights >> 16);
    return static_cast<float>(first[0] * low + first[pixel] * high);
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
    for (uint32_t x = 0; x < job.width; ++x) {
        const uint8_t *uv = job.row[1] + job.chroma.offset[x];
        write_yuv(job, x, tap(job.row[0] + job.luma.offset[x], 1, job.luma.weights[x]),
                  tap(uv, 2, job.chroma.weights[x]), tap(uv + 1, 2, job.chroma.weights[x]));
    }
}

void i420(const RowJob &job) noexcept
{
    for (uint32_t x = 0; x < job.width; ++x)
        write_yuv(job, x, tap(job.row[0] + job.luma.offset[x], 1, job.luma.weights[x]),
                  tap(job.row[1] + job.chroma.offset[x], 1, job.chroma.weights[x]),
                  tap(job.row[2] + job.chroma.offset[x], 1, job.chroma.weights[x]));
}

void packed(const RowJob &job) noexcept
{
    const ColourStep &c = *job.colour;
    for (uint32_t x = 0; x < job.width; ++x) {
        const uint8_t *pixel = job.row[0] + job.luma.offset[x];
        for (size_t k = 0; k < 3; ++k)
            job.out[k][x] = tap(pixel + c.byte[k], c.pixel_bytes, job.luma.weights[x]) * c.matrix[k][0] + c.bias[k];
    }
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

constexpr Kernels kernels{"scalar", nv12, i420, packed, packed_direct, interleave, to_bytes, to_bytes_interleaved};

} // namespace

const Kernels &scalar_kernels() noexcept
{
    return kernels;
}

} // namespace hl::preprocess
