/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <string.h>

#include "triples_x86.h"

#pragma GCC target("avx2,fma")
#define TRIPLES_NAME gpudl_triples_avx2
#define TRIPLES_TEXT "avx2"
#include "triples_lines.inc"
