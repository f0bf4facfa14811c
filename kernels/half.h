/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * float16 (IEEE 754 binary16) and bfloat16 (upper half of binary32) as their bits.
 *
 * To a wider type: exact, subnormals and infinities included. To 16 bits: rounded once to nearest, ties to even, from
 * the full width of the argument; too large becomes infinity, too small a subnormal or zero of the same sign. NaN stays
 * NaN (quiet; sign and upper payload bits kept). Independent of the processor's rounding mode and flush-to-zero bits.
 */
#ifndef GPUDL_KERNELS_HALF_H
#define GPUDL_KERNELS_HALF_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

float gpudl_f16_to_f32(uint16_t bits);
float gpudl_bf16_to_f32(uint16_t bits);

uint16_t gpudl_f32_to_f16(float value);
uint16_t gpudl_f32_to_bf16(float value);

/** From double in one rounding: by way of float, 1 + 2^-11 + 2^-40 would be rounded twice and end wrong. */
uint16_t gpudl_f64_to_f16(double value);
uint16_t gpudl_f64_to_bf16(double value);

#ifdef __cplusplus
}
#endif
#endif
