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
 * y = act(sum over taps of x * w + bias), in float32 (tensor cores cut their sums off at 2^-23), rounded once when
 * stored.
 *
 * x       of dtype, float16 or bfloat16, else GPUDL_KERNEL_DTYPE; xs
 * w       of dtype [r][s][c], dense
 * bias    float32 [c] or NULL
 * window  n_spatial 2: taps, strides, dilations, pad_begin; the end pads follow from ys and are not looked at
 * y       of dtype, ys; as many pictures and channels as xs
 *
 * Any channel count, pitch and alignment to an element. Multiples of 8 channels, 16 bytes apart, are several times as
 * fast; square windows of dilation 1 again: 3x3 and 5x5 of stride 1 or 2, 7x7 of stride 1. Infinities and NaN stay in
 * their channel, but where there are some those run at the speed of any window, as all of bfloat16 does before compute
 * capability 8. Returns before the device is done: 0,
 * a status or the launch's CUDA error.
 */
typedef int GpudlDepthwiseCudaFunc(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w,
                                   const float *bias, const GpudlWindow *window, const GpudlAct *act, void *y,
                                   const GpudlNhwc *ys, GpudlKernelStream stream);

GpudlDepthwiseCudaFunc gpudl_depthwise_cuda;

#ifdef __cplusplus
}
#endif
#endif
