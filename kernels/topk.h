/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The best k of a row of scores, with their positions.
 */
#ifndef GPUDL_KERNELS_TOPK_H
#define GPUDL_KERNELS_TOPK_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * For each of rows rows: values[row][i], indices[row][i] = the i-th best of x[row] and its column, i < k.
 *
 * x        float32 [rows][columns], dense
 * k        0 .. columns
 * values   float32 [rows][k]; NULL if not wanted
 * indices  uint32 [rows][k]
 *
 * Descending; equal scores (-0 and 0 among them) by lower column, NaN last, also by lower column: a total order, so the
 * result is unique. No memory beside the outputs. GPUDL_KERNEL_SHAPE for negative sizes, k > columns or more than 2^32
 * columns.
 */
typedef int GpudlTopkFunc(const float *x, int64_t rows, int64_t columns, int64_t k, float *values, uint32_t *indices,
                          GpudlKernelStream stream);

GpudlTopkFunc gpudl_topk_ref;

#ifdef __cplusplus
}
#endif
#endif
