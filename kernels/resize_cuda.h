/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Resampling of tensors on a CUDA device, of operands in any layout.
 */
#ifndef GPUDL_KERNELS_RESIZE_CUDA_H
#define GPUDL_KERNELS_RESIZE_CUDA_H

#include "elementwise_cuda.h"
#include "resize.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * GpudlResizeFunc. NEAREST takes any type and moves the very elements that the reference does; LINEAR and CUBIC take
 * float16, bfloat16 and float32 and sum in float32, rounded once: what lies where is computed in double, as the
 * reference does it, and so are the weights, which then round to float32. An element that weighs nothing does not
 * count, be it infinite or NaN.
 *
 * x, y    of one type, else GPUDL_KERNEL_DTYPE. y has positive strides (0 along dimensions of 1) and no two elements at
 *         one place; x may have strides of either sign, or 0. At most 2^31 - 1 elements each, else GPUDL_KERNEL_SHAPE
 *
 * What lies together in both, behind all dimensions that change, moves in units of up to 16 bytes: channels of pictures
 * whose pixels begin at such multiples. Filters of more than about 6000 elements, or along more than three dimensions,
 * are slow. Returns before the device is done: 0, a status or the launch's CUDA error.
 */
typedef int GpudlResizeCudaFunc(const GpudlShape *x_shape, const GpudlStrided *x, const double *scale,
                                const GpudlResize *params, const GpudlShape *y_shape, const GpudlStrided *y,
                                GpudlKernelStream stream);

GpudlResizeCudaFunc gpudl_resize_cuda;

#ifdef __cplusplus
}
#endif
#endif
