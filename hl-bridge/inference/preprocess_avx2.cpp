// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// Only functions marked so may use these instructions; they are reached through avx2_kernels() alone.
#define HL_AVX2 __attribute__((target("avx2,fma")))

namespace hl::preprocess {
namespace {

struct Channel {
    __m256 y, u, v, bias, low, high;
};

HL_AVX2 inline __m256i load(const void *from) noexcept
{
    return _mm256_loadu_si256(static_cast<const __m256i *>(from));
}

// Four bytes from each of eight places.
HL_AVX2 inline __m256i gather(const uint8_t *row, __m256i offset) noexcept
{
    return _mm256_i32gather_epi32(reinterpret_cast<const int *>(row), offset, 1);
}

// In each 32-bit lane: bytes `first` and `second` as two int16; a negative index gives 0.
HL_AVX2 inline __m256i spread(char first, char second) noexcept
{
    const auto f = [first](int lane) { return static_cast<char>(first < 0 ? -1 : first + 4 * lane); };
    const auto s = [second](int lane) { return static_cast<char>(second < 0 ? -1 : second + 4 * lane); };
    return _mm256_broadcastsi128_si256(
        _mm_setr_epi8(f(0), -1, s(0), -1, f(1), -1, s(1), -1, f(2), -1, s(2), -1, f(3), -1, s(3), -1));
}

HL_AVX2 inline __m256 weigh(__m256i pairs, __m256i weights) noexcept
{
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, weights));
}

// Lanes of the block at x that lie inside the row.
HL_AVX2 inline __m256i lanes(uint32_t x, uint32_t width) noexcept
{
    const auto left = static_cast<int>(width - x);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(left), _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7));
}

HL_AVX2 inline void store(float *out, uint32_t x, uint32_t width, __m256 value) noexcept
{
    if (x + block <= width) [[likely]]
        _mm256_storeu_ps(out + x, value);
    else
        _mm256_maskstore_ps(out + x, lanes(x, width), value);
}

HL_AVX2 inline Channel channel(const ColourStep &c, size_t k) noexcept
{
    return {_mm256_set1_ps(c.matrix[k][0]), _mm256_set1_ps(c.matrix[k][1]), _mm256_set1_ps(c.matrix[k][2]),
            _mm256_set1_ps(c.bias[k]),      _mm256_set1_ps(c.low[k]),       _mm256_set1_ps(c.high[k])};
}

HL_AVX2 inline __m256 convert(const Channel &c, __m256 y, __m256 u, __m256 v) noexcept
{
    const __m256 sum = _mm256_fmadd_ps(c.v, v, _mm256_fmadd_ps(c.u, u, _mm256_fmadd_ps(c.y, y, c.bias)));
    return _mm256_min_ps(_mm256_max_ps(sum, c.low), c.high);
}

HL_AVX2 void nv12(const RowJob &job) noexcept
{
    const Channel c0 = channel(*job.colour, 0), c1 = channel(*job.colour, 1), c2 = channel(*job.colour, 2);
    const __m256i luma = spread(0, 1), first = spread(0, 2), second = spread(1, 3);
    for (uint32_t x = 0; x < job.width; x += block) {
        const __m256i yy = gather(job.row[0], load(job.luma.offset + x));
        const __m256i uv = gather(job.row[1], load(job.chroma.offset + x));
        const __m256i wc = load(job.chroma.weights + x);
        const __m256 y = weigh(_mm256_shuffle_epi8(yy, luma), load(job.luma.weights + x));
        const __m256 u = weigh(_mm256_shuffle_epi8(uv, first), wc);
        const __m256 v = weigh(_mm256_shuffle_epi8(uv, second), wc);
        store(job.out[0], x, job.width, convert(c0, y, u, v));
        store(job.out[1], x, job.width, convert(c1, y, u, v));
        store(job.out[2], x, job.width, convert(c2, y, u, v));
    }
}

HL_AVX2 void i420(const RowJob &job) noexcept
{
    const Channel c0 = channel(*job.colour, 0), c1 = channel(*job.colour, 1), c2 = channel(*job.colour, 2);
    const __m256i pair = spread(0, 1);
    for (uint32_t x = 0; x < job.width; x += block) {
        const __m256i at = load(job.chroma.offset + x);
        const __m256i wc = load(job.chroma.weights + x);
        const __m256 y =
            weigh(_mm256_shuffle_epi8(gather(job.row[0], load(job.luma.offset + x)), pair), load(job.luma.weights + x));
        const __m256 u = weigh(_mm256_shuffle_epi8(gather(job.row[1], at), pair), wc);
        const __m256 v = weigh(_mm256_shuffle_epi8(gather(job.row[2], at), pair), wc);
        store(job.out[0], x, job.width, convert(c0, y, u, v));
        store(job.out[1], x, job.width, convert(c1, y, u, v));
        store(job.out[2], x, job.width, convert(c2, y, u, v));
    }
}

HL_AVX2 void packed(const RowJob &job) noexcept
{
    const ColourStep &c = *job.colour;
    for (uint32_t x = 0; x < job.width; x += block) {
        const __m256i at = load(job.luma.offset + x);
        const __m256i weights = load(job.luma.weights + x);
        const __m256i left = gather(job.row[0], at);
        const __m256i right = gather(job.row[0] + c.pixel_bytes, at);
        for (size_t k = 0; k < 3; ++k) {
            const auto byte = static_cast<char>(c.byte[k]);
            const __m256i pairs = _mm256_or_si256(_mm256_shuffle_epi8(left, spread(byte, -1)),
                                                  _mm256_shuffle_epi8(right, spread(-1, byte)));
            store(job.out[k], x, job.width,
                  _mm256_fmadd_ps(weigh(pairs, weights), _mm256_set1_ps(c.matrix[k][0]), _mm256_set1_ps(c.bias[k])));
        }
    }
}

// Eight pixels of three bytes as two 128-bit halves of four pixels each: bytes 0..15 and 8..23, so no byte past the
// eighth pixel is read.
HL_AVX2 inline __m256i load_three(const uint8_t *in) noexcept
{
    const __m128i low = _mm_loadu_si128(reinterpret_cast<const __m128i *>(in));
    const __m128i high = _mm_loadu_si128(reinterpret_cast<const __m128i *>(in + 8));
    return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1);
}

// Byte `byte` of each of eight pixels as int32, for load_three() (the high half starts 4 bytes late) or plain 4 bytes.
HL_AVX2 inline __m256i pick(uint8_t pixel_bytes, uint8_t byte) noexcept
{
    alignas(32) char index[32];
    for (int i = 0; i < 8; ++i) {
        const int skip = pixel_bytes == 3 && i >= 4 ? 4 : 0;
        index[4 * i] = static_cast<char>((i & 3) * pixel_bytes + byte + skip);
        index[4 * i + 1] = index[4 * i + 2] = index[4 * i + 3] = -1;
    }
    return load(index);
}

HL_AVX2 void packed_direct(const RowJob &job) noexcept
{
    const ColourStep &c = *job.colour;
    const __m256i pick0 = pick(c.pixel_bytes, c.byte[0]), pick1 = pick(c.pixel_bytes, c.byte[1]),
                  pick2 = pick(c.pixel_bytes, c.byte[2]);
    const __m256 factor0 = _mm256_set1_ps(c.matrix[0][0]), bias0 = _mm256_set1_ps(c.bias[0]);
    const __m256 factor1 = _mm256_set1_ps(c.matrix[1][0]), bias1 = _mm256_set1_ps(c.bias[1]);
    const __m256 factor2 = _mm256_set1_ps(c.matrix[2][0]), bias2 = _mm256_set1_ps(c.bias[2]);
    uint32_t x = 0;
    for (; x + block <= job.width; x += block) {
        const uint8_t *in = job.row[0] + size_t{x} * c.pixel_bytes;
        const __m256i pixels = c.pixel_bytes == 3 ? load_three(in) : load(in);
        const __m256 v0 = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(pixels, pick0));
        const __m256 v1 = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(pixels, pick1));
        const __m256 v2 = _mm256_cvtepi32_ps(_mm256_shuffle_epi8(pixels, pick2));
        _mm256_storeu_ps(job.out[0] + x, _mm256_fmadd_ps(v0, factor0, bias0));
        _mm256_storeu_ps(job.out[1] + x, _mm256_fmadd_ps(v1, factor1, bias1));
        _mm256_storeu_ps(job.out[2] + x, _mm256_fmadd_ps(v2, factor2, bias2));
    }
    RowJob rest = job;
    rest.row[0] += size_t{x} * c.pixel_bytes;
    rest.width -= x;
    for (float *&out : rest.out)
        out += x;
    scalar_kernels().packed_direct(rest);
}

// Eight floats as bytes in the low half.
HL_AVX2 inline __m128i bytes(const float *in) noexcept
{
    const __m256i words = _mm256_cvtps_epi32(_mm256_loadu_ps(in));
    const __m128i halves = _mm_packus_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
    return _mm_packus_epi16(halves, halves);
}

HL_AVX2 void to_bytes(const float *in, uint32_t width, uint8_t *out) noexcept
{
    uint32_t x = 0;
    for (; x + block <= width; x += block)
        _mm_storel_epi64(reinterpret_cast<__m128i *>(out + x), bytes(in + x));
    scalar_kernels().to_bytes(in + x, width - x, out + x);
}

HL_AVX2 void to_bytes_interleaved(const std::array<float *, 3> &channels, uint32_t width, uint8_t *out) noexcept
{
    // Of 0..7 (channel 0), 8..15 (channel 1) in one register and 0..7 (channel 2) in another.
    const __m128i head01 = _mm_setr_epi8(0, 8, -1, 1, 9, -1, 2, 10, -1, 3, 11, -1, 4, 12, -1, 5);
    const __m128i head2 = _mm_setr_epi8(-1, -1, 0, -1, -1, 1, -1, -1, 2, -1, -1, 3, -1, -1, 4, -1);
    const __m128i tail01 = _mm_setr_epi8(13, -1, 6, 14, -1, 7, 15, -1, -1, -1, -1, -1, -1, -1, -1, -1);
    const __m128i tail2 = _mm_setr_epi8(-1, 5, -1, -1, 6, -1, -1, 7, -1, -1, -1, -1, -1, -1, -1, -1);
    uint32_t x = 0;
    for (; x + block <= width; x += block) {
        const __m128i both = _mm_unpacklo_epi64(bytes(channels[0] + x), bytes(channels[1] + x));
        const __m128i third = bytes(channels[2] + x);
        uint8_t *to = out + size_t{x} * 3;
        _mm_storeu_si128(reinterpret_cast<__m128i *>(to),
                         _mm_or_si128(_mm_shuffle_epi8(both, head01), _mm_shuffle_epi8(third, head2)));
        _mm_storel_epi64(reinterpret_cast<__m128i *>(to + 16),
                         _mm_or_si128(_mm_shuffle_epi8(both, tail01), _mm_shuffle_epi8(third, tail2)));
    }
    scalar_kernels().to_bytes_interleaved({channels[0] + x, channels[1] + x, channels[2] + x}, width - x,
                                          out + size_t{x} * 3);
}

void interleave(const std::array<float *, 3> &channels, uint32_t width, float *out) noexcept
{
    scalar_kernels().interleave(channels, width, out);
}

constexpr Kernels kernels{"avx2", nv12, i420, packed, packed_direct, interleave, to_bytes, to_bytes_interleaved};

} // namespace

const Kernels *avx2_kernels() noexcept
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma") ? &kernels : nullptr;
}

} // namespace hl::preprocess

#else

namespace hl::preprocess {

const Kernels *avx2_kernels() noexcept
{
    return nullptr;
}

} // namespace hl::preprocess

#endif
