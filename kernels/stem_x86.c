/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "stem_x86.h"

const GpudlStemKernels *gpudl_stem_native(GpudlSimd simd, GpudlDType type)
{
    if (!gpudl_simd_has(simd))
        return NULL;
    if (type == GPUDL_DTYPE_BF16)
        return simd == GPUDL_SIMD_AVX512_BF16 ? &gpudl_stem_avx512_bf16 : NULL;
    return type == GPUDL_DTYPE_F32 && simd >= GPUDL_SIMD_AVX512 ? &gpudl_stem_avx512 : NULL;
}
