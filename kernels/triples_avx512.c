/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stdint.h>
#include <string.h>

#include "triples_x86.h"

#pragma GCC target("avx512f,avx512bw,avx512vl,avx512dq,avx2,fma")
#define TRIPLES_NAME gpudl_triples_avx512
#define TRIPLES_TEXT "avx512"
#include "triples_lines.inc"
