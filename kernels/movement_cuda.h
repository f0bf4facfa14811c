/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Moving elements of any type on a CUDA device, of operands in any layout. Operands of a call have one type, else
 * GPUDL_KERNEL_DTYPE; its size alone decides.
 */
#ifndef GPUDL_KERNELS_MOVEMENT_CUDA_H
#define GPUDL_KERNELS_MOVEMENT_CUDA_H

#include "elementwise_cuda.h"
#include "movement.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Results have positive strides (0 along dimensions of 1) and no two elements at one place; sources may have strides of
 * either sign, or 0. At most 2^31 - 1 elements each, else GPUDL_KERNEL_SHAPE. What lies next to one another in both
 * moves in units of up to 16 bytes. Each returns before the device is done: 0, a status, or the launch's CUDA error.
 */

/** y = x. */
typedef int GpudlCopyCudaFunc(const GpudlShape *shape, const GpudlStrided *x, const GpudlStrided *y,
                              GpudlKernelStream stream);

GpudlCopyCudaFunc gpudl_copy_cuda;

/** GpudlPadFunc; what stands at the ends follows from the shapes. */
typedef int GpudlPadCudaFunc(GpudlPadding padding, const GpudlShape *x_shape, const GpudlStrided *x,
                             const int64_t *begin, double value, const GpudlShape *y_shape, const GpudlStrided *y,
                             GpudlKernelStream stream);

GpudlPadCudaFunc gpudl_pad_cuda;

/**
 * GpudlGatherFunc; y's shape follows from the others. The device can't tell of an index outside -extent .. extent - 1:
 * its elements have all bits set, which in the float types is NaN.
 */
typedef int GpudlGatherCudaFunc(const GpudlShape *x_shape, const GpudlStrided *x, const GpudlShape *indices_shape,
                                const GpudlStrided *indices, int32_t axis, const GpudlStrided *y,
                                GpudlKernelStream stream);

GpudlGatherCudaFunc gpudl_gather_cuda;

#ifdef __cplusplus
}
#endif
#endif
