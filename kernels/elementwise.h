/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Element by element: one input, two inputs with numpy broadcasting to rank 6, and selection by a condition.
 */
#ifndef GPUDL_KERNELS_ELEMENTWISE_H
#define GPUDL_KERNELS_ELEMENTWISE_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Of one input. In brackets: the types other than float. */
typedef enum {
    GPUDL_UNARY_ACTIVATION = 0, /* gpudl_activate(act) [none, relu, clip: integers; clip keeps the integers between
                                   its bounds] */
    GPUDL_UNARY_ELU,            /* x < 0 ? act.alpha * (exp(x) - 1) : x */
    GPUDL_UNARY_ABS,            /* [integers; the least value stays what it is] */
    GPUDL_UNARY_NEG,            /* [integers, wrapping] */
    GPUDL_UNARY_EXP,
    GPUDL_UNARY_LOG,
    GPUDL_UNARY_SQRT,
    GPUDL_UNARY_RECIPROCAL,
    GPUDL_UNARY_FLOOR,
    GPUDL_UNARY_CEIL,
    GPUDL_UNARY_ROUND, /* halves to even */
    GPUDL_UNARY_ERF,
    GPUDL_UNARY_NOT, /* [bool only] */
    GPUDL_UNARY_LAST = GPUDL_UNARY_NOT
} GpudlUnaryOp;

/**
 * y = op(x): equal shapes, equal types; y may be x itself. act is read for ACTIVATION and ELU, else may be NULL.
 * GPUDL_KERNEL_DTYPE for a type that the operation does not take.
 */
typedef int GpudlUnaryFunc(GpudlUnaryOp op, const GpudlAct *act, const GpudlTensorView *x, const GpudlTensorView *y,
                           GpudlKernelStream stream);

GpudlUnaryFunc gpudl_unary_ref;

/** Of two inputs, a and b. All but those marked take every float and integer type, the same for a and b. */
typedef enum {
    GPUDL_BINARY_ADD = 0,
    GPUDL_BINARY_SUB,
    GPUDL_BINARY_MUL,
    GPUDL_BINARY_DIV, /* integers truncate; by 0: GPUDL_KERNEL_DIVIDE; least value by -1 wraps */
    GPUDL_BINARY_POW, /* b's type is free; the result has a's. Two integers: exact, wrapping; a negative exponent
                         truncates 1 / a^-b, with a = 0 GPUDL_KERNEL_DIVIDE. Integer by float: in double */
    GPUDL_BINARY_MIN, /* NaN if either is */
    GPUDL_BINARY_MAX,
    GPUDL_BINARY_PRELU, /* a < 0 ? a * b : a */
    GPUDL_BINARY_MOD,   /* remainder with the divisor's sign (Python's %); integers by 0: GPUDL_KERNEL_DIVIDE */
    GPUDL_BINARY_FMOD,  /* remainder with the dividend's sign (C's fmod) */
    GPUDL_BINARY_EQUAL, /* comparisons: y is bool; NaN equals and orders with nothing */
    GPUDL_BINARY_LESS,
    GPUDL_BINARY_LESS_OR_EQUAL,
    GPUDL_BINARY_GREATER,
    GPUDL_BINARY_GREATER_OR_EQUAL,
    GPUDL_BINARY_AND, /* logic: all bool */
    GPUDL_BINARY_OR,
    GPUDL_BINARY_XOR,
    GPUDL_BINARY_LAST = GPUDL_BINARY_XOR
} GpudlBinaryOp;

/**
 * y = act(op(a, b)), a and b broadcast onto y's shape. act may be NULL; it counts for the arithmetic operations (ADD to
 * FMOD) and for integers must be none, relu or clip. GPUDL_KERNEL_SHAPE if an input does not broadcast onto y.
 */
typedef int GpudlBinaryFunc(GpudlBinaryOp op, const GpudlAct *act, const GpudlTensorView *a, const GpudlTensorView *b,
                            const GpudlTensorView *y, GpudlKernelStream stream);

GpudlBinaryFunc gpudl_binary_ref;

/** y = condition ? a : b: condition bool; a, b, y of one type, any; all three broadcast onto y's shape. */
typedef int GpudlWhereFunc(const GpudlTensorView *condition, const GpudlTensorView *a, const GpudlTensorView *b,
                           const GpudlTensorView *y, GpudlKernelStream stream);

GpudlWhereFunc gpudl_where_ref;

#ifdef __cplusplus
}
#endif
#endif
