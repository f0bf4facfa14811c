/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "preproc_kernels.h"

#include <immintrin.h>
#include <string.h>

#include "preproc.h"

#define AVX2 __attribute__((target("avx2,fma")))
#define AVX512 __attribute__((target("avx512f,avx512bw,avx512vl,avx2,fma")))

/* Two 16-bit weights side by side, as pmaddwd wants them for two interleaved rows. */
static int32_t weight_pair(const int16_t *weights)
{
    int32_t pair;

    memcpy(&pair, weights, sizeof pair);
    return pair;
}

/* ---- AVX2 -------------------------------------------------------------------------------------------------------- */

/* 32 bytes of two rows: acc[q] gets pixels 4 q .. 4 q + 3 of each 128-bit half. */
AVX2 static inline void madd_rows_avx2(__m256i a, __m256i b, __m256i w, __m256i acc[4])
{
    const __m256i zero = _mm256_setzero_si256();
    __m256i lo = _mm256_unpacklo_epi8(a, b), hi = _mm256_unpackhi_epi8(a, b);

    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(_mm256_unpacklo_epi8(lo, zero), w));
    acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(_mm256_unpackhi_epi8(lo, zero), w));
    acc[2] = _mm256_add_epi32(acc[2], _mm256_madd_epi16(_mm256_unpacklo_epi8(hi, zero), w));
    acc[3] = _mm256_add_epi32(acc[3], _mm256_madd_epi16(_mm256_unpackhi_epi8(hi, zero), w));
}

AVX2 static inline void store_rows_avx2(const __m256i acc[4], __m256 gain, float *out)
{
    __m256i ordered[4] = {
        _mm256_permute2x128_si256(acc[0], acc[1], 0x20), _mm256_permute2x128_si256(acc[2], acc[3], 0x20),
        _mm256_permute2x128_si256(acc[0], acc[1], 0x31), _mm256_permute2x128_si256(acc[2], acc[3], 0x31)};

    for (int q = 0; q < 4; q++)
        _mm256_storeu_ps(out + 8 * q, _mm256_mul_ps(_mm256_cvtepi32_ps(ordered[q]), gain));
}

AVX2 static void vertical_avx2(const uint8_t *src, ptrdiff_t stride, const int16_t *weights, int32_t n_rows, int32_t n,
                               float gain, float *out)
{
    if (n < 64) {
        cpu_preproc_generic.vertical(src, stride, weights, n_rows, n, gain, out);
        return;
    }
    for (int32_t i = 0; i < n; i += 64) {
        __m256i acc[8];
        /* A last piece that is not full goes back over bytes already done: nothing past the row is read. */
        int32_t at = i + 64 <= n ? i : n - 64;
        const uint8_t *from = src + at;

        for (int q = 0; q < 8; q++)
            acc[q] = _mm256_setzero_si256();
        for (int32_t k = 0; k < n_rows; k += 2) {
            const uint8_t *a = from + k * stride, *b = k + 1 < n_rows ? a + stride : a;
            __m256i w = _mm256_set1_epi32(weight_pair(weights + k));

            madd_rows_avx2(_mm256_loadu_si256((const void *)a), _mm256_loadu_si256((const void *)b), w, acc);
            madd_rows_avx2(_mm256_loadu_si256((const void *)(a + 32)), _mm256_loadu_si256((const void *)(b + 32)), w,
                           acc + 4);
        }
        store_rows_avx2(acc, _mm256_set1_ps(gain), out + at);
        store_rows_avx2(acc + 4, _mm256_set1_ps(gain), out + at + 32);
    }
}

/* Samples of 16 words that two rows have each: acc[0] gets samples 0 .. 3 of each 128-bit half, acc[1] 4 .. 7. */
AVX2 static inline void madd_words_avx2(__m256i a, __m256i b, __m256i w, __m128i shift, __m256i mask, __m256i acc[2])
{
    a = _mm256_and_si256(_mm256_srl_epi16(a, shift), mask);
    b = _mm256_and_si256(_mm256_srl_epi16(b, shift), mask);
    acc[0] = _mm256_add_epi32(acc[0], _mm256_madd_epi16(_mm256_unpacklo_epi16(a, b), w));
    acc[1] = _mm256_add_epi32(acc[1], _mm256_madd_epi16(_mm256_unpackhi_epi16(a, b), w));
}

AVX2 static inline void store_words_avx2(const __m256i acc[2], __m256 gain, float *out)
{
    __m256i first = _mm256_permute2x128_si256(acc[0], acc[1], 0x20);
    __m256i second = _mm256_permute2x128_si256(acc[0], acc[1], 0x31);

    _mm256_storeu_ps(out, _mm256_mul_ps(_mm256_cvtepi32_ps(first), gain));
    _mm256_storeu_ps(out + 8, _mm256_mul_ps(_mm256_cvtepi32_ps(second), gain));
}

AVX2 static void vertical_words_avx2(const GpudlPixelLayout *layout, const uint8_t *src, ptrdiff_t stride,
                                     const int16_t *weights, int32_t n_rows, int32_t n, float gain, float *out)
{
    const __m128i shift = _mm_cvtsi32_si128(layout->shift);
    const __m256i mask = _mm256_set1_epi16((int16_t)((1 << layout->depth) - 1));

    if (n < 32) {
        cpu_preproc_generic.vertical_words(layout, src, stride, weights, n_rows, n, gain, out);
        return;
    }
    for (int32_t i = 0; i < n; i += 32) {
        __m256i acc[4];
        /* a last piece that is not full goes back, as that of bytes */
        int32_t at = i + 32 <= n ? i : n - 32;
        const uint8_t *from = src + 2 * (ptrdiff_t)at;

        for (int q = 0; q < 4; q++)
            acc[q] = _mm256_setzero_si256();
        for (int32_t k = 0; k < n_rows; k += 2) {
            const uint8_t *a = from + k * stride, *b = k + 1 < n_rows ? a + stride : a;
            __m256i w = _mm256_set1_epi32(weight_pair(weights + k));

            madd_words_avx2(_mm256_loadu_si256((const void *)a), _mm256_loadu_si256((const void *)b), w, shift, mask,
                            acc);
            madd_words_avx2(_mm256_loadu_si256((const void *)(a + 32)), _mm256_loadu_si256((const void *)(b + 32)), w,
                            shift, mask, acc + 2);
        }
        store_words_avx2(acc, _mm256_set1_ps(gain), out + at);
        store_words_avx2(acc + 2, _mm256_set1_ps(gain), out + at + 16);
    }
}

/* Eight vectors to the vector of their sums. */
AVX2 static inline __m256 sums_of_8(const __m256 s[8])
{
    __m256 a = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
    __m256 b = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));

    return _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31));
}

AVX2 static void horizontal_avx2(const float *row, const int32_t *first, const float *weights, int32_t k, int32_t n,
                                 float *out)
{
    for (int32_t j = 0; j < n; j += 8) {
        __m256 s[8];

#pragma GCC unroll 8
        for (int t = 0; t < 8; t++) {
            const float *from = row + first[j + t], *w = weights + (size_t)(j + t) * k;

            s[t] = _mm256_mul_ps(_mm256_loadu_ps(from), _mm256_load_ps(w));
            for (int32_t i = 8; i < k; i += 8)
                s[t] = _mm256_fmadd_ps(_mm256_loadu_ps(from + i), _mm256_load_ps(w + i), s[t]);
        }
        _mm256_storeu_ps(out + j, sums_of_8(s));
    }
}

AVX2 static inline __m256 color_avx2_8(const CpuPreprocColor *t, int32_t c, const __m256 in[3])
{
    __m256 pixel = _mm256_fmadd_ps(_mm256_set1_ps(t->matrix[c][0]), in[0], _mm256_set1_ps(t->offset[c]));

    pixel = _mm256_fmadd_ps(_mm256_set1_ps(t->matrix[c][1]), in[1], pixel);
    pixel = _mm256_fmadd_ps(_mm256_set1_ps(t->matrix[c][2]), in[2], pixel);
    pixel = _mm256_min_ps(_mm256_max_ps(pixel, _mm256_setzero_ps()), _mm256_set1_ps(255.f));
    return _mm256_fmadd_ps(pixel, _mm256_set1_ps(t->gain[c]), _mm256_set1_ps(t->bias[c]));
}

AVX2 static void color_avx2(const CpuPreprocColor *t, const float *const in[3], int32_t n, float *const out[3])
{
    int32_t i = 0;

    for (; i + 8 <= n; i += 8) {
        __m256 v[3] = {_mm256_loadu_ps(in[0] + i), _mm256_setzero_ps(), _mm256_setzero_ps()};

        if (t->n_in == 3) {
            v[1] = _mm256_loadu_ps(in[1] + i);
            v[2] = _mm256_loadu_ps(in[2] + i);
        }
        for (int32_t c = 0; c < t->n_out; c++)
            _mm256_storeu_ps(out[c] + i, color_avx2_8(t, c, v));
    }
    if (i < n) {
        const float *const rest_in[3] = {in[0] + i, in[1] != NULL ? in[1] + i : NULL, in[2] != NULL ? in[2] + i : NULL};
        float *const rest_out[3] = {out[0] + i, out[1] != NULL ? out[1] + i : NULL, out[2] != NULL ? out[2] + i : NULL};

        cpu_preproc_generic.color(t, rest_in, n - i, rest_out);
    }
}

static const CpuPreprocKernels avx2 = {"avx2", vertical_avx2, vertical_words_avx2, horizontal_avx2, color_avx2};

/* ---- AVX-512 ----------------------------------------------------------------------------------------------------- */

AVX512 static inline void madd_rows_avx512(__m512i a, __m512i b, __m512i w, __m512i acc[4])
{
    const __m512i zero = _mm512_setzero_si512();
    __m512i lo = _mm512_unpacklo_epi8(a, b), hi = _mm512_unpackhi_epi8(a, b);

    acc[0] = _mm512_add_epi32(acc[0], _mm512_madd_epi16(_mm512_unpacklo_epi8(lo, zero), w));
    acc[1] = _mm512_add_epi32(acc[1], _mm512_madd_epi16(_mm512_unpackhi_epi8(lo, zero), w));
    acc[2] = _mm512_add_epi32(acc[2], _mm512_madd_epi16(_mm512_unpacklo_epi8(hi, zero), w));
    acc[3] = _mm512_add_epi32(acc[3], _mm512_madd_epi16(_mm512_unpackhi_epi8(hi, zero), w));
}

/* Lane l of acc[q] holds pixels 16 l + 4 q and on: a 4 x 4 transposition of 128-bit lanes orders them. */
AVX512 static inline void store_rows_avx512(const __m512i acc[4], __m512 gain, float *out)
{
    __m512i a = _mm512_shuffle_i32x4(acc[0], acc[1], 0x44), b = _mm512_shuffle_i32x4(acc[2], acc[3], 0x44);
    __m512i c = _mm512_shuffle_i32x4(acc[0], acc[1], 0xee), d = _mm512_shuffle_i32x4(acc[2], acc[3], 0xee);
    __m512i ordered[4] = {_mm512_shuffle_i32x4(a, b, 0x88), _mm512_shuffle_i32x4(a, b, 0xdd),
                          _mm512_shuffle_i32x4(c, d, 0x88), _mm512_shuffle_i32x4(c, d, 0xdd)};

    for (int q = 0; q < 4; q++)
        _mm512_storeu_ps(out + 16 * q, _mm512_mul_ps(_mm512_cvtepi32_ps(ordered[q]), gain));
}

AVX512 static void vertical_avx512(const uint8_t *src, ptrdiff_t stride, const int16_t *weights, int32_t n_rows,
                                   int32_t n, float gain, float *out)
{
    for (int32_t i = 0; i < n; i += 64) {
        __mmask64 mask = n - i >= 64 ? ~0ull : (1ull << (n - i)) - 1;
        __m512i acc[4];

        for (int q = 0; q < 4; q++)
            acc[q] = _mm512_setzero_si512();
        for (int32_t k = 0; k < n_rows; k += 2) {
            const uint8_t *a = src + i + k * stride, *b = k + 1 < n_rows ? a + stride : a;

            madd_rows_avx512(_mm512_maskz_loadu_epi8(mask, a), _mm512_maskz_loadu_epi8(mask, b),
                             _mm512_set1_epi32(weight_pair(weights + k)), acc);
        }
        store_rows_avx512(acc, _mm512_set1_ps(gain), out + i);
    }
}

AVX512 static inline void madd_words_avx512(__m512i a, __m512i b, __m512i w, __m128i shift, __m512i mask,
                                            __m512i acc[2])
{
    a = _mm512_and_si512(_mm512_srl_epi16(a, shift), mask);
    b = _mm512_and_si512(_mm512_srl_epi16(b, shift), mask);
    acc[0] = _mm512_add_epi32(acc[0], _mm512_madd_epi16(_mm512_unpacklo_epi16(a, b), w));
    acc[1] = _mm512_add_epi32(acc[1], _mm512_madd_epi16(_mm512_unpackhi_epi16(a, b), w));
}

/* Lane l of acc[0] holds samples 8 l and on, that of acc[1] those from 8 l + 4 on. */
AVX512 static inline void store_words_avx512(const __m512i acc[2], __m512 gain, float *out)
{
    __m512i a = _mm512_shuffle_i32x4(acc[0], acc[1], 0x44), b = _mm512_shuffle_i32x4(acc[0], acc[1], 0xee);

    a = _mm512_shuffle_i32x4(a, a, 0xd8);
    b = _mm512_shuffle_i32x4(b, b, 0xd8);
    _mm512_storeu_ps(out, _mm512_mul_ps(_mm512_cvtepi32_ps(a), gain));
    _mm512_storeu_ps(out + 16, _mm512_mul_ps(_mm512_cvtepi32_ps(b), gain));
}

AVX512 static void vertical_words_avx512(const GpudlPixelLayout *layout, const uint8_t *src, ptrdiff_t stride,
                                         const int16_t *weights, int32_t n_rows, int32_t n, float gain, float *out)
{
    const __m128i shift = _mm_cvtsi32_si128(layout->shift);
    const __m512i bits = _mm512_set1_epi16((int16_t)((1 << layout->depth) - 1));

    for (int32_t i = 0; i < n; i += 64) {
        __mmask64 mask = n - i >= 64 ? ~0ull : (1ull << (n - i)) - 1;
        __mmask32 low = (__mmask32)mask, high = (__mmask32)(mask >> 32);
        __m512i acc[4];

        for (int q = 0; q < 4; q++)
            acc[q] = _mm512_setzero_si512();
        for (int32_t k = 0; k < n_rows; k += 2) {
            const uint8_t *a = src + 2 * (ptrdiff_t)i + k * stride, *b = k + 1 < n_rows ? a + stride : a;
            __m512i w = _mm512_set1_epi32(weight_pair(weights + k));

            madd_words_avx512(_mm512_maskz_loadu_epi16(low, a), _mm512_maskz_loadu_epi16(low, b), w, shift, bits, acc);
            madd_words_avx512(_mm512_maskz_loadu_epi16(high, a + 64), _mm512_maskz_loadu_epi16(high, b + 64), w, shift,
                              bits, acc + 2);
        }
        store_words_avx512(acc, _mm512_set1_ps(gain), out + i);
        store_words_avx512(acc + 2, _mm512_set1_ps(gain), out + i + 32);
    }
}

AVX512 static inline __m256 dot_avx512(const float *from, const float *w, int32_t k)
{
    __m512 wide = _mm512_setzero_ps();
    __m256 sum;
    int32_t i = 0;

    for (; i + 16 <= k; i += 16)
        wide = _mm512_fmadd_ps(_mm512_loadu_ps(from + i), _mm512_loadu_ps(w + i), wide);
    sum = _mm256_add_ps(_mm512_castps512_ps256(wide),
                        _mm256_castpd_ps(_mm512_extractf64x4_pd(_mm512_castps_pd(wide), 1)));
    if (i < k)
        sum = _mm256_fmadd_ps(_mm256_loadu_ps(from + i), _mm256_load_ps(w + i), sum);
    return sum;
}

AVX512 static void horizontal_avx512(const float *row, const int32_t *first, const float *weights, int32_t k, int32_t n,
                                     float *out)
{
    if (k < 16) {
        horizontal_avx2(row, first, weights, k, n, out);
        return;
    }
    for (int32_t j = 0; j < n; j += 8) {
        __m256 s[8], a, b;

#pragma GCC unroll 8
        for (int t = 0; t < 8; t++)
            s[t] = dot_avx512(row + first[j + t], weights + (size_t)(j + t) * k, k);
        a = _mm256_hadd_ps(_mm256_hadd_ps(s[0], s[1]), _mm256_hadd_ps(s[2], s[3]));
        b = _mm256_hadd_ps(_mm256_hadd_ps(s[4], s[5]), _mm256_hadd_ps(s[6], s[7]));
        _mm256_storeu_ps(out + j,
                         _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)));
    }
}

static const CpuPreprocKernels avx512 = {"avx512", vertical_avx512, vertical_words_avx512, horizontal_avx512,
                                         color_avx2};

const CpuPreprocKernels *cpu_preproc_native(int isa)
{
    __builtin_cpu_init();
    if (isa == CPU_PREPROC_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx2;
    if (isa == CPU_PREPROC_AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
        __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &avx512;
    return NULL;
}
