/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "depthwise_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#define SIMD_BF16 1
#include "simd_avx512.inc"

#define DEPTHWISE_NAME gpudl_depthwise_avx512_bf16
#define DEPTHWISE_TEXT "depthwise:avx512_bf16"
#define ROWS_3 3
#define ROWS_5 3
#define ROWS_7 2
#include "depthwise_lines.inc"
