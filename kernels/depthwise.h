/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Depthwise convolution on the CPU, channels last: each channel has a filter of its own (conv.h with as many groups as
 * channels).
 */
#ifndef GPUDL_KERNELS_DEPTHWISE_H
#define GPUDL_KERNELS_DEPTHWISE_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Channels that packed weights keep together. */
#define GPUDL_DEPTHWISE_BLOCK 16

/**
 * What is computed. Channels lie next to one another; the ways between pixels, rows and frames are in elements, so a
 * slice of the channels of a wider tensor is x or y as well.
 */
typedef struct {
    GpudlDType type;                 /* of x and y: float32, bfloat16 */
    int32_t n, h, w, c;              /* x: frames, rows, columns, channels; at least 1 */
    int32_t p, q;                    /* y's rows and columns, at least 1: they settle the end pads */
    int64_t x_pixel, x_row, x_frame; /* x_pixel at least c, x_row at least w * x_pixel, ... */
    int64_t y_pixel, y_row, y_frame; /* likewise */
    int32_t kernel;                  /* 3, 5, 7: taps of both directions */
    int32_t stride;                  /* 1, 2 */
    int32_t pad_top, pad_left;       /* zeros before the first row and column; negative crops */
    GpudlAct act;                    /* none, relu, clip, silu, hard swish */
} GpudlDepthwise;

/** Bytes of packed weights: 16 channels together, their biases first, then tap by tap; float32 whatever the type. A
 * multiple of 64. */
size_t gpudl_depthwise_weights_size(const GpudlDepthwise *d);

/** w: [c][kernel][kernel]; bias: [c] or NULL, which is zeros. packed, all of which is written: that many bytes, aligned
 * to a float; to 64 bytes is faster. What is packed is the same for all instruction sets. */
void gpudl_depthwise_pack(const GpudlDepthwise *d, const float *w, const float *bias, float *packed);

/**
 * y = act(sum over taps of x * w + bias), in float32, rounded once when stored; before that silu may be off by 1e-35,
 * and where y is bfloat16 by 2e-4 of its value. A NaN stays one; weights are finite.
 * Rounding to bfloat16 may take subnormals for zero. x and y are aligned to an element and do not overlap; of y exactly
 * the c channels of each pixel are written, of x no element beside those is read. Single-threaded; keeps no state.
 */
typedef void GpudlDepthwiseFunc(const GpudlDepthwise *d, const void *x, const float *packed, void *y);

/** What an instruction set has of these. */
typedef struct {
    const char *name; /* "depthwise:avx512" */
    GpudlDepthwiseFunc *run;
} GpudlDepthwiseKernels;

/** Those of an instruction set; NULL where the processor or the build has it not. GENERIC is always there. */
const GpudlDepthwiseKernels *gpudl_depthwise_kernels(GpudlSimd simd);

/** Nonzero if all of d is as the comments there say, pads and columns are 2^28 at most, rows and columns of y half of
 * that: every run() relies on it. */
int gpudl_depthwise_supported(const GpudlDepthwise *d);

#ifdef __cplusplus
}
#endif
#endif
