/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Three planes of a picture as pixels of three channels, float32 or rounded to bfloat16: what a network's first
 * convolution reads where it is channels last.
 */
#ifndef GPUDL_KERNELS_TRIPLES_H
#define GPUDL_KERNELS_TRIPLES_H

#include <stdint.h>

#include "simd.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What an instruction set has of these. planes: n values each, to: 3 n values, planes[c][i] is to[3 i + c]; all
 * aligned to an element, apart. bfloat16 is as gpudl_f32_to_bf16() has it. Single-threaded. */
typedef struct {
    const char *name; /* "avx512" */
    void (*f32)(const float *const planes[3], int64_t n, float *to);
    void (*bf16)(const float *const planes[3], int64_t n, uint16_t *to);
} GpudlTriplesKernels;

/** Those of the best instruction set up to this one that processor and build have; never NULL. */
const GpudlTriplesKernels *gpudl_triples_kernels(GpudlSimd simd);

#ifdef __cplusplus
}
#endif
#endif
