/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "rate_x86.h"

const GpudlRate *gpudl_rate_native(GpudlSimd simd, GpudlDType type)
{
    if (!gpudl_simd_has(simd))
        return NULL;
    if (type == GPUDL_DTYPE_BF16)
        return simd == GPUDL_SIMD_AVX512_BF16 ? &gpudl_rate_avx512_bf16 : NULL;
    return simd >= GPUDL_SIMD_AVX512 ? &gpudl_rate_avx512 : simd >= GPUDL_SIMD_AVX2 ? &gpudl_rate_avx2 : NULL;
}
