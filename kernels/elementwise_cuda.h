/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Element by element on a CUDA device, on operands in any layout: copies, activations, arithmetic with broadcasting.
 * As strides say where each element lies, this is also the movement of data: transposing, slicing, concatenating and
 * conversion between float16, bfloat16 and float32 are copies.
 */
#ifndef GPUDL_KERNELS_ELEMENTWISE_CUDA_H
#define GPUDL_KERNELS_ELEMENTWISE_CUDA_H

#include "elementwise.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * An operand: element (i0, i1, ...) of the call's shape lies at data + sum of i * stride, strides in elements. 0
 * repeats an operand along a dimension; a result repeats nothing, and no two of its elements share a place. Strides are
 * not negative. dtype is float16, bfloat16 or float32, for each operand on its own.
 */
typedef struct {
    GpudlDType dtype;
    void *data;
    int64_t strides[GPUDL_MAX_RANK];
} GpudlStrided;

/*
 * All compute in float32 and round once, when stored. A result may be one of the operands with the same strides. At
 * most 2^31 - 1 elements, else GPUDL_KERNEL_SHAPE; another type is GPUDL_KERNEL_DTYPE. Whole vectors of 8 elements,
 * each operand's next to one another and 16-byte aligned or repeated, are several times as fast as others. Each returns
 * before the device is done: 0, a status, or the launch's CUDA error.
 */

/** y = op(x). ACTIVATION with none is a copy. NOT is GPUDL_KERNEL_DTYPE. act as for gpudl_unary_ref(). */
typedef int GpudlUnaryCudaFunc(GpudlUnaryOp op, const GpudlAct *act, const GpudlShape *shape, const GpudlStrided *x,
                               const GpudlStrided *y, GpudlKernelStream stream);

GpudlUnaryCudaFunc gpudl_unary_cuda;

/** y = act(op(a, b)), op from ADD to PRELU; later ones are GPUDL_KERNEL_DTYPE. act may be NULL. */
typedef int GpudlBinaryCudaFunc(GpudlBinaryOp op, const GpudlAct *act, const GpudlShape *shape, const GpudlStrided *a,
                                const GpudlStrided *b, const GpudlStrided *y, GpudlKernelStream stream);

GpudlBinaryCudaFunc gpudl_binary_cuda;

/** y = act(x * scale + shift + z): what follows a sum of products, and batch norm. All but x and y may be NULL. */
typedef int GpudlAffineCudaFunc(const GpudlAct *act, const GpudlShape *shape, const GpudlStrided *x,
                                const GpudlStrided *scale, const GpudlStrided *shift, const GpudlStrided *z,
                                const GpudlStrided *y, GpudlKernelStream stream);

GpudlAffineCudaFunc gpudl_affine_cuda;

#ifdef __cplusplus
}
#endif
#endif
