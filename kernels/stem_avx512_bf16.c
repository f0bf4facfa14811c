/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "stem_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#define SIMD_BF16 1
#include "simd_avx512.inc"

#define STEM_BF16 1
#define STEM_NAME gpudl_stem_avx512_bf16
#define STEM_TEXT "stem:avx512_bf16"
#include "stem_lines.inc"
