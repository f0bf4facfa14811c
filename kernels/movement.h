/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Moving elements without computing: any element type, decided by its size alone; inputs and outputs of a call have one
 * type (GPUDL_KERNEL_DTYPE if not), and outputs the shape that follows from the others (GPUDL_KERNEL_SHAPE if not).
 */
#ifndef GPUDL_KERNELS_MOVEMENT_H
#define GPUDL_KERNELS_MOVEMENT_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/** The same elements in the same order under another shape (Reshape, Flatten, Squeeze, Identity). */
typedef int GpudlReshapeFunc(const GpudlTensorView *x, const GpudlTensorView *y, GpudlKernelStream stream);
GpudlReshapeFunc gpudl_reshape_ref;

/** y's dimension i is x's dimension perm[i]; perm has x's rank entries, each dimension once. ONNX Transpose-21. */
typedef int GpudlTransposeFunc(const GpudlTensorView *x, const int32_t *perm, const GpudlTensorView *y,
                               GpudlKernelStream stream);
GpudlTransposeFunc gpudl_transpose_ref;

/** n inputs one behind the other along axis; all other dimensions equal y's. ONNX Concat-13. */
typedef int GpudlConcatFunc(const GpudlTensorView *const *inputs, int64_t n, int32_t axis, const GpudlTensorView *y,
                            GpudlKernelStream stream);
GpudlConcatFunc gpudl_concat_ref;

/** The reverse: x cut along axis into n outputs, whose extents there add up to x's. ONNX Split-18. */
typedef int GpudlSplitFunc(const GpudlTensorView *x, int32_t axis, const GpudlTensorView *outputs, int64_t n,
                           GpudlKernelStream stream);
GpudlSplitFunc gpudl_split_ref;

/** Per dimension every step-th element from start (included) to end (excluded), both as ONNX Slice-13 says them:
 * negative counts from the end, then clamped; step is not 0 and may be negative. Arrays of x's rank. */
typedef int GpudlSliceFunc(const GpudlTensorView *x, const int64_t *start, const int64_t *end, const int64_t *step,
                           const GpudlTensorView *y, GpudlKernelStream stream);
GpudlSliceFunc gpudl_slice_ref;

/** What padding is made of. */
typedef enum {
    GPUDL_PADDING_CONSTANT = 0,
    GPUDL_PADDING_REFLECT = 1, /* mirrored at the border's element, which is not repeated */
    GPUDL_PADDING_EDGE = 2,    /* the border's element */
    GPUDL_PADDING_WRAP = 3     /* the tensor repeated */
} GpudlPadding;

/**
 * begin[i] elements before and end[i] behind dimension i; negative ones crop. Arrays of x's rank. value is for
 * GPUDL_PADDING_CONSTANT, converted as gpudl_cast_ref does. The other modes need an element to take, so a dimension of
 * extent 0 must not grow. Reflection goes back and forth as often as needed. ONNX Pad-21.
 */
typedef int GpudlPadFunc(GpudlPadding padding, const GpudlTensorView *x, const int64_t *begin, const int64_t *end,
                         double value, const GpudlTensorView *y, GpudlKernelStream stream);
GpudlPadFunc gpudl_pad_ref;

/** x broadcast onto y's shape. ONNX Expand-13. */
typedef int GpudlExpandFunc(const GpudlTensorView *x, const GpudlTensorView *y, GpudlKernelStream stream);
GpudlExpandFunc gpudl_expand_ref;

/**
 * y [x's dimensions before axis][indices' dimensions][x's dimensions behind axis] = the slices of x at indices (int32
 * or int64; negative counts from the end). GPUDL_KERNEL_INDEX if one is outside -extent .. extent - 1. ONNX Gather-13.
 */
typedef int GpudlGatherFunc(const GpudlTensorView *x, const GpudlTensorView *indices, int32_t axis,
                            const GpudlTensorView *y, GpudlKernelStream stream);
GpudlGatherFunc gpudl_gather_ref;

#ifdef __cplusplus
}
#endif
#endif
