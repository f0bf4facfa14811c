/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Squeeze-and-excite on the CPU, channels last, as one step: each channel is scaled by what two small products make of
 * all channels' means. Global average pooling alone, too.
 */
#ifndef GPUDL_KERNELS_SQUEEZE_H
#define GPUDL_KERNELS_SQUEEZE_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Channels lie next to one another; the ways between pixels and frames are in elements. Pixel i of a frame lies i
 * ways behind its first: rows follow without a gap of their own. */
typedef struct {
    GpudlDType type;          /* of x, y and the weights: float32, bfloat16 */
    int32_t n, pixels, c;     /* x and y: frames, rows times columns, channels; at least 1 */
    int32_t r;                /* channels between the products, at least 1 */
    int64_t x_pixel, x_frame; /* x_pixel at least c, x_frame at least pixels * x_pixel */
    int64_t y_pixel, y_frame; /* likewise */
    GpudlAct inner, gate;     /* none, relu, clip, silu, hard swish, sigmoid, hard sigmoid */
} GpudlSqueeze;

/** Nonzero if all of s is as said there, which the functions rely on. */
int gpudl_squeeze_supported(const GpudlSqueeze *s);

/** Bytes of packed weights, and of scratch; multiples of 64. */
size_t gpudl_squeeze_weights_size(const GpudlSqueeze *s);
size_t gpudl_squeeze_scratch_size(const GpudlSqueeze *s);

/** w1: [r][c]; w2: [c][r]; bias1: [r], bias2: [c] or NULL, which is zeros. Weights are rounded to s->type, biases stay
 * float32. packed: that many bytes, aligned to a float; to 64 bytes is faster. The same for all instruction sets. */
void gpudl_squeeze_pack(const GpudlSqueeze *s, const float *w1, const float *bias1, const float *w2, const float *bias2,
                        void *packed);

/**
 * y = x * gate(w2 * inner(w1 * mean + bias1) + bias2), mean over the pixels of a frame; all in float32 but x and y,
 * rounded once when stored (to bfloat16 subnormals may become zero). Sums of pixels are float32 over 128 of them, then
 * over those sums. y may be x. scratch: of that many bytes, aligned as packed; its contents don't matter. Exactly the c
 * channels of each pixel are written, of x no element beside those is read. Single-threaded; keeps no state.
 */
typedef void GpudlSqueezeFunc(const GpudlSqueeze *s, const void *x, const void *packed, float *scratch, void *y);

/** y: [n][c] of s->type, frames y_frame apart: the means alone. r, y_pixel, inner and gate are not looked at, scratch
 * is not needed. */
typedef void GpudlMeanFunc(const GpudlSqueeze *s, const void *x, void *y);

/** What an instruction set has of these. */
typedef struct {
    const char *name; /* "squeeze:avx512" */
    GpudlSqueezeFunc *run;
    GpudlMeanFunc *mean;
} GpudlSqueezeKernels;

/** Those of an instruction set; NULL where the processor or the build has it not. GENERIC is always there. */
const GpudlSqueezeKernels *gpudl_squeeze_kernels(GpudlSimd simd);

#ifdef __cplusplus
}
#endif
#endif
