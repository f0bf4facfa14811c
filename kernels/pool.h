/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Maximum and average over windows: ONNX MaxPool-22, AveragePool-22, GlobalMaxPool-22, GlobalAveragePool-22.
 */
#ifndef GPUDL_KERNELS_POOL_H
#define GPUDL_KERNELS_POOL_H

#include "window.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    GPUDL_POOL_MAX = 0,    /* padding does not take part */
    GPUDL_POOL_AVERAGE,    /* divisor: taps inside the input */
    GPUDL_POOL_AVERAGE_PAD /* divisor: taps inside the padded input; taps beyond the end padding, which rounding the
                              output size up (ceil_mode) can cause, do not count, as in PyTorch */
} GpudlPoolKind;

/**
 * y = maximum or average of each window of x.
 *
 * x  [n][c][spatial...]
 * y  [n][c][spatial...]; its extents decide how many windows there are, so ceil_mode is settled by who makes them
 *
 * Average: float types. Maximum: all types. A window without any tap inside gives, as average 0, as maximum the least
 * value of the type (-infinity). Both of one type, else GPUDL_KERNEL_DTYPE. GPUDL_KERNEL_SHAPE if ranks, batch or
 * channels differ.
 */
typedef int GpudlPoolFunc(GpudlPoolKind kind, const GpudlTensorView *x, const GpudlWindow *window,
                          const GpudlTensorView *y, GpudlKernelStream stream);

GpudlPoolFunc gpudl_pool_ref;

/**
 * Where each maximum of GPUDL_POOL_MAX lies: the index of its element in the whole of x, the first of equal ones (of
 * several NaNs the first). ONNX MaxPool's second output; column_major is its storage_order: within a channel the first
 * spatial dimension is the fastest one, batch and channel count as ever.
 *
 * indices  int64 of y's shape; a window without any tap inside gives -1
 *
 * Types of x as for the maximum. Statuses as there.
 */
typedef int GpudlPoolIndicesFunc(const GpudlTensorView *x, const GpudlWindow *window, int column_major,
                                 const GpudlTensorView *indices, GpudlKernelStream stream);

GpudlPoolIndicesFunc gpudl_pool_indices_ref;

/**
 * The same over all spatial positions of each channel: x [n][c][...] of rank 2 or more, y [n][c][1...]. kind is
 * GPUDL_POOL_MAX or GPUDL_POOL_AVERAGE. An empty plane averages to NaN.
 */
typedef int GpudlGlobalPoolFunc(GpudlPoolKind kind, const GpudlTensorView *x, const GpudlTensorView *y,
                                GpudlKernelStream stream);

GpudlGlobalPoolFunc gpudl_global_pool_ref;

#ifdef __cplusplus
}
#endif
#endif
