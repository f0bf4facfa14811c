/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Depthwise convolution on a CUDA device: each channel has a filter of its own (conv.h with as many groups as
 * channels).
 */
#ifndef GPUDL_KERNELS_DEPTHWISE_CUDA_H
#define GPUDL_KERNELS_DEPTHWISE_CUDA_H

#include "nhwc.h"
#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * A call.
 *
 * y = act(sum over taps of x * w + bias), in float32 (tensor cores cut their sums off at 2^-23), rounded once when
 * stored.
 *
 * x       of dtype, float16 or bfloat16, else GPUDL_KERNEL_DTYPE; xs
 * w       of dtype [r][s][c], dense
 * bias    float32 [c] or NULL
 * window  n_spatial 2: taps, strides, dilations, pad_begin; the end pads follow from ys and are not looked at
 * y       of dtype, ys; as many pictures and channels as xs
 *
 * Any channel count, pitch and alignment to an element. Quick are square windows of 3, 5 and 7 taps, stride 1 or 2 and
 * dilation 1, in vectors of 1, 2 or 4 channels as count, pitches and alignment permit, unless the activation takes tanh
 * or erf; of what is left, 3x3 and 5x5 of stride 1 or 2 and 7x7 of stride 1 of multiples of 8 channels, 16 bytes apart;
 * then other windows of those. Padding is zeros; infinities and NaN stay in their channel. Returns before the device is
 * done: 0, a status or the launch's CUDA error.
 *
 * w and bias are constants: they may be read before what was queued last is done.
 */
typedef struct {
    GpudlDType dtype;
    const void *x, *w;
    const float *bias;
    void *y;
    const GpudlNhwc *xs, *ys;
    const GpudlWindow *window;
    const GpudlAct *act;
} GpudlDepthwiseCall;

/** One way to compute it: form 0, on tensor cores where the window has them, or 1.., in strips of so many rows. */
typedef struct {
    int32_t form, rows;
} GpudlDepthwisePlan;

#define GPUDL_DEPTHWISE_PLANS 12

/** Plans of a call on a device of so many multiprocessors, the one that is thought to be the fastest first; how
 * many, 0 where nothing is to be computed or the call is refused. Pointers are looked at, not followed. */
int gpudl_depthwise_plans(const GpudlDepthwiseCall *call, int processors,
                          GpudlDepthwisePlan plans[GPUDL_DEPTHWISE_PLANS]);

/** Queues a plan; GPUDL_KERNEL_SHAPE where it is none of the call's. */
int gpudl_depthwise_plan_cuda(const GpudlDepthwiseCall *call, const GpudlDepthwisePlan *plan, GpudlKernelStream stream);

#ifdef __cplusplus
}
#endif
#endif
