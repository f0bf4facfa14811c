/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Product of two matrices with an added one: ONNX Gemm-13.
 */
#ifndef GPUDL_KERNELS_GEMM_H
#define GPUDL_KERNELS_GEMM_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    int32_t trans_a, trans_b; /* nonzero: the matrix is given transposed */
    float alpha, beta;
    GpudlAct act;
} GpudlGemm;

/**
 * y = act(alpha * a' b' + beta * c).
 *
 * a  [m][k], or [k][m] with trans_a
 * b  [k][n], or [n][k] with trans_b
 * c  broadcasts onto [m][n]; or NULL
 * y  [m][n]
 *
 * All of one type, float or integer; integers need alpha and beta 1 and no activation but relu and clip, else
 * GPUDL_KERNEL_DTYPE. k = 0 is a sum of nothing, 0. GPUDL_KERNEL_SHAPE if the extents do not fit.
 */
typedef int GpudlGemmFunc(const GpudlTensorView *a, const GpudlTensorView *b, const GpudlTensorView *c,
                          const GpudlGemm *params, const GpudlTensorView *y, GpudlKernelStream stream);

GpudlGemmFunc gpudl_gemm_ref;

#ifdef __cplusplus
}
#endif
#endif
