/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "half.h"

#include <string.h>

static float f32_from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

float gpudl_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16;
    uint32_t exponent = (bits >> 10) & 0x1f;
    uint32_t mantissa = bits & 0x3ff;

    if (exponent == 0) {
        /* zero or mantissa x 2^-24, a normal float: no multiplication that could meet flush-to-zero */
        uint32_t shift = 0;

        if (mantissa == 0)
            return f32_from_bits(sign);
        while (!(mantissa & 0x400)) {
            mantissa <<= 1;
            shift++;
        }
        return f32_from_bits(sign | ((113 - shift) << 23) | ((mantissa & 0x3ff) << 13));
    }
    if (exponent == 0x1f)
        return f32_from_bits(sign | 0x7f800000u | (mantissa << 13) | (mantissa ? 0x400000u : 0));
    return f32_from_bits(sign | ((exponent + 112) << 23) | (mantissa << 13));
}

float gpudl_bf16_to_f32(uint16_t bits)
{
    return f32_from_bits((uint32_t)bits << 16);
}

/** Rounds a binary64 to a 16-bit format with this many mantissa bits (10: float16, 7: bfloat16). */
static uint16_t round_to_16(double value, int mantissa_bits)
{
    const int exponent_bits = 15 - mantissa_bits;
    const int bias = (1 << (exponent_bits - 1)) - 1;
    const uint16_t infinity = (uint16_t)(((1u << exponent_bits) - 1) << mantissa_bits);
    uint64_t bits, mantissa, rest, half;
    uint32_t result;
    uint16_t sign;
    int exponent, shift;

    memcpy(&bits, &value, sizeof(bits));
    sign = (uint16_t)(bits >> 48) & 0x8000;
    exponent = (int)((bits >> 52) & 0x7ff) - 1023;
    mantissa = bits & ((UINT64_C(1) << 52) - 1);
    shift = 52 - mantissa_bits;

    if (exponent == 1024) {
        if (mantissa == 0)
            return sign | infinity;
        return (uint16_t)(sign | infinity | (1u << (mantissa_bits - 1)) | (mantissa >> shift));
    }
    if (exponent > bias)
        return sign | infinity;
    if (exponent >= 1 - bias) {
        result = (uint32_t)(exponent + bias) << mantissa_bits;
    } else {
        /* subnormal there: the hidden bit becomes a visible one, further right */
        mantissa |= UINT64_C(1) << 52;
        shift += 1 - bias - exponent;
        if (shift > 53)
            return sign;
        result = 0;
    }
    half = UINT64_C(1) << (shift - 1);
    rest = mantissa & ((half << 1) - 1);
    result += (uint32_t)(mantissa >> shift);
    /* a carry runs into the exponent, and from the largest number into infinity, as it should */
    if (rest > half || (rest == half && (result & 1)))
        result++;
    return (uint16_t)(sign | result);
}

uint16_t gpudl_f64_to_f16(double value)
{
    return round_to_16(value, 10);
}

uint16_t gpudl_f64_to_bf16(double value)
{
    return round_to_16(value, 7);
}

/* The usual numbers, whole networks of them, have the mantissa's bits where they are wanted: what rounds is added, and
 * the rest is cut off. */
uint16_t gpudl_f32_to_f16(float value)
{
    uint32_t bits, magnitude;

    memcpy(&bits, &value, sizeof(bits));
    magnitude = bits & 0x7fffffff;
    if (magnitude < 0x38800000 || magnitude >= 0x47800000) /* below 2^-14, or 2^16 and above */
        return round_to_16(value, 10);
    magnitude += 0xfff + (magnitude >> 13 & 1) - ((127 - 15) << 23);
    return (uint16_t)((bits >> 16 & 0x8000) | magnitude >> 13);
}

uint16_t gpudl_f32_to_bf16(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    if ((bits & 0x7fffffff) > 0x7f800000)
        return round_to_16(value, 7);
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}
