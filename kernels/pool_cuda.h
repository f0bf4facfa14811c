/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Maximum and average over windows, and over whole planes, on a CUDA device.
 */
#ifndef GPUDL_KERNELS_POOL_CUDA_H
#define GPUDL_KERNELS_POOL_CUDA_H

#include "nhwc.h"
#include "pool.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * GpudlPoolFunc on pictures of float16, bfloat16 or float32: sums in float32, rounded once; maxima exact, NaN goes
 * through.
 *
 * x, y    both of dtype, else GPUDL_KERNEL_DTYPE; xs and ys; as many pictures and channels in both. ys decides how many
 *         windows there are
 * window  n_spatial 2; pad_end counts for GPUDL_POOL_AVERAGE_PAD
 *
 * Any channel count, pitch and alignment to an element; multiples of 8 channels (float32: 4), 16 bytes apart, are
 * faster. Returns before the device is done: 0, a status or the launch's CUDA error.
 */
typedef int GpudlPoolCudaFunc(GpudlPoolKind kind, GpudlDType dtype, const void *x, const GpudlNhwc *xs,
                              const GpudlWindow *window, void *y, const GpudlNhwc *ys, GpudlKernelStream stream);

GpudlPoolCudaFunc gpudl_pool_cuda;

/**
 * GpudlGlobalPoolFunc on such pictures: y [n][c], rows y_pitch elements apart. kind is GPUDL_POOL_MAX or
 * GPUDL_POOL_AVERAGE. The rest as above.
 */
typedef int GpudlGlobalPoolCudaFunc(GpudlPoolKind kind, GpudlDType dtype, const void *x, const GpudlNhwc *xs, void *y,
                                    int64_t y_pitch, GpudlKernelStream stream);

GpudlGlobalPoolCudaFunc gpudl_global_pool_cuda;

#ifdef __cplusplus
}
#endif
#endif
