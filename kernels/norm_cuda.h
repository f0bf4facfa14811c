/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Normalisation of sets of values by their own mean and variance on a CUDA device, of operands in any layout: layer,
 * group and instance norms.
 */
#ifndef GPUDL_KERNELS_NORM_CUDA_H
#define GPUDL_KERNELS_NORM_CUDA_H

#include "elementwise_cuda.h"
#include "norm.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = (x - mean) / sqrt(variance + epsilon) * scale + bias, variance the mean of (x - mean)^2, over each set: the
 * elements of shape that differ in the dimensions of within alone.
 *
 * within       bit d: dimension d is one of a set's; 0: each element is a set
 * x, y         float16, bfloat16 or float32, else GPUDL_KERNEL_DTYPE; y's strides are positive, no two of its elements
 *              share a place; may be one memory of the same type and strides
 * scale, bias  float types likewise, of strides of shape, 0 where they are repeated; NULL: ones, zeros
 *
 * In float32, sums by many threads, rounded once when stored. At most 2^31 - 1 elements, else GPUDL_KERNEL_SHAPE.
 * Returns before the device is done: 0, a status or the launch's CUDA error.
 */
typedef int GpudlNormCudaFunc(const GpudlShape *shape, uint32_t within, const GpudlStrided *x,
                              const GpudlStrided *scale, const GpudlStrided *bias, float epsilon, const GpudlStrided *y,
                              GpudlKernelStream stream);

GpudlNormCudaFunc gpudl_norm_cuda;

#ifdef __cplusplus
}
#endif
#endif
