/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Conversion between any two element types: ONNX Cast-25, without float6 and strings.
 */
#ifndef GPUDL_KERNELS_CAST_H
#define GPUDL_KERNELS_CAST_H

#include "kernel.h"
#include "narrow.h"

#ifdef __cplusplus
extern "C" {
#endif

/** What ONNX Cast can choose, for floats of 8 bits alone. */
typedef struct {
    int saturate;     /* too large becomes the largest number, not infinity or NaN */
    GpudlRound round; /* to float8e8m0 */
} GpudlCastRule;

/**
 * y = x in y's type; equal shapes. rule NULL: saturated, rounded up.
 *
 * - to a narrower float: rounded once to nearest even, too large becomes infinity, NaN stays NaN; to floats of 8 bits
 *   and less: as gpudl_f64_to_narrow() and gpudl_f64_to_e8m0() say
 * - integer to float: rounded once to nearest even
 * - float to integer: truncated towards 0; what ONNX leaves undefined is: outside the type's range its nearest end,
 *   NaN 0; for integers of 4 and 2 bits its lowest bits, as the ONNX node suite has it
 * - integer to integer: wraps around
 * - to bool: whether x is not 0, so NaN gives true; from bool: 0 or 1
 */
typedef int GpudlCastFunc(const GpudlTensorView *x, const GpudlTensorView *y, const GpudlCastRule *rule,
                          GpudlKernelStream stream);

GpudlCastFunc gpudl_cast_ref;

#ifdef __cplusplus
}
#endif
#endif
