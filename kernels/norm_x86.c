/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "norm_x86.h"

#include <stddef.h>

const GpudlNormKernels *gpudl_norm_native(GpudlNormIsa isa)
{
    if (isa == GPUDL_NORM_AVX2 && __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma"))
        return &gpudl_norm_avx2;
    if (isa == GPUDL_NORM_AVX512 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vl"))
        return &gpudl_norm_avx512;
    return NULL;
}
