/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Local response normalisation across channels on a CUDA device.
 */
#ifndef GPUDL_KERNELS_LRN_CUDA_H
#define GPUDL_KERNELS_LRN_CUDA_H

#include "lrn.h"
#include "nhwc.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * GpudlLrnFunc on pictures: sums and powers in float32, rounded once.
 *
 * x, y  both of dtype, float16, bfloat16 or float32, else GPUDL_KERNEL_DTYPE; xs and ys, equal but for the pitch
 * size  >= 1
 *
 * Any channel count, pitch and alignment to an element; multiples of 8 channels (float32: 4), 16 bytes apart, are
 * faster. Returns before the device is done: 0, a status or the launch's CUDA error.
 */
typedef int GpudlLrnCudaFunc(GpudlDType dtype, const void *x, const GpudlNhwc *xs, int32_t size, float alpha,
                             float beta, float bias, void *y, const GpudlNhwc *ys, GpudlKernelStream stream);

GpudlLrnCudaFunc gpudl_lrn_cuda;

#ifdef __cplusplus
}
#endif
#endif
