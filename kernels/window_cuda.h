/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Convolutions and pools that the kernels of pictures do not take, on a CUDA device: one to three spatial dimensions,
 * any layout, weights made on the device, integers, and where the maxima lie. Not fast, but there.
 */
#ifndef GPUDL_KERNELS_WINDOW_CUDA_H
#define GPUDL_KERNELS_WINDOW_CUDA_H

#include "elementwise_cuda.h"
#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Shapes are [n][c][spatial...] of rank n_spatial + 2; results have positive strides (0 along dimensions of 1) and no
 * two elements at one place, operands strides of either sign, or 0. Fewer than 2^31 elements each, else
 * GPUDL_KERNEL_SHAPE. Each returns before the device is done: 0, a status, or the launch's CUDA error.
 */

/**
 * y = act(sum over taps and channels of x * w + bias + z), GpudlConvFunc: every operand float16, bfloat16 or float32 on
 * its own, sums in float32, rounded once.
 *
 * w_shape, w  [k][c / group][taps...]
 * bias        [k] or NULL
 * z           of y's shape, or NULL
 */
typedef int GpudlWindowConvCudaFunc(const GpudlShape *x_shape, const GpudlStrided *x, const GpudlShape *w_shape,
                                    const GpudlStrided *w, const GpudlStrided *bias, const GpudlStrided *z,
                                    const GpudlWindow *window, int32_t group, const GpudlAct *act,
                                    const GpudlShape *y_shape, const GpudlStrided *y, GpudlKernelStream stream);

GpudlWindowConvCudaFunc gpudl_window_conv_cuda;

/** GpudlPoolFunc: float16, bfloat16 and float32, each on its own; maxima also of integers, of one type. */
typedef int GpudlWindowPoolCudaFunc(GpudlPoolKind kind, const GpudlShape *x_shape, const GpudlStrided *x,
                                    const GpudlWindow *window, const GpudlShape *y_shape, const GpudlStrided *y,
                                    GpudlKernelStream stream);

GpudlWindowPoolCudaFunc gpudl_window_pool_cuda;

/** GpudlPoolIndicesFunc: indices as if x lay dense. */
typedef int GpudlWindowIndicesCudaFunc(const GpudlShape *x_shape, const GpudlStrided *x, const GpudlWindow *window,
                                       int column_major, const GpudlShape *y_shape, const GpudlStrided *y,
                                       GpudlKernelStream stream);

GpudlWindowIndicesCudaFunc gpudl_window_indices_cuda;

#ifdef __cplusplus
}
#endif
#endif
