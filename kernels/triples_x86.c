/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "triples_x86.h"

const GpudlTriplesKernels *gpudl_triples_native(GpudlSimd simd)
{
    if (simd >= GPUDL_SIMD_AVX512 && gpudl_simd_has(GPUDL_SIMD_AVX512))
        return &gpudl_triples_avx512;
    return simd >= GPUDL_SIMD_AVX2 && gpudl_simd_has(GPUDL_SIMD_AVX2) ? &gpudl_triples_avx2 : NULL;
}
