/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Local response normalisation across channels: ONNX LRN-13.
 */
#ifndef GPUDL_KERNELS_LRN_H
#define GPUDL_KERNELS_LRN_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = x / (bias + alpha / size * s)^beta, s the sum of x^2 over the channels c - floor((size - 1) / 2) ..
 * c + ceil((size - 1) / 2) that exist.
 *
 * x, y  [n][c][...], of rank 2 or more and equal shape
 * size  >= 1
 *
 * One float type, else GPUDL_KERNEL_DTYPE.
 */
typedef int GpudlLrnFunc(const GpudlTensorView *x, int32_t size, float alpha, float beta, float bias,
                         const GpudlTensorView *y, GpudlKernelStream stream);

GpudlLrnFunc gpudl_lrn_ref;

#ifdef __cplusplus
}
#endif
#endif
