/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma GCC target("avx512f,avx512bw,avx512bf16,avx2,fma")
#include "join_avx512.inc"

static inline __m512 widened(__m256i bits)
{
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bits), 16));
}

static inline __m512i narrowed(__m512 low, __m512 high)
{
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* vectors of 32 columns, a constant in every call, of all rows. */
__attribute__((always_inline)) static inline void columns_bf16(int vectors, const uint16_t *x, int64_t x_pitch,
                                                               int64_t rows, const float *scale, const float *shift,
                                                               int relu, uint16_t *y, int64_t y_pitch)
{
    __m512 s[4], t[4];

    for (int v = 0; v < 2 * vectors; v++) {
        s[v] = _mm512_loadu_ps(scale + 16 * v);
        t[v] = _mm512_loadu_ps(shift + 16 * v);
    }
    for (int64_t r = 0; r < rows; r++, x += x_pitch, y += y_pitch) {
        for (int v = 0; v < vectors; v++) {
            const __m256i *from = (const __m256i *)(x + 32 * v);
            __m512 low = scaled(widened(_mm256_loadu_si256(from)), s[2 * v], t[2 * v], relu);
            __m512 high = scaled(widened(_mm256_loadu_si256(from + 1)), s[2 * v + 1], t[2 * v + 1], relu);

            _mm512_storeu_si512(y + 32 * v, narrowed(low, high));
        }
    }
}

static void bf16(const uint16_t *x, int64_t x_pitch, int64_t rows, int64_t n, const float *scale, const float *shift,
                 int relu, uint16_t *y, int64_t y_pitch)
{
    const __mmask32 rest = (__mmask32)((1ull << n % 32) - 1);
    int64_t i = 0;

    for (; i + 64 <= n; i += 64)
        columns_bf16(2, x + i, x_pitch, rows, scale + i, shift + i, relu, y + i, y_pitch);
    for (; i + 32 <= n; i += 32)
        columns_bf16(1, x + i, x_pitch, rows, scale + i, shift + i, relu, y + i, y_pitch);
    if (rest != 0) {
        const __mmask16 first = (__mmask16)rest, second = (__mmask16)(rest >> 16);
        const __m512 s[] = {_mm512_maskz_loadu_ps(first, scale + i), _mm512_maskz_loadu_ps(second, scale + i + 16)};
        const __m512 t[] = {_mm512_maskz_loadu_ps(first, shift + i), _mm512_maskz_loadu_ps(second, shift + i + 16)};

        for (int64_t r = 0; r < rows; r++) {
            __m512i bits = _mm512_maskz_loadu_epi16(rest, x + r * x_pitch + i);
            __m512 low = scaled(widened(_mm512_castsi512_si256(bits)), s[0], t[0], relu);
            __m512 high = scaled(widened(_mm512_extracti64x4_epi64(bits, 1)), s[1], t[1], relu);

            _mm512_mask_storeu_epi16(y + r * y_pitch + i, rest, narrowed(low, high));
        }
    }
}

const GpudlJoinKernels gpudl_join_avx512_bf16 = {"join:avx512_bf16", copy, f32, bf16};
