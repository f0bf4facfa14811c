/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Sets of vector instructions that the CPU's own kernels are compiled for.
 */
#ifndef GPUDL_KERNELS_SIMD_H
#define GPUDL_KERNELS_SIMD_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Each includes those before it. */
typedef enum {
    GPUDL_SIMD_GENERIC = 0, /* plain C */
    GPUDL_SIMD_AVX2,        /* and FMA */
    GPUDL_SIMD_AVX512,      /* F, BW, VL, DQ */
    GPUDL_SIMD_AVX512_BF16, /* rounds to bfloat16 by an instruction */
    GPUDL_SIMD_LAST = GPUDL_SIMD_AVX512_BF16
} GpudlSimd;

/** Nonzero if this processor and this build have it; always for GENERIC. */
int gpudl_simd_has(GpudlSimd simd);

/** Takes memory out of the processor's caches, where it has an instruction for that: what is read next comes from
 * memory. */
void gpudl_simd_forget(const void *data, size_t bytes);

#ifdef __cplusplus
}
#endif
#endif
