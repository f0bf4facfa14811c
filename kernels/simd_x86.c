/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "simd.h"

#include <emmintrin.h>

int gpudl_simd_has(GpudlSimd simd)
{
    const int avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    const int avx512 = avx2 && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                       __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq");

    switch (simd) {
    case GPUDL_SIMD_GENERIC:
        return 1;
    case GPUDL_SIMD_AVX2:
        return avx2;
    case GPUDL_SIMD_AVX512:
        return avx512;
    case GPUDL_SIMD_AVX512_BF16:
        return avx512 && __builtin_cpu_supports("avx512bf16");
    }
    return 0;
}

void gpudl_simd_forget(const void *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += 64) /* bytes of a line: of all processors that there are */
        _mm_clflush((const char *)data + i);
    _mm_mfence();
}
