/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "matvec_x86.h"

#pragma GCC target("avx2,fma")
#include "simd_avx2.inc"

#define MATVEC_BF16 0
#define MATVEC_NAME gpudl_matvec_avx2
#define MATVEC_TEXT "matvec:avx2"
#include "matvec_lines.inc"
