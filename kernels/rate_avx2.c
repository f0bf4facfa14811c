/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "rate_x86.h"

#pragma GCC target("avx2,fma")
#include <immintrin.h>

typedef __m256 Sums;
typedef __m256 Ones;

#define RATE_NAME gpudl_rate_avx2
#define RATE_TEXT "rate:avx2"
#define RATE_LANES 8
#define RATE_PAIR 1
#define RATE_REGISTER "x"
#define RATE_ZERO _mm256_setzero_ps()
#define RATE_ONE _mm256_set1_ps(1)
#define RATE_STEP(s, a, b) _mm256_fmadd_ps(a, b, s)
#include "rate_lines.inc"
