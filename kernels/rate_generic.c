/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <string.h>

#include "rate_x86.h"

typedef float Sums;
typedef float Ones;

#define RATE_NAME gpudl_rate_generic
#define RATE_TEXT "rate:generic"
#define RATE_LANES 1
#define RATE_PAIR 1
#define RATE_REGISTER "m"
#define RATE_ZERO 0
#define RATE_ONE 1
#define RATE_STEP(s, a, b) ((s) + (a) * (b))
#include "rate_lines.inc"
