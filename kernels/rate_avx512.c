/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "rate_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#include <immintrin.h>

typedef __m512 Sums;
typedef __m512 Ones;

#define RATE_NAME gpudl_rate_avx512
#define RATE_TEXT "rate:avx512"
#define RATE_LANES 16
#define RATE_PAIR 1
#define RATE_REGISTER "v"
#define RATE_ZERO _mm512_setzero_ps()
#define RATE_ONE _mm512_set1_ps(1)
#define RATE_STEP(s, a, b) _mm512_fmadd_ps(a, b, s)
#include "rate_lines.inc"
