/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Batched matrix product by numpy's rules: ONNX MatMul-13.
 */
#ifndef GPUDL_KERNELS_MATMUL_H
#define GPUDL_KERNELS_MATMUL_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = act(a b) for every matrix of the batch.
 *
 * a  [batch...][m][k], or [k]: a row, and y has no m
 * b  [batch...][k][n], or [k]: a column, and y has no n
 * y  [broadcast batch...][m][n]
 *
 * All of one type, float or integer (with integers act is none, relu or clip), else GPUDL_KERNEL_DTYPE.
 * GPUDL_KERNEL_SHAPE if an operand is a scalar or the extents do not fit.
 */
typedef int GpudlMatmulFunc(const GpudlTensorView *a, const GpudlTensorView *b, const GpudlAct *act,
                            const GpudlTensorView *y, GpudlKernelStream stream);

GpudlMatmulFunc gpudl_matmul_ref;

#ifdef __cplusplus
}
#endif
#endif
