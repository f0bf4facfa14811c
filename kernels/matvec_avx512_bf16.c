/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "matvec_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx512bf16,avx2,fma")
#define SIMD_BF16 1
#include "simd_avx512.inc"

#define MATVEC_BF16 1
#define MATVEC_NAME gpudl_matvec_avx512_bf16
#define MATVEC_TEXT "matvec:avx512_bf16"
#include "matvec_lines.inc"
