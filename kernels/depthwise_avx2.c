/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "depthwise_x86.h"

#pragma GCC target("avx2,fma")
#include "simd_avx2.inc"

#define DEPTHWISE_NAME gpudl_depthwise_avx2
#define DEPTHWISE_TEXT "depthwise:avx2"
#define ROWS_3 2
#define ROWS_5 2
#define ROWS_7 1
#include "depthwise_lines.inc"
