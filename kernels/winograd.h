/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Dense 3x3 convolution on the CPU by Winograd's transforms F(2x2, 3x3), channels last: 18 products for 4 results in
 * place of 36 (Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks").
 */
#ifndef GPUDL_KERNELS_WINOGRAD_H
#define GPUDL_KERNELS_WINOGRAD_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * What is computed. Channels lie next to one another; the ways between pixels, rows and frames are in elements, so a
 * slice of the channels of a wider tensor is x or y as well. Stride and dilation are 1.
 */
typedef struct {
    GpudlDType type;                 /* of x and y: bfloat16 */
    int32_t n, h, w, c;              /* x: frames, rows, columns, channels; at least 1, c at most 65536 */
    int32_t k, p, q;                 /* y's channels, rows and columns, at least 1: p and q settle the end pads */
    int64_t x_pixel, x_row, x_frame; /* x_pixel at least c, x_row at least w * x_pixel, ... */
    int64_t y_pixel, y_row, y_frame; /* likewise, of k */
    int32_t pad_top, pad_left;       /* zeros before the first row and column; negative crops */
    int onto;                        /* what y holds is added before the activation */
    GpudlAct act;                    /* none, relu, clip, silu, hard swish */
} GpudlWinograd;

/** Nonzero if all of d is as said there, pads and extents are 2^28 at most: the functions rely on it. */
int gpudl_winograd_supported(const GpudlWinograd *d);

/** Bytes of packed weights, and of scratch; multiples of 64. Scratch is 768 KiB at most where c is 2000 or less, and
 * does not grow with extents and k. */
size_t gpudl_winograd_weights_size(const GpudlWinograd *d);
size_t gpudl_winograd_scratch_size(const GpudlWinograd *d);

/** w: [k][c][3][3]; bias: [k] or NULL, which is zeros; in any case it stays float32. packed, all of which is written:
 * that many bytes, aligned to a float; to 64 bytes is faster. */
void gpudl_winograd_pack(const GpudlWinograd *d, const float *w, const float *bias, void *packed);

/**
 * y = act(sum over taps and channels of x * w + bias (+ y)). Transformed pixels and transformed weights are each
 * rounded to bfloat16, but those of the sum of four pixels, which are there twice over, and all else is float32: a
 * result is off by up to 2^-8 of the sum of the magnitudes of those products, and where they are many by about 1.5
 * times as much as a direct one of rounded weights. Rounded to bfloat16 when stored, before which silu may be off by
 * 2e-4 of its value (and 1e-35); subnormals may become zero. A NaN or infinity of x reaches what sees it and nothing
 * else; an infinity may arrive as NaN, and so may numbers of 2^126 or more. Sums of nine weights are finite in
 * bfloat16. x and y are aligned to an element and do not overlap; of y exactly the k channels of each pixel are
 * written, of x no element beside its channels is read. scratch: of that many bytes, aligned as packed; its contents
 * don't matter. Single-threaded; keeps no state.
 */
typedef void GpudlWinogradFunc(const GpudlWinograd *d, const void *x, const void *packed, void *scratch, void *y);

/** What an instruction set has of these. */
typedef struct {
    const char *name; /* "winograd:avx512_bf16" */
    GpudlWinogradFunc *run;
} GpudlWinogradKernels;

/** Those of an instruction set; NULL where the processor or the build has it not, and of sets that do not multiply
 * bfloat16. */
const GpudlWinogradKernels *gpudl_winograd_kernels(GpudlSimd simd);

#ifdef __cplusplus
}
#endif
#endif
