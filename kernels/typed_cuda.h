/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Element by element on a CUDA device where elementwise_cuda.h, which knows float16, bfloat16 and float32 alone, does
 * not do: integers and bool, results of another type than the operands, selection, conversion. Operands in any layout.
 */
#ifndef GPUDL_KERNELS_TYPED_CUDA_H
#define GPUDL_KERNELS_TYPED_CUDA_H

#include "cast.h"
#include "elementwise_cuda.h"

#ifdef __cplusplus
extern "C" {
#endif

/*
 * Results have positive strides (0 along dimensions of 1) and no two elements at one place; operands strides of either
 * sign, or 0. "Float" is float16, bfloat16 or float32, each operand's on its own, computed in float32 and rounded once;
 * integers, of 8 bits and more, and bool compute in 64 bits and wrap around. At most 2^31 - 1 elements, else
 * GPUDL_KERNEL_SHAPE; types that are not listed are GPUDL_KERNEL_DTYPE. Each returns before the device is done: 0, a
 * status, or the launch's CUDA error.
 */

/** y = op(x) of integers, as gpudl_unary_ref(): ACTIVATION, ABS, NEG; NOT of bool. */
typedef int GpudlTypedUnaryCudaFunc(GpudlUnaryOp op, const GpudlAct *act, const GpudlShape *shape,
                                    const GpudlStrided *x, const GpudlStrided *y, GpudlKernelStream stream);

GpudlTypedUnaryCudaFunc gpudl_typed_unary_cuda;

/**
 * y = act(op(a, b)) as gpudl_binary_ref(): every operation of integers; of floats, comparisons, MOD and FMOD; POW of an
 * integer by a float and the reverse; AND, OR, XOR of bool. act may be NULL, and is none for POW of different types.
 * That POW is float64's, in which CUDA's pow() is off by 2 units in the last place at the most: an integer by a float,
 * which truncates it, is exact where the power is an integer below 2^50, else within one and 2^-51 of it.
 * The device can't tell of an integer division by 0, nor of 0 to a negative power: the result is 0.
 */
typedef int GpudlTypedBinaryCudaFunc(GpudlBinaryOp op, const GpudlAct *act, const GpudlShape *shape,
                                     const GpudlStrided *a, const GpudlStrided *b, const GpudlStrided *y,
                                     GpudlKernelStream stream);

GpudlTypedBinaryCudaFunc gpudl_typed_binary_cuda;

/** y = condition ? a : b: condition bool; a, b, y of one type, any, or all float. */
typedef int GpudlWhereCudaFunc(const GpudlShape *shape, const GpudlStrided *condition, const GpudlStrided *a,
                               const GpudlStrided *b, const GpudlStrided *y, GpudlKernelStream stream);

GpudlWhereCudaFunc gpudl_where_cuda;

/** y = x in y's type, floats and integers, as gpudl_cast_ref(). */
typedef int GpudlCastCudaFunc(const GpudlShape *shape, const GpudlStrided *x, const GpudlStrided *y,
                              GpudlKernelStream stream);

GpudlCastCudaFunc gpudl_cast_cuda;

/**
 * y = x reduced along axes (n_axes of them; 0: all), integers of one type as gpudl_reduce_ref(). shape is x's; y's
 * strides go along x's dimensions, those along what is reduced are not looked at. None of the dimensions is 0, else
 * GPUDL_KERNEL_SHAPE.
 */
typedef int GpudlTypedReduceCudaFunc(int32_t kind, const GpudlShape *shape, const GpudlStrided *x, const int32_t *axes,
                                     int32_t n_axes, const GpudlStrided *y, GpudlKernelStream stream);

GpudlTypedReduceCudaFunc gpudl_typed_reduce_cuda;

#ifdef __cplusplus
}
#endif
#endif
