/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Conversion between any two element types: ONNX Cast-21, without float8, int4 and strings.
 */
#ifndef GPUDL_KERNELS_CAST_H
#define GPUDL_KERNELS_CAST_H

#include "kernel.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y = x in y's type; equal shapes.
 *
 * - to a narrower float: rounded once to nearest even, too large becomes infinity, NaN stays NaN
 * - integer to float: rounded once to nearest even
 * - float to integer: truncated towards 0; what ONNX leaves undefined is: outside the type's range its nearest end,
 *   NaN 0
 * - integer to integer: wraps around
 * - to bool: whether x is not 0, so NaN gives true; from bool: 0 or 1
 */
typedef int GpudlCastFunc(const GpudlTensorView *x, const GpudlTensorView *y, GpudlKernelStream stream);

GpudlCastFunc gpudl_cast_ref;

#ifdef __cplusplus
}
#endif
#endif
