/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Resampling of tensors to other extents, dimension by dimension (ONNX Resize-19, Upsample-9).
 */
#ifndef GPUDL_KERNELS_RESIZE_H
#define GPUDL_KERNELS_RESIZE_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What an output element is made of. */
typedef enum {
    GPUDL_SAMPLE_NEAREST = 0, /* one element; any type */
    GPUDL_SAMPLE_LINEAR = 1,  /* two a dimension; float types */
    GPUDL_SAMPLE_CUBIC = 2    /* four a dimension, by Keys' polynomial; float types */
} GpudlSampleMode;

/**
 * Where output index o of a dimension lies in the input: `in` and `out` are the extents, s the scale, which need not be
 * out / in exactly.
 */
typedef enum {
    GPUDL_SAMPLE_HALF_PIXEL = 0,           /* (o + .5) / s - .5 */
    GPUDL_SAMPLE_HALF_PIXEL_SYMMETRIC = 1, /* the same, about the middle of the input: + in / 2 (1 - out / (s in)) */
    GPUDL_SAMPLE_PYTORCH_HALF_PIXEL = 2,   /* the same as HALF_PIXEL, but 0 where out is 1 */
    GPUDL_SAMPLE_ALIGN_CORNERS = 3,        /* o (in - 1) / (out - 1); 0 where out is 1 */
    GPUDL_SAMPLE_ASYMMETRIC = 4,           /* o / s */
    GPUDL_SAMPLE_TF_HALF_PIXEL = 5         /* (o + .5) / s */
} GpudlSampleCoordinate;

/** Which element is the nearest. */
typedef enum {
    GPUDL_SAMPLE_PREFER_FLOOR = 0, /* rounded, halves down */
    GPUDL_SAMPLE_PREFER_CEIL = 1,  /* rounded, halves up */
    GPUDL_SAMPLE_FLOOR = 2,
    GPUDL_SAMPLE_CEIL = 3
} GpudlSampleNearest;

typedef struct {
    GpudlSampleMode mode;
    GpudlSampleCoordinate coordinate;
    GpudlSampleNearest nearest; /* NEAREST */
    int32_t exclude_outside;    /* LINEAR, CUBIC: elements outside count nothing, else they are the border's */
    int32_t antialias;          /* LINEAR, CUBIC: where the output is smaller, the filter is as much wider */
    float cubic_a;              /* CUBIC: the polynomial's coefficient, e.g. -0.75 */
} GpudlResize;

/**
 * y = x resampled. A dimension of the same extent in both and a scale of 0 or 1 is left alone; else a scale of 0 is y's
 * extent by x's. scale has x's rank. A dimension without elements must not grow. GPUDL_KERNEL_DTYPE for what computes
 * in a type that is no float, GPUDL_KERNEL_SHAPE for scales below 0 and parameters that are none of the above.
 */
typedef int GpudlResizeFunc(const GpudlTensorView *x, const double *scale, const GpudlResize *params,
                            const GpudlTensorView *y, GpudlKernelStream stream);
GpudlResizeFunc gpudl_resize_ref;

#ifdef __cplusplus
}
#endif
#endif
