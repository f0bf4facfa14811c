/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "squeeze_x86.h"

#pragma GCC target("avx2,fma")
#include "simd_avx2.inc"

#define SQUEEZE_NAME gpudl_squeeze_avx2
#define SQUEEZE_TEXT "squeeze:avx2"
#include "squeeze_lines.inc"
