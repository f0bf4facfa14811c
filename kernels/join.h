/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Tensors side by side in one: rows of one matrix into columns of another, as they are or by a scale and a shift per
 * column. A concatenation over channels is one such move per piece, and the batch normalisation behind it costs no
 * further pass.
 *
 * All matrices are row-major, with pitch elements (copy: bytes) from row to row, at least as many as a row has. y has
 * nothing in common with x. Nothing but the rows' own columns is written.
 */
#ifndef GPUDL_KERNELS_JOIN_H
#define GPUDL_KERNELS_JOIN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/** Copies rows of n bytes. */
typedef void GpudlJoinCopyFunc(const void *x, int64_t x_pitch, int64_t rows, int64_t n, void *y, int64_t y_pitch);

/** y[r][i] = x[r][i] * scale[i] + shift[i], and if relu the larger of that and 0. NaN stays NaN, also through relu. */
typedef void GpudlJoinF32Func(const float *x, int64_t x_pitch, int64_t rows, int64_t n, const float *scale,
                              const float *shift, int relu, float *y, int64_t y_pitch);

/** The same with x and y of bfloat16 (kernels/half.h), rounded once, to nearest; what is below the smallest normal
 * number may become 0. */
typedef void GpudlJoinBf16Func(const uint16_t *x, int64_t x_pitch, int64_t rows, int64_t n, const float *scale,
                               const float *shift, int relu, uint16_t *y, int64_t y_pitch);

/** What a processor has of these; bf16 is NULL where it has no instructions for it. */
typedef struct {
    const char *name;
    GpudlJoinCopyFunc *copy;
    GpudlJoinF32Func *f32;
    GpudlJoinBf16Func *bf16;
} GpudlJoinKernels;

typedef enum {
    GPUDL_JOIN_GENERIC = 0,
    GPUDL_JOIN_AVX2,
    GPUDL_JOIN_AVX512,
    GPUDL_JOIN_AVX512_BF16,
    GPUDL_JOIN_LAST = GPUDL_JOIN_AVX512_BF16
} GpudlJoinIsa;

/** Those of an instruction set, NULL where the processor or the build has it not. GENERIC is always there. */
const GpudlJoinKernels *gpudl_join_kernels(GpudlJoinIsa isa);

#ifdef __cplusplus
}
#endif
#endif
