/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "pointwise_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#define SIMD_BF16 1
#include "simd_avx512.inc"

#define POINTWISE_NAME gpudl_pointwise_avx512_bf16
#define POINTWISE_TEXT "pointwise:avx512_bf16"
#define POINTWISE_GROUP gpudl_pointwise_group_avx512_bf16
#define POINTWISE_PIXELS gpudl_pointwise_pixels_avx512_bf16
#define POINTWISE_BF16 1
#include "pointwise_lines.inc"
