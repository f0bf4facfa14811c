/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Batch normalisation with stored statistics: ONNX BatchNormalization-15 with training_mode 0.
 */
#ifndef GPUDL_KERNELS_BATCHNORM_H
#define GPUDL_KERNELS_BATCHNORM_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = (x - mean) / sqrt(variance + epsilon) * scale + bias, per channel.
 *
 * x, y                         [n][c][...] of equal shape and type; of rank 1: one channel
 * scale, bias, mean, variance  [c], each of any float type
 *
 * Float types, else GPUDL_KERNEL_DTYPE.
 */
typedef int GpudlBatchnormFunc(const GpudlTensorView *x, const GpudlTensorView *scale, const GpudlTensorView *bias,
                               const GpudlTensorView *mean, const GpudlTensorView *variance, float epsilon,
                               const GpudlTensorView *y, GpudlKernelStream stream);

GpudlBatchnormFunc gpudl_batchnorm_ref;

#ifdef __cplusplus
}
#endif
#endif
