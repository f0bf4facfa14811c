/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "squeeze_x86.h"

#include <stddef.h>

const GpudlSqueezeKernels *gpudl_squeeze_native(GpudlSimd simd)
{
    if (!gpudl_simd_has(simd))
        return NULL;
    return simd == GPUDL_SIMD_AVX2          ? &gpudl_squeeze_avx2
           : simd == GPUDL_SIMD_AVX512      ? &gpudl_squeeze_avx512
           : simd == GPUDL_SIMD_AVX512_BF16 ? &gpudl_squeeze_avx512_bf16
                                            : NULL;
}
