/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma GCC target("avx2,fma")
#include <immintrin.h>
#include <stddef.h>
#include <string.h>

#include "join_x86.h"

static void copy(const void *x, int64_t x_pitch, int64_t rows, int64_t n, void *y, int64_t y_pitch)
{
    const char *from = x;
    char *to = y;

    for (int64_t r = 0; r < rows; r++, from += x_pitch, to += y_pitch) {
        int64_t i = 0;

        for (; i + 32 <= n; i += 32)
            _mm256_storeu_si256((__m256i *)(to + i), _mm256_loadu_si256((const __m256i *)(from + i)));
        for (; i < n; i++)
            to[i] = from[i];
    }
}

static inline __m256 scaled(const float *x, __m256 scale, __m256 shift, int relu)
{
    __m256 value = _mm256_fmadd_ps(_mm256_loadu_ps(x), scale, shift);

    /* of a NaN and another, the instruction takes its second operand */
    return relu ? _mm256_max_ps(_mm256_setzero_ps(), value) : value;
}

/* vectors of 8 columns, a constant in every call, of all rows: their scales and shifts stay in registers. */
__attribute__((always_inline)) static inline void columns(int vectors, const float *x, int64_t x_pitch, int64_t rows,
                                                          const float *scale, const float *shift, int relu, float *y,
                                                          int64_t y_pitch)
{
    __m256 s[4], t[4];

    for (int v = 0; v < vectors; v++) {
        s[v] = _mm256_loadu_ps(scale + 8 * v);
        t[v] = _mm256_loadu_ps(shift + 8 * v);
    }
    for (int64_t r = 0; r < rows; r++, x += x_pitch, y += y_pitch)
        for (int v = 0; v < vectors; v++)
            _mm256_storeu_ps(y + 8 * v, scaled(x + 8 * v, s[v], t[v], relu));
}

static void f32(const float *x, int64_t x_pitch, int64_t rows, int64_t n, const float *scale, const float *shift,
                int relu, float *y, int64_t y_pitch)
{
    int64_t i = 0;

    for (; i + 32 <= n; i += 32)
        columns(4, x + i, x_pitch, rows, scale + i, shift + i, relu, y + i, y_pitch);
    for (; i + 8 <= n; i += 8)
        columns(1, x + i, x_pitch, rows, scale + i, shift + i, relu, y + i, y_pitch);
    for (; i < n; i++) {
        for (int64_t r = 0; r < rows; r++) {
            float value = x[r * x_pitch + i] * scale[i] + shift[i];

            y[r * y_pitch + i] = relu && value < 0.f ? 0.f : value;
        }
    }
}

const GpudlJoinKernels gpudl_join_avx2 = {"join:avx2", copy, f32, NULL};
