/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "depthwise_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define SIMD_BF16 0
#include "simd_avx512.inc"

#define DEPTHWISE_NAME gpudl_depthwise_avx512
#define DEPTHWISE_TEXT "depthwise:avx512"
#define DEPTHWISE_ROWS gpudl_depthwise_rows_avx512
#define STRIPS_3(F) F(3, 1, 1) F(3, 1, 2) F(3, 1, 3) F(3, 2, 1) F(3, 2, 2) F(3, 2, 3) F(3, 2, 4)
#define STRIPS_5(F) F(5, 1, 1) F(5, 1, 2) F(5, 1, 3) F(5, 2, 1) F(5, 2, 2) F(5, 2, 3) F(5, 2, 4)
#define STRIPS_7(F) F(7, 1, 1) F(7, 1, 2) F(7, 2, 1) F(7, 2, 2)
#define DEPTHWISE_STRIPS(F) STRIPS_3(F) STRIPS_5(F) STRIPS_7(F)
#include "depthwise_lines.inc"
