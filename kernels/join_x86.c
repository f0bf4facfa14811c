/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "join_x86.h"

const GpudlJoinKernels *gpudl_join_native(GpudlJoinIsa isa)
{
    int avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw");

    if (isa == GPUDL_JOIN_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &gpudl_join_avx2;
    if (isa == GPUDL_JOIN_AVX512 && avx512)
        return &gpudl_join_avx512;
    if (isa == GPUDL_JOIN_AVX512_BF16 && avx512 && __builtin_cpu_supports("avx512bf16"))
        return &gpudl_join_avx512_bf16;
    return NULL;
}
