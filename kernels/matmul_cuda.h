/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Batched matrix products on a CUDA device, of operands in any layout: a transposed matrix is one of other strides.
 */
#ifndef GPUDL_KERNELS_MATMUL_CUDA_H
#define GPUDL_KERNELS_MATMUL_CUDA_H

#include "elementwise_cuda.h"
#include "gemm.h"
#include "matmul.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = act(alpha * a b + beta * c) for every matrix of the batch: GpudlMatmulFunc, and GpudlGemmFunc.
 *
 * shape   y's: [batch...][m][n], rank 2 or more
 * a       strides along [batch...][m][k], 0 where it is repeated
 * b       strides along [batch...][k][n]
 * c       strides along y's dimensions, or NULL
 * y       positive strides (0 along dimensions of 1), no two elements at one place
 * params  trans_a and trans_b are not looked at
 *
 * Every operand float16, bfloat16 or float32 on its own: sums in float32, rounded once. Or all integers of one type,
 * with alpha and beta 1 and no activation but none: wrapping. Else GPUDL_KERNEL_DTYPE. At most 2^31 - 1 elements of y,
 * and m, n and k at most 2^31 - 65, else GPUDL_KERNEL_SHAPE. k 0: a sum of nothing, 0. Returns before the device is
 * done: 0, a status or the launch's CUDA error.
 */
typedef int GpudlMatmulCudaFunc(const GpudlShape *shape, int32_t k, const GpudlStrided *a, const GpudlStrided *b,
                                const GpudlStrided *c, const GpudlGemm *params, const GpudlStrided *y,
                                GpudlKernelStream stream);

GpudlMatmulCudaFunc gpudl_matmul_cuda;

#ifdef __cplusplus
}
#endif
#endif
