/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "squeeze_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define SIMD_BF16 0
#include "simd_avx512.inc"

#define SQUEEZE_NAME gpudl_squeeze_avx512
#define SQUEEZE_TEXT "squeeze:avx512"
#include "squeeze_lines.inc"
