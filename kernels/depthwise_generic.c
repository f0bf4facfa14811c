/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>

#include "depthwise_x86.h"
#include "simd_generic.inc"

#define DEPTHWISE_NAME gpudl_depthwise_generic
#define DEPTHWISE_TEXT "depthwise:generic"
#define ROWS_3 2
#define ROWS_5 2
#define ROWS_7 1
#include "depthwise_lines.inc"
