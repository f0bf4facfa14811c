/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "pointwise_x86.h"

const GpudlPointwiseKernels *gpudl_pointwise_native(GpudlSimd simd)
{
    return simd == GPUDL_SIMD_AVX512_BF16 && gpudl_simd_has(simd) ? &gpudl_pointwise_avx512_bf16 : NULL;
}
