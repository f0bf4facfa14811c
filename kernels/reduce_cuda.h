/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Sums, means, extremes and products along dimensions on a CUDA device, of operands in any layout.
 */
#ifndef GPUDL_KERNELS_REDUCE_CUDA_H
#define GPUDL_KERNELS_REDUCE_CUDA_H

#include "elementwise_cuda.h"
#include "reduce.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = x reduced along the n_axes dimensions at axes; 0: all, as for gpudl_reduce_ref().
 *
 * shape  x's
 * x      float16, bfloat16 or float32
 * y      likewise, by strides along x's dimensions; those along what is reduced are not looked at
 *
 * In float32, rounded once when stored; NaN goes through. Fewer than 2^31 elements, none of the dimensions 0, else
 * GPUDL_KERNEL_SHAPE; other types GPUDL_KERNEL_DTYPE. Returns before the device is done: 0, a status or the launch's
 * CUDA error.
 */
typedef int GpudlReduceCudaFunc(GpudlReduceKind kind, const GpudlShape *shape, const GpudlStrided *x,
                                const int32_t *axes, int32_t n_axes, const GpudlStrided *y, GpudlKernelStream stream);

GpudlReduceCudaFunc gpudl_reduce_cuda;

#ifdef __cplusplus
}
#endif
#endif
