/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "inverted_x86.h"

const GpudlInvertedKernels *gpudl_inverted_native(GpudlSimd simd)
{
    return simd == GPUDL_SIMD_AVX512_BF16 && gpudl_simd_has(simd) ? &gpudl_inverted_avx512_bf16 : NULL;
}
