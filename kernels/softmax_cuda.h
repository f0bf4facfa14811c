/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Softmax and its logarithm along any dimension on a CUDA device, of operands in any layout.
 */
#ifndef GPUDL_KERNELS_SOFTMAX_CUDA_H
#define GPUDL_KERNELS_SOFTMAX_CUDA_H

#include "elementwise_cuda.h"
#include "softmax.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * GpudlSoftmaxFunc.
 *
 * x, y     float16, bfloat16 or float32, else GPUDL_KERNEL_DTYPE; y's strides are positive, no two of its elements
 * share a place; may be one memory of the same type and strides
 *
 * In float32, rounded once when stored; infinities and NaN as softmax.h says. At most 2^31 - 1 elements, else
 * GPUDL_KERNEL_SHAPE. Returns before the device is done: 0, a status or the launch's CUDA error.
 */
typedef int GpudlSoftmaxCudaFunc(GpudlSoftmaxKind kind, const GpudlShape *shape, const GpudlStrided *x, int32_t axis,
                                 int flatten, const GpudlStrided *y, GpudlKernelStream stream);

GpudlSoftmaxCudaFunc gpudl_softmax_cuda;

#ifdef __cplusplus
}
#endif
#endif
