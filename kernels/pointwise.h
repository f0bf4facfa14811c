/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Dense 1x1 convolution on the CPU, channels last: each pixel's channels by one matrix. */
#ifndef GPUDL_KERNELS_POINTWISE_H
#define GPUDL_KERNELS_POINTWISE_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What is computed. Channels lie next to one another; the ways between pixels, rows and frames are in elements, so a
 * slice of the channels of a wider tensor is x or y as well. No pads.
 */
typedef struct {
    GpudlDType type;                 /* of x and y: float32, bfloat16 */
    int32_t n, h, w, c;              /* x: frames, rows, columns, channels; at least 1 */
    int32_t k, p, q;                 /* y's channels, rows and columns, at least 1 */
    int32_t stride;                  /* 1, 2: pixels (row * stride, column * stride) are in x */
    int64_t x_pixel, x_row, x_frame; /* x_pixel at least c, x_row at least w * x_pixel, ... */
    int64_t y_pixel, y_row, y_frame; /* likewise, of k */
    int onto;                        /* what y holds is added before the activation */
    GpudlAct act;                    /* none, relu, clip, silu, hard swish */
} GpudlPointwise;

/** Nonzero if all of d is as said there: the functions rely on it. */
int gpudl_pointwise_supported(const GpudlPointwise *d);

/** Bytes of packed weights, a multiple of 64. */
size_t gpudl_pointwise_weights_size(const GpudlPointwise *d);

/** w: [k][c], rounded to the type; bias: [k] or NULL, which is zeros, stays float32. packed, all of which is written:
 * that many bytes, aligned to a float; to 64 bytes is faster. */
void gpudl_pointwise_pack(const GpudlPointwise *d, const float *w, const float *bias, void *packed);

/**
 * y = act(sum over channels of x * w + bias (+ y)), products and sums in float32, in bfloat16 pairs of neighbouring
 * channels first; rounded once when stored. In bfloat16 subnormals may be taken for zero and silu may be off by 2e-4 of
 * its value, in float32 by 1e-6 (and by 1e-35). A NaN stays one; weights are finite in the type. x and y are aligned to
 * an element and do not overlap; of y exactly the k channels of each pixel are written, of x no element beside its
 * channels is read. Single-threaded; keeps no state.
 */
typedef void GpudlPointwiseFunc(const GpudlPointwise *d, const void *x, const void *packed, void *y);

/** What an instruction set has of these. */
typedef struct {
    const char *name; /* "pointwise:avx512_bf16" */
    GpudlPointwiseFunc *run;
} GpudlPointwiseKernels;

/** Those of an instruction set for a type; NULL where the processor or the build has it not, and of sets that do not
 * multiply that: float32 from AVX512 on, bfloat16 AVX512_BF16. */
const GpudlPointwiseKernels *gpudl_pointwise_kernels(GpudlSimd simd, GpudlDType type);

#ifdef __cplusplus
}
#endif
#endif
