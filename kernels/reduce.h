/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Reductions over axes: ONNX ReduceMean-18, ReduceSum-13, ReduceMax-20, ReduceMin-20, ReduceProd-18.
 */
#ifndef GPUDL_KERNELS_REDUCE_H
#define GPUDL_KERNELS_REDUCE_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    GPUDL_REDUCE_MEAN = 0,
    GPUDL_REDUCE_SUM,
    GPUDL_REDUCE_MAX,
    GPUDL_REDUCE_MIN,
    GPUDL_REDUCE_PROD,
    GPUDL_REDUCE_LAST = GPUDL_REDUCE_PROD
} GpudlReduceKind;

/**
 * y = the reduction of x over axes (n_axes of them, 0 .. rank - 1, each once, any order; 0: all).
 *
 * y has x's type and as many elements as x's dimensions that are kept; whether reduced ones stand there as 1 is the
 * caller's choice. All float and integer types; mean of integers truncates.
 * Nothing to reduce gives: sum 0, product 1, maximum and minimum the least and the largest value of the type
 * (infinities), mean NaN, or GPUDL_KERNEL_DIVIDE for integers.
 */
typedef int GpudlReduceFunc(GpudlReduceKind kind, const GpudlTensorView *x, const int32_t *axes, int32_t n_axes,
                            const GpudlTensorView *y, GpudlKernelStream stream);

GpudlReduceFunc gpudl_reduce_ref;

#ifdef __cplusplus
}
#endif
#endif
