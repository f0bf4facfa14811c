/* SPDX-License-Identifier: LGPL-2.1-or-later */
#pragma GCC target("avx2,f16c")
#include <immintrin.h>

#include "half_row.h"

#define LANES 8

/* To nearest, ties to even, whatever the rounding mode; subnormals of float16 whatever the flush-to-zero bits. */
static __m128i narrow(__m256 x)
{
    return _mm256_cvtps_ph(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
}

static __m128i infinite(__m128i y)
{
    return _mm_cmpeq_epi16(_mm_and_si128(y, _mm_set1_epi16(0x7fff)), _mm_set1_epi16(0x7c00));
}

int gpudl_half_row_avx2(const float *x, float scale, int64_t n, uint16_t *y)
{
    const __m256 scales = _mm256_set1_ps(scale);
    __m128i found = _mm_setzero_si128();
    const int64_t rest = n % LANES;

    for (int64_t i = 0; i < n - rest; i += LANES) {
        const __m128i bits = narrow(_mm256_mul_ps(scales, _mm256_loadu_ps(x + i)));

        found = _mm_or_si128(found, infinite(bits));
        _mm_storeu_si128((__m128i *)(void *)(y + i), bits);
    }
    if (rest > 0) {
        float in[LANES] = {0};
        uint16_t out[LANES];
        __m128i bits;

        for (int64_t i = 0; i < rest; i++)
            in[i] = x[n - rest + i];
        bits = narrow(_mm256_mul_ps(scales, _mm256_loadu_ps(in)));
        found = _mm_or_si128(found, infinite(bits));
        _mm_storeu_si128((__m128i *)(void *)out, bits);
        for (int64_t i = 0; i < rest; i++)
            y[n - rest + i] = out[i];
    }
    return _mm_movemask_epi8(found) == 0;
}
