// SPDX-License-Identifier: LGPL-2.1-or-later
#include "inference/preprocess_kernels.h"

#if defined(__x86_64__)
#include <immintrin.h>

// Only functions marked so may use these instructions; they are reached through avx2_kernels() alone.
#define HL_AVX2 __attribute__((target("avx2,fma")))
#define HL_F16C __attribute__((target("avx2,fma,f16c")))

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

// To a byte shuffle, and still one when a few bytes are added.
constexpr char zero = -128;

// In each 32-bit lane: bytes `first` and `second` as two int16; a negative index gives 0.
HL_AVX2 inline __m256i spread(char first, char second) noexcept
{
    const auto f = [first](int lane) { return first < 0 ? zero : static_cast<char>(first + 4 * lane); };
    const auto s = [second](int lane) { return second < 0 ? zero : static_cast<char>(second + 4 * lane); };
    return _mm256_broadcastsi128_si256(
        _mm_setr_epi8(f(0), zero, s(0), zero, f(1), zero, s(1), zero, f(2), zero, s(2), zero, f(3), zero, s(3), zero));
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

// The 16 bytes around each half of a block's columns.
HL_AVX2 inline __m256i window(const uint8_t *row, const ColumnBlock &columns) noexcept
{
    const auto *low = reinterpret_cast<const __m128i *>(row + columns.window[0]);
    const auto *high = reinterpret_cast<const __m128i *>(row + columns.window[1]);
    return _mm256_inserti128_si256(_mm256_castsi128_si256(_mm_loadu_si128(low)), _mm_loadu_si128(high), 1);
}

// Eight filtered samples of a plane with one byte per sample.
template <bool Windowed>
HL_AVX2 inline __m256 filter(const uint8_t *row, const ColumnBlock &columns) noexcept
{
    const __m256i weights = load(&columns.weights);
    if constexpr (Windowed)
        return weigh(_mm256_shuffle_epi8(window(row, columns), load(&columns.shuffle)), weights);
    else
        return weigh(_mm256_shuffle_epi8(gather(row, load(&columns.offset)), spread(0, 1)), weights);
}

// Eight filtered pairs of NV12's second plane.
struct Pair {
    __m256 u, v;
};
template <bool Windowed>
HL_AVX2 inline Pair filter_pairs(const uint8_t *row, const ColumnBlock &columns) noexcept
{
    const __m256i weights = load(&columns.weights);
    if constexpr (Windowed) {
        const __m256i bytes = window(row, columns), first = load(&columns.shuffle);
        // One byte further on; a "zero" index stays one.
        const __m256i second = _mm256_add_epi8(first, _mm256_set1_epi8(1));
        return {weigh(_mm256_shuffle_epi8(bytes, first), weights), weigh(_mm256_shuffle_epi8(bytes, second), weights)};
    } else {
        const __m256i bytes = gather(row, load(&columns.offset));
        return {weigh(_mm256_shuffle_epi8(bytes, spread(0, 2)), weights),
                weigh(_mm256_shuffle_epi8(bytes, spread(1, 3)), weights)};
    }
}

// What moves the taps of a shuffle on by `byte` bytes.
HL_AVX2 inline __m256i tap_bytes(uint8_t byte) noexcept
{
    return _mm256_set1_epi8(static_cast<char>(byte));
}

// Eight filtered samples that lie `byte` bytes into their pixels, 2 bytes apart.
template <bool Windowed>
HL_AVX2 inline __m256 filter_every_second(const uint8_t *row, const ColumnBlock &columns, __m256i byte) noexcept
{
    const __m256i weights = load(&columns.weights);
    if constexpr (Windowed) {
        const __m256i taps = _mm256_add_epi8(load(&columns.shuffle), byte);
        return weigh(_mm256_shuffle_epi8(window(row, columns), taps), weights);
    } else {
        const __m256i taps = _mm256_add_epi8(spread(0, 2), byte);
        return weigh(_mm256_shuffle_epi8(gather(row, load(&columns.offset)), taps), weights);
    }
}

// Eight filtered pairs of samples `u` and `v` bytes into their two pixels, 4 bytes apart.
template <bool Windowed>
HL_AVX2 inline Pair filter_every_fourth(const uint8_t *row, const ColumnBlock &columns, __m256i u, __m256i v) noexcept
{
    const __m256i weights = load(&columns.weights);
    if constexpr (Windowed) {
        const __m256i bytes = window(row, columns), taps = load(&columns.shuffle);
        return {weigh(_mm256_shuffle_epi8(bytes, _mm256_add_epi8(taps, u)), weights),
                weigh(_mm256_shuffle_epi8(bytes, _mm256_add_epi8(taps, v)), weights)};
    } else {
        const __m256i left = gather(row, load(&columns.offset)), right = gather(row + 4, load(&columns.offset));
        const __m256i low = spread(0, -1), high = spread(-1, 0);
        const auto sample = [&](__m256i byte) HL_AVX2 {
            return weigh(_mm256_or_si256(_mm256_shuffle_epi8(left, _mm256_add_epi8(low, byte)),
                                         _mm256_shuffle_epi8(right, _mm256_add_epi8(high, byte))),
                         weights);
        };
        return {sample(u), sample(v)};
    }
}

template <bool LumaWindowed, bool ChromaWindowed>
HL_AVX2 void packed_yuv(const RowJob &job) noexcept
{
    const Channel c0 = channel(*job.colour, 0), c1 = channel(*job.colour, 1), c2 = channel(*job.colour, 2);
    const auto byte = [&job](size_t i) HL_AVX2 { return tap_bytes(job.colour->byte[i]); };
    const __m256i y_byte = byte(0), u_byte = byte(1), v_byte = byte(2);
    const ColumnBlock *luma = job.luma.blocks, *chroma = job.chroma.blocks;
    for (uint32_t x = 0; x < job.width; x += block, ++luma, ++chroma) {
        const __m256 y = filter_every_second<LumaWindowed>(job.row[0], *luma, y_byte);
        const Pair uv = filter_every_fourth<ChromaWindowed>(job.row[0], *chroma, u_byte, v_byte);
        store(job.out[0], x, job.width, convert(c0, y, uv.u, uv.v));
        store(job.out[1], x, job.width, convert(c1, y, uv.u, uv.v));
        store(job.out[2], x, job.width, convert(c2, y, uv.u, uv.v));
    }
}

void any_packed_yuv(const RowJob &job) noexcept
{
    if (job.luma.windowed)
        job.chroma.windowed ? packed_yuv<true, true>(job) : packed_yuv<true, false>(job);
    else
        job.chroma.windowed ? packed_yuv<false, true>(job) : packed_yuv<false, false>(job);
}

template <bool Semiplanar, bool LumaWindowed, bool ChromaWindowed>
HL_AVX2 void yuv(const RowJob &job) noexcept
{
    const Channel c0 = channel(*job.colour, 0), c1 = channel(*job.colour, 1), c2 = channel(*job.colour, 2);
    const ColumnBlock *luma = job.luma.blocks, *chroma = job.chroma.blocks;
    for (uint32_t x = 0; x < job.width; x += block, ++luma, ++chroma) {
        const __m256 y = filter<LumaWindowed>(job.row[0], *luma);
        Pair uv;
        if constexpr (Semiplanar)
            uv = filter_pairs<ChromaWindowed>(job.row[1], *chroma);
        else
            uv = {filter<ChromaWindowed>(job.row[1], *chroma), filter<ChromaWindowed>(job.row[2], *chroma)};
        store(job.out[0], x, job.width, convert(c0, y, uv.u, uv.v));
        store(job.out[1], x, job.width, convert(c1, y, uv.u, uv.v));
        store(job.out[2], x, job.width, convert(c2, y, uv.u, uv.v));
    }
}

template <bool Semiplanar>
void any_yuv(const RowJob &job) noexcept
{
    if (job.luma.windowed)
        job.chroma.windowed ? yuv<Semiplanar, true, true>(job) : yuv<Semiplanar, true, false>(job);
    else
        job.chroma.windowed ? yuv<Semiplanar, false, true>(job) : yuv<Semiplanar, false, false>(job);
}

// Samples of 16 bits are unsigned, and madd takes signed ones: half of their range is subtracted before, and what that
// takes from the sum, whose weights make 1 << weight_bits, is put back.
HL_AVX2 inline __m256 weigh_wide(__m256i pairs, __m256i weights) noexcept
{
    const __m256 sum = weigh(_mm256_xor_si256(pairs, _mm256_set1_epi16(-32768)), weights);
    return _mm256_add_ps(sum, _mm256_set1_ps(static_cast<float>(1u << (15 + weight_bits))));
}

HL_AVX2 void p010(const RowJob &job) noexcept
{
    const Channel c0 = channel(*job.colour, 0), c1 = channel(*job.colour, 1), c2 = channel(*job.colour, 2);
    const ColumnBlock *luma = job.luma.blocks, *chroma = job.chroma.blocks;
    for (uint32_t x = 0; x < job.width; x += block, ++luma, ++chroma) {
        const __m256 y = weigh_wide(gather(job.row[0], load(&luma->offset)), load(&luma->weights));
        // Each a pair of U and V.
        const __m256i left = gather(job.row[1], load(&chroma->offset));
        const __m256i right = gather(job.row[1] + 4, load(&chroma->offset));
        const __m256i weights = load(&chroma->weights);
        const __m256 u = weigh_wide(_mm256_blend_epi16(left, _mm256_slli_epi32(right, 16), 0xaa), weights);
        const __m256 v = weigh_wide(_mm256_blend_epi16(_mm256_srli_epi32(left, 16), right, 0xaa), weights);
        store(job.out[0], x, job.width, convert(c0, y, u, v));
        store(job.out[1], x, job.width, convert(c1, y, u, v));
        store(job.out[2], x, job.width, convert(c2, y, u, v));
    }
}

// Eight samples of 16 bits.
HL_AVX2 inline __m256i samples(const uint8_t *row) noexcept
{
    return _mm256_cvtepu16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i *>(row)));
}

HL_AVX2 void blend_wide(const uint8_t *upper, const uint8_t *lower, uint32_t fraction, size_t count,
                        uint16_t *out) noexcept
{
    constexpr int one = 1 << weight_bits;
    const __m256i below = _mm256_set1_epi32(static_cast<int>(fraction));
    const __m256i above = _mm256_set1_epi32(one - static_cast<int>(fraction));
    size_t i = 0;
    for (; i + block <= count; i += block) {
        const __m256i sum = _mm256_add_epi32(_mm256_mullo_epi32(samples(upper + 2 * i), above),
                                             _mm256_mullo_epi32(samples(lower + 2 * i), below));
        const __m256i rounded = _mm256_srli_epi32(_mm256_add_epi32(sum, _mm256_set1_epi32(one / 2)), weight_bits);
        _mm_storeu_si128(reinterpret_cast<__m128i *>(out + i),
                         _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1)));
    }
    scalar_kernels().blend_wide(upper + 2 * i, lower + 2 * i, fraction, count - i, out + i);
}

HL_AVX2 inline __m256 shade(const Channel &c, __m256 y) noexcept
{
    return _mm256_min_ps(_mm256_max_ps(_mm256_fmadd_ps(c.y, y, c.bias), c.low), c.high);
}

template <bool Windowed>
HL_AVX2 void grey(const RowJob &job) noexcept
{
    const Channel c0 = channel(*job.colour, 0), c1 = channel(*job.colour, 1), c2 = channel(*job.colour, 2);
    const ColumnBlock *columns = job.luma.blocks;
    for (uint32_t x = 0; x < job.width; x += block, ++columns) {
        const __m256 y = filter<Windowed>(job.row[0], *columns);
        store(job.out[0], x, job.width, shade(c0, y));
        store(job.out[1], x, job.width, shade(c1, y));
        store(job.out[2], x, job.width, shade(c2, y));
    }
}

void any_grey(const RowJob &job) noexcept
{
    job.luma.windowed ? grey<true>(job) : grey<false>(job);
}

// Eight bytes from each of two places.
HL_AVX2 inline __m128i two_eights(const uint8_t *first, const uint8_t *second) noexcept
{
    const __m128i low = _mm_loadl_epi64(reinterpret_cast<const __m128i *>(first));
    return _mm_castps_si128(_mm_loadh_pi(_mm_castsi128_ps(low), reinterpret_cast<const __m64 *>(second)));
}

// In each 128-bit half, from two pixels in eight bytes each: the taps `byte` of both, then the taps `next` of both,
// each as two int16.
HL_AVX2 inline __m256i pick_taps(uint8_t pixel_bytes, uint8_t byte, uint8_t next) noexcept
{
    alignas(16) char index[16];
    for (int i = 0; i < 4; ++i) {
        const int first = (i < 2 ? byte : next) + 8 * (i & 1);
        index[4 * i] = static_cast<char>(first);
        index[4 * i + 2] = static_cast<char>(first + pixel_bytes);
        index[4 * i + 1] = index[4 * i + 3] = -1;
    }
    return _mm256_broadcastsi128_si256(_mm_load_si128(reinterpret_cast<const __m128i *>(index)));
}

// Both taps of a pixel lie in eight bytes, so one load per column fetches all three channels.
HL_AVX2 void packed(const RowJob &job) noexcept
{
    const ColourStep &c = *job.colour;
    const __m256i pick01 = pick_taps(c.pixel_bytes, c.byte[0], c.byte[1]);
    const __m256i pick2 = pick_taps(c.pixel_bytes, c.byte[2], c.byte[2]);
    const __m256 factor0 = _mm256_set1_ps(c.matrix[0][0]), bias0 = _mm256_set1_ps(c.bias[0]);
    const __m256 factor1 = _mm256_set1_ps(c.matrix[1][0]), bias1 = _mm256_set1_ps(c.bias[1]);
    const __m256 factor2 = _mm256_set1_ps(c.matrix[2][0]), bias2 = _mm256_set1_ps(c.bias[2]);
    const uint8_t *row = job.row[0];
    const ColumnBlock *columns = job.luma.blocks;
    for (uint32_t x = 0; x < job.width; x += block, ++columns) {
        const auto &at = columns->offset;
        // Columns 0, 1 and 4, 5, then 2, 3 and 6, 7: what unpacking brings into order.
        const __m256i even = _mm256_inserti128_si256(_mm256_castsi128_si256(two_eights(row + at[0], row + at[1])),
                                                     two_eights(row + at[4], row + at[5]), 1);
        const __m256i odd = _mm256_inserti128_si256(_mm256_castsi128_si256(two_eights(row + at[2], row + at[3])),
                                                    two_eights(row + at[6], row + at[7]), 1);
        const __m256i even01 = _mm256_shuffle_epi8(even, pick01), odd01 = _mm256_shuffle_epi8(odd, pick01);
        const __m256i even2 = _mm256_shuffle_epi8(even, pick2), odd2 = _mm256_shuffle_epi8(odd, pick2);
        const __m256i weights = load(&columns->weights);
        const __m256 v0 = weigh(_mm256_unpacklo_epi64(even01, odd01), weights);
        const __m256 v1 = weigh(_mm256_unpackhi_epi64(even01, odd01), weights);
        const __m256 v2 = weigh(_mm256_unpacklo_epi64(even2, odd2), weights);
        store(job.out[0], x, job.width, _mm256_fmadd_ps(v0, factor0, bias0));
        store(job.out[1], x, job.width, _mm256_fmadd_ps(v1, factor1, bias1));
        store(job.out[2], x, job.width, _mm256_fmadd_ps(v2, factor2, bias2));
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

// Pixels `at` of three channels, of which the first fills places 0, 3, 6, the second 1, 4, 7, the third 2, 5.
HL_AVX2 inline __m256 weave(__m256i at, __m256 first, __m256 second, __m256 third) noexcept
{
    const __m256 two = _mm256_blend_ps(_mm256_permutevar8x32_ps(first, at), _mm256_permutevar8x32_ps(second, at), 0x92);
    return _mm256_blend_ps(two, _mm256_permutevar8x32_ps(third, at), 0x24);
}

// Which pixel each place of three registers is of; float `at` of the 24 that eight pixels make is channel at % 3 of pixel
// at / 3.
struct Order {
    __m256i first, second, third;
};
HL_AVX2 inline Order pixel_order() noexcept
{
    return {_mm256_setr_epi32(0, 0, 0, 1, 1, 1, 2, 2), _mm256_setr_epi32(2, 3, 3, 3, 4, 4, 4, 5),
            _mm256_setr_epi32(5, 5, 6, 6, 6, 7, 7, 7)};
}

HL_AVX2 void interleave(const std::array<float *, 3> &channels, uint32_t width, float *out) noexcept
{
    const Order order = pixel_order();
    uint32_t x = 0;
    for (; x + block <= width; x += block) {
        const __m256 r = _mm256_loadu_ps(channels[0] + x), g = _mm256_loadu_ps(channels[1] + x),
                     b = _mm256_loadu_ps(channels[2] + x);
        float *to = out + size_t{x} * 3;
        _mm256_storeu_ps(to, weave(order.first, r, g, b));
        _mm256_storeu_ps(to + 8, weave(order.second, b, r, g));
        _mm256_storeu_ps(to + 16, weave(order.third, g, b, r));
    }
    scalar_kernels().interleave({channels[0] + x, channels[1] + x, channels[2] + x}, width - x, out + size_t{x} * 3);
}

HL_F16C inline void store_halves(Half *out, __m256 value) noexcept
{
    _mm_storeu_si128(reinterpret_cast<__m128i *>(out), _mm256_cvtps_ph(value, _MM_FROUND_TO_NEAREST_INT));
}

HL_F16C void to_halves(const float *in, uint32_t width, Half *out) noexcept
{
    uint32_t x = 0;
    for (; x + block <= width; x += block)
        store_halves(out + x, _mm256_loadu_ps(in + x));
    scalar_kernels().to_halves(in + x, width - x, out + x);
}

HL_F16C void to_halves_interleaved(const std::array<float *, 3> &channels, uint32_t width, Half *out) noexcept
{
    const Order order = pixel_order();
    uint32_t x = 0;
    for (; x + block <= width; x += block) {
        const __m256 r = _mm256_loadu_ps(channels[0] + x), g = _mm256_loadu_ps(channels[1] + x),
                     b = _mm256_loadu_ps(channels[2] + x);
        Half *to = out + size_t{x} * 3;
        store_halves(to, weave(order.first, r, g, b));
        store_halves(to + 8, weave(order.second, b, r, g));
        store_halves(to + 16, weave(order.third, g, b, r));
    }
    scalar_kernels().to_halves_interleaved({channels[0] + x, channels[1] + x, channels[2] + x}, width - x,
                                           out + size_t{x} * 3);
}

Kernels make_kernels(bool f16c) noexcept
{
    const Kernels &scalar = scalar_kernels();
    return {.name = "avx2",
            .nv12 = any_yuv<true>,
            .i420 = any_yuv<false>,
            .packed_yuv = any_packed_yuv,
            .p010 = p010,
            .grey = any_grey,
            .packed = packed,
            .packed_direct = packed_direct,
            .interleave = interleave,
            .to_bytes = to_bytes,
            .to_bytes_interleaved = to_bytes_interleaved,
            .to_halves = f16c ? to_halves : scalar.to_halves,
            .to_halves_interleaved = f16c ? to_halves_interleaved : scalar.to_halves_interleaved,
            .blend_wide = blend_wide};
}

} // namespace

const Kernels *avx2_kernels() noexcept
{
    static const Kernels kernels = make_kernels(__builtin_cpu_supports("f16c"));
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
