/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Elements of 8 bits and less, as in ONNX and the OCP microscaling specification: float8 in five layouts, float4, and
 * integers of 4 and 2 bits. One code is one byte here; codes of fewer bits lie in its low bits (types.h).
 *
 *     type           bits s e m  bias  largest  zero    special codes
 *     float8e4m3fn        1 4 3     7      448   +0 -0  0x7f, 0xff: NaN
 *     float8e4m3fnuz      1 4 3     8      240   +0     0x80: NaN
 *     float8e5m2          1 5 2    15    57344   +0 -0  0x7c, 0xfc: infinities; 0x7d-0x7f, 0xfd-0xff: NaN
 *     float8e5m2fnuz      1 5 2    16    57344   +0     0x80: NaN
 *     float8e8m0          0 8 0   127    2^127   none   0xff: NaN; 2^(code - 127), no sign
 *     float4e2m1          1 2 1     1        6   +0 -0  none
 */
#ifndef GPUDL_KERNELS_NARROW_H
#define GPUDL_KERNELS_NARROW_H

#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** How float8e8m0, which has powers of two alone, rounds: ONNX's round_mode. */
typedef enum {
    GPUDL_ROUND_UP = 0,  /* away from zero */
    GPUDL_ROUND_DOWN,    /* towards zero */
    GPUDL_ROUND_NEAREST, /* halves up */
    GPUDL_ROUND_LAST = GPUDL_ROUND_NEAREST
} GpudlRound;

/** Nonzero for the floats of 8 bits and less; for the integers of 4 and 2 bits. */
int gpudl_is_narrow_float(GpudlDType dtype);
int gpudl_is_narrow_integer(GpudlDType dtype);

/** Value of a code, exact; bits beyond the type's are ignored. Narrow floats only. */
float gpudl_narrow_to_f32(GpudlDType dtype, uint8_t code);

/**
 * Code of a value, rounded once to nearest, ties to even, from the full width of the argument. Narrow floats only.
 *
 * - too large after rounding, infinity: saturate: the largest number of that sign; else infinity where the type has
 *   one, else NaN. float4e2m1 always saturates
 * - NaN: NaN, with its sign where the type has both; float4e2m1, which has none: -0
 * - too small: zero of that sign, where the type has both
 * - float8e8m0: as gpudl_f64_to_e8m0() with GPUDL_ROUND_UP
 *
 * Independent of the processor's rounding mode.
 */
uint8_t gpudl_f64_to_narrow(GpudlDType dtype, double value, int saturate);

/** The same for float8e8m0: too large, infinity: saturate: 2^127, else NaN; zero and too small: saturate: 2^-127, else
 * NaN. Too large and too small are meant after rounding. Negative numbers, which it cannot say, are NaN. */
uint8_t gpudl_f64_to_e8m0(double value, int saturate, GpudlRound round);

/** Value of a code, bits beyond the type's ignored; code of a value, of which the lowest bits are kept. Integers of 4
 * and 2 bits only; the code of a negative number has its sign in all bits of the byte. */
int gpudl_narrow_to_int(GpudlDType dtype, uint8_t code);
uint8_t gpudl_int_to_narrow(GpudlDType dtype, int64_t value);

#ifdef __cplusplus
}
#endif
#endif
