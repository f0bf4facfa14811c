/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * What many networks begin with, in one launch: a convolution of stride 2 of a picture of four channels, its
 * activation, and maxima of 3 x 3 of its pixels at stride 2, which never see memory as a whole.
 */
#ifndef GPUDL_KERNELS_STEM_CUDA_H
#define GPUDL_KERNELS_STEM_CUDA_H

#include "kernel.h"
#include "nhwc.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A problem. */
typedef struct {
    GpudlNhwc xs, ys;    /* xs.c and xs.pitch 4; ys: the maxima, whole vectors of 8 channels, pitch a multiple of 8 */
    int32_t taps;        /* 3 or 7: of a side of the window */
    int32_t pad[2];      /* of the picture, above and left: 0 .. taps */
    int32_t p, q;        /* extents of what the convolution gives */
    int32_t pool_pad[2]; /* of that, above and left: 0 or 1 */
    GpudlAct act;        /* behind the convolution */
} GpudlStem;

/** A status: GPUDL_KERNEL_OK if the kernel computes it, of this type: float16 or bfloat16. */
int gpudl_stem_fits(GpudlDType dtype, const GpudlStem *stem);

/**
 * y = max over 3 x 3 of act(sum over taps and channels of x * w + bias): sums in float32, rounded once, so that the
 * result is that of both steps, of which padding of the second one does not take part. NaN goes through.
 *
 * x     xs, of dtype, at a multiple of 8 bytes
 * w     [k][taps][taps][4] of dtype, at a multiple of 8 bytes
 * bias  float32 [k]; NULL: zeros
 * y     ys, of dtype, at a multiple of 16 bytes; not x
 *
 * w and bias are read while what was queued before still runs, and are not written by that. GPUDL_KERNEL_DTYPE or
 * GPUDL_KERNEL_SHAPE for what does not fit. Returns before the device is done: 0, a status or the launch's CUDA error.
 */
int gpudl_stem_cuda(GpudlDType dtype, const GpudlStem *stem, const void *x, const void *w, const float *bias, void *y,
                    GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif
