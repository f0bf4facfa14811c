/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Tensors in layouts of all kinds for the checks of CUDA kernels that take strides.
 */
#ifndef GPUDL_TESTS_KERNELS_STRIDED_H
#define GPUDL_TESTS_KERNELS_STRIDED_H

#include "kernels/elementwise_cuda.h"

typedef struct {
    GpudlStrided strided;
    GpudlShape shape;
    int64_t places, first; /* elements of its memory; where element 0 lies in it */
    void *host;            /* an input's memory */
} Strided;

/** float16, bfloat16 or float32. */
int strided_is_float(GpudlDType dtype);

/** A shape of low to high dimensions with at most this many elements, some of them 1. */
GpudlShape strided_shape(int low, int high, int64_t elements);

/** An input of random values: the dimensions in any order, gaps between some, some running backwards or repeated.
 * special: one float in 16 is infinite, NaN, -0 or subnormal. */
Strided strided_input(GpudlDType dtype, const GpudlShape *shape, int special);
/** The same of these values, row-major. */
Strided strided_input_of(GpudlDType dtype, const GpudlShape *shape, const void *values);
/** An output: in any order, with gaps. */
Strided strided_output(GpudlDType dtype, const GpudlShape *shape);

/** An input's values as dense tensor of another type (the same: bit by bit), in host memory of this case. */
GpudlTensorView strided_dense(const Strided *s, GpudlDType dtype);
/** Memory of this case for a dense tensor. */
GpudlTensorView strided_room(GpudlDType dtype, const GpudlShape *shape);
/** |x| of a dense float64 tensor, in memory of this case: what sums of it are bounded by. */
GpudlTensorView strided_magnitude(const GpudlTensorView *x);

/** How far results may be off: absolute, relative to the expected value, and to magnitude[i] where it is not NULL. Half
 * floats round once more. */
typedef struct {
    double absolute, relative;
    const double *magnitude;
    int (*integers)(GpudlDType dtype, uint64_t found, uint64_t expected); /* near enough; NULL: none but the same is */
} StridedBound;

/** Compares an output with what is expected (float64, where the output is float; else its own type, exact; bound NULL:
 * its own type, bit by bit but for NaN), and looks for writing between its places. */
void strided_compare(const Strided *y, const GpudlTensorView *expected, const StridedBound *bound);

#endif
