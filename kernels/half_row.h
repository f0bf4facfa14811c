/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Rows of floats to float16, as weights are packed: by the processor's own instruction where it has one. */
#ifndef GPUDL_KERNELS_HALF_ROW_H
#define GPUDL_KERNELS_HALF_ROW_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/**
 * y[i] = gpudl_f32_to_f16(scale * x[i]), bit by bit, of n values; x and y have nothing in common. Returns 0 if one of
 * them is infinite, else not 0. The multiplication rounds to nearest. Thread-safe.
 */
typedef int GpudlHalfRowFunc(const float *x, float scale, int64_t n, uint16_t *y);

GpudlHalfRowFunc gpudl_half_row_ref;
/** With AVX2 and F16C. */
GpudlHalfRowFunc gpudl_half_row_avx2;

/** The fastest that this processor has. */
GpudlHalfRowFunc *gpudl_half_row_best(void);
/** gpudl_half_row_avx2() where it can be called, else NULL. */
GpudlHalfRowFunc *gpudl_half_row_native(void);

#ifdef __cplusplus
}
#endif
#endif
