/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Dense convolution on the CPU, channels last, of so few channels that a row of a window is one vector or two: what
 * networks begin with.
 */
#ifndef GPUDL_KERNELS_STEM_H
#define GPUDL_KERNELS_STEM_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What is computed. Pixels of x lie next to one another, and channels in both; ways are in elements. */
typedef struct {
    GpudlDType type;                 /* of x and y: float32, bfloat16 */
    int32_t n, h, w, c;              /* x: frames, rows, columns, channels; at least 1, c at most 4 */
    int32_t k, p, q;                 /* y's channels, rows and columns, at least 1: p and q settle the end pads */
    int64_t x_row, x_frame;          /* x_row at least w * c, x_frame at least h * x_row */
    int64_t y_pixel, y_row, y_frame; /* y_pixel at least k, y_row at least q * y_pixel, ... */
    int32_t kernel;                  /* 1 to 11: taps of both directions */
    int32_t stride;                  /* 1 to 4 */
    int32_t pad_top, pad_left;       /* zeros before the first row and column, 0 to 10 */
    GpudlAct act;                    /* none, relu, clip, silu, hard swish */
} GpudlStem;

/** Nonzero if all of d is as said there, extents 2^28 at most: the functions rely on it. */
int gpudl_stem_supported(const GpudlStem *d);

/** Bytes of packed weights, a multiple of 64. */
size_t gpudl_stem_weights_size(const GpudlStem *d);

/** w: [k][c][kernel][kernel], rounded to type; bias: [k] or NULL, which is zeros, stays float32. packed, all of which
 * is written: that many bytes, aligned to a float; to 64 bytes is faster. */
void gpudl_stem_pack(const GpudlStem *d, const float *w, const float *bias, void *packed);

/**
 * y = act(sum over taps and channels of x * w + bias), products and sums in float32. Of bfloat16 pairs of neighbours in
 * a row of x first; rounded once when stored, subnormals may be taken for zero, and behind that silu may be off by 2e-4
 * of its value (and 1e-35). A NaN stays one; weights are finite in their type. x and y are aligned to an element and do
 * not overlap; of y exactly the k channels of each pixel are written, of x no element beside its pixels is read.
 * Single-threaded; keeps no state.
 */
typedef void GpudlStemFunc(const GpudlStem *d, const void *x, const void *packed, void *y);

/** What an instruction set has of these. */
typedef struct {
    const char *name; /* "stem:avx512_bf16" */
    GpudlStemFunc *run;
} GpudlStemKernels;

/** Those of an instruction set for a type; NULL where the processor or the build has it not, and of sets that do not
 * multiply that: float32 from AVX512 on, bfloat16 AVX512_BF16. */
const GpudlStemKernels *gpudl_stem_kernels(GpudlSimd simd, GpudlDType type);

#ifdef __cplusplus
}
#endif
#endif
