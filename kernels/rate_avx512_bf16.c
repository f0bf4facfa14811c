/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "rate_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#include <immintrin.h>

typedef __m512 Sums;
typedef __m512bh Ones;

#define RATE_NAME gpudl_rate_avx512_bf16
#define RATE_TEXT "rate:avx512_bf16"
#define RATE_LANES 16
#define RATE_PAIR 2
#define RATE_REGISTER "v"
#define RATE_ZERO _mm512_setzero_ps()
#define RATE_ONE (__m512bh) _mm512_set1_epi16(0x3f80)
#define RATE_STEP(s, a, b) _mm512_dpbf16_ps(s, a, b)
#include "rate_lines.inc"
