/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "matvec_x86.h"

const GpudlMatvecKernels *gpudl_matvec_native(GpudlSimd simd, GpudlDType type)
{
    if ((type != GPUDL_DTYPE_F32 && type != GPUDL_DTYPE_BF16) || !gpudl_simd_has(simd))
        return NULL;
    if (type == GPUDL_DTYPE_BF16)
        return simd == GPUDL_SIMD_AVX512_BF16 ? &gpudl_matvec_avx512_bf16 : NULL;
    return simd >= GPUDL_SIMD_AVX512 ? &gpudl_matvec_avx512 : simd >= GPUDL_SIMD_AVX2 ? &gpudl_matvec_avx2 : NULL;
}
