/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Normalisation by the mean and variance of the values themselves: ONNX LayerNormalization-17, GroupNormalization-21,
 * InstanceNormalization-22.
 *
 * y = (x - mean) / sqrt(variance + epsilon) * scale + bias, variance the mean of (x - mean)^2, over a set of values
 * that the function says.
 */
#ifndef GPUDL_KERNELS_NORM_H
#define GPUDL_KERNELS_NORM_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Over the dimensions axis .. axis + n_axes - 1 of x, n_axes >= 1.
 *
 * x, y         of equal shape and type
 * scale, bias  of those dimensions, any float type; NULL: ones, zeros
 *
 * Float types, else GPUDL_KERNEL_DTYPE.
 */
typedef int GpudlLayerNormFunc(const GpudlTensorView *x, const GpudlTensorView *scale, const GpudlTensorView *bias,
                               int32_t axis, int32_t n_axes, float epsilon, const GpudlTensorView *y,
                               GpudlKernelStream stream);

GpudlLayerNormFunc gpudl_layer_norm_ref;

/**
 * Over each frame's groups of c / groups neighbouring channels.
 *
 * x, y         [n][c][...] of equal shape and type; groups divides c
 * scale, bias  [c], any float type; NULL: ones, zeros
 */
typedef int GpudlGroupNormFunc(const GpudlTensorView *x, const GpudlTensorView *scale, const GpudlTensorView *bias,
                               int32_t groups, float epsilon, const GpudlTensorView *y, GpudlKernelStream stream);

GpudlGroupNormFunc gpudl_group_norm_ref;

/** float32 in memory: rows lines of n values next to one another are normalised each; scale and bias have n values. */
typedef void GpudlNormRowsFunc(const float *x, const float *scale, const float *bias, int64_t rows, int64_t n,
                               float epsilon, float *y);

/** float32 in memory, groups of c / groups channels; scale and bias have c values. Planar: x is [n][c][plane];
 * interleaved: [n][plane][c]. */
typedef void GpudlNormGroupsFunc(const float *x, const float *scale, const float *bias, int64_t n, int64_t c,
                                 int64_t plane, int64_t groups, float epsilon, float *y);

/** What a processor has of these. scale and bias may be NULL; y may be x. Sums are float32 over 4096 values at most,
 * of those double. */
typedef struct {
    const char *name;
    GpudlNormRowsFunc *rows;
    GpudlNormGroupsFunc *planar, *interleaved;
} GpudlNormKernels;

typedef enum {
    GPUDL_NORM_GENERIC = 0,
    GPUDL_NORM_AVX2,
    GPUDL_NORM_AVX512,
    GPUDL_NORM_LAST = GPUDL_NORM_AVX512
} GpudlNormIsa;

/** Those of an instruction set, NULL where the processor or the build has it not. GENERIC is always there. */
const GpudlNormKernels *gpudl_norm_kernels(GpudlNormIsa isa);

#ifdef __cplusplus
}
#endif
#endif
