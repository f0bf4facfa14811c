/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Convolution of any kind on a CUDA device: not fast, but there for every shape, and what faster ones are checked with.
 */
#ifndef GPUDL_KERNELS_CONV_CUDA_H
#define GPUDL_KERNELS_CONV_CUDA_H

#include "nhwc.h"
#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = act(sum over taps and channels of x * w + bias + z), in float32, rounded once when stored.
 *
 * x, w, z, y  all of dtype, float16, bfloat16 or float32, else GPUDL_KERNEL_DTYPE
 * x, y        xs and ys; as many pictures
 * w           [k][r][s][c / groups], dense; k is ys' channels
 * bias        float32 [k] or NULL
 * z           of ys' extents, pixels z_pitch elements apart, or NULL; may be y if the pitches are equal
 * window      n_spatial 2; the end pads follow from ys and are not looked at
 * groups      divides the channels of both, else GPUDL_KERNEL_SHAPE
 *
 * Any channel count, pitch and alignment to an element. Returns before the device is done: 0, a status or the launch's
 * CUDA error.
 */
typedef int GpudlConvCudaFunc(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                              const void *z, int64_t z_pitch, const GpudlWindow *window, int32_t groups,
                              const GpudlAct *act, void *y, const GpudlNhwc *ys, GpudlKernelStream stream);

GpudlConvCudaFunc gpudl_conv_cuda;

#ifdef __cplusplus
}
#endif
#endif
