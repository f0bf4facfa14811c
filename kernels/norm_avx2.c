/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <math.h>
#include <stddef.h>
#include <stdint.h>

#include "norm_x86.h"

#pragma GCC target("avx2,fma")
#define NORM_NAME gpudl_norm_avx2
#define NORM_TEXT "norm:avx2"
#include "norm_lines.inc"
