/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Inverted residuals on the CPU in one pass, channels last: a product that makes many channels of few, a depthwise
 * convolution of those, a product that makes few of them again; or without the first one, or without the last. What
 * lies between never leaves the nearest caches.
 */
#ifndef GPUDL_KERNELS_INVERTED_H
#define GPUDL_KERNELS_INVERTED_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What is computed. Channels lie next to one another; the ways between pixels, rows and frames are in elements, so a
 * slice of the channels of a wider tensor is x or y as well.
 */
typedef struct {
    GpudlDType type;                     /* of x and y: float32, bfloat16 */
    int32_t n, h, w, c;                  /* x: frames, rows, columns, channels; at least 1 */
    int32_t hidden;                      /* channels between; without the first product x's, without the last one y's */
    int32_t p, q, k;                     /* y's rows, columns and channels, at least 1: they settle the end pads */
    int64_t x_pixel, x_row, x_frame;     /* x_pixel at least c, x_row at least w * x_pixel, ... */
    int64_t y_pixel, y_row, y_frame;     /* likewise, of k */
    int expands, projects;               /* there is a first product; there is a last one; one of them at least */
    int32_t kernel;                      /* 3, 5: taps of both directions */
    int32_t stride;                      /* 1, 2 */
    int32_t pad_top, pad_left;           /* zeros before the first row and column; below kernel */
    int shortcut;                        /* x is added at last: k is c, p is h, q is w, stride 1 */
    GpudlAct expand, depthwise, project; /* behind each step: none, relu, clip, silu, hard swish */
} GpudlInverted;

/** What the steps are made of: E [hidden][c], D [hidden][kernel][kernel], P [k][hidden]; biases may be NULL, which is
 * zeros; E and P and their biases are where there is such a product. */
typedef struct {
    const float *expand, *expand_bias, *depthwise, *depthwise_bias, *project, *project_bias;
} GpudlInvertedWeights;

/** Nonzero if all of d is as said there, rows and columns 2^27 and hidden channels 2^24 at most, and a frame of those
 * in int64_t: the functions rely on it. */
int gpudl_inverted_supported(const GpudlInverted *d);

/** Bytes of packed weights and of scratch memory, multiples of 64. */
size_t gpudl_inverted_weights_size(const GpudlInverted *d);
size_t gpudl_inverted_scratch_size(const GpudlInverted *d);

/** E and P are rounded to the type, D and biases stay float32. packed, all of which is written: that many bytes,
 * aligned to a float; to 64 bytes is faster. */
void gpudl_inverted_pack(const GpudlInverted *d, const GpudlInvertedWeights *weights, void *packed);

/**
 * y = project(P * T(depthwise(D * expand(E * x + e) + d)) + p (+ x)), or less of it: what expands stays float32, what
 * the depthwise convolution makes is rounded once to the type, as y is when stored. Sums are in float32, in bfloat16
 * those of products by pairs of channels; subnormals may be taken for zero there, and behind each step silu may be off
 * by 2e-4 of its value (and 1e-35), in float32 by 1e-6. A NaN of x makes NaN of all that sees it; weights are finite in
 * the type. x and y are aligned to an element; they do not overlap, but where there are both products, the stride is 1,
 * p is h, q is w and the ways are the same y may be x. Of y exactly the k channels of each pixel are written, of x no
 * element beside its channels is read. scratch: aligned to 64 bytes, and whatever it holds. Single-threaded; keeps no
 * state.
 */
typedef void GpudlInvertedFunc(const GpudlInverted *d, const void *x, const void *packed, void *scratch, void *y);

/** What an instruction set has of these. */
typedef struct {
    const char *name; /* "inverted:avx512_bf16" */
    GpudlInvertedFunc *run;
} GpudlInvertedKernels;

/** Those of an instruction set for a type; NULL where the processor or the build has it not, and of sets that do not
 * multiply that: float32 from AVX512 on, bfloat16 AVX512_BF16. */
const GpudlInvertedKernels *gpudl_inverted_kernels(GpudlSimd simd, GpudlDType type);

#ifdef __cplusplus
}
#endif
#endif
