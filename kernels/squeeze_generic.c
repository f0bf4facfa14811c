/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>

#include "simd_generic.inc"
#include "squeeze_x86.h"

#define SQUEEZE_NAME gpudl_squeeze_generic
#define SQUEEZE_TEXT "squeeze:generic"
#include "squeeze_lines.inc"
