/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "narrow.h"

#include <math.h>
#include <string.h>

/** Layout of a narrow float with a sign; float8e8m0 has none and is on its own. */
typedef struct {
    uint8_t mantissa_bits, bias;
    uint8_t sign;          /* its bit */
    uint8_t largest;       /* code of the largest number */
    uint8_t beyond;        /* code of what is too large: infinity, NaN, or once more the largest */
    uint8_t nan;           /* code of NaN, or of what stands for it */
    uint8_t unsigned_zero; /* sign alone is NaN: there is no -0, and NaN has no sign */
} Layout;

static const Layout layouts[GPUDL_DTYPE_LAST + 1] = {
    [GPUDL_DTYPE_F8E4M3FN] = {3, 7, 0x80, 0x7e, 0x7f, 0x7f, 0},
    [GPUDL_DTYPE_F8E4M3FNUZ] = {3, 8, 0x80, 0x7f, 0x80, 0x80, 1},
    [GPUDL_DTYPE_F8E5M2] = {2, 15, 0x80, 0x7b, 0x7c, 0x7e, 0},
    [GPUDL_DTYPE_F8E5M2FNUZ] = {2, 16, 0x80, 0x7f, 0x80, 0x80, 1},
    [GPUDL_DTYPE_F4E2M1] = {1, 1, 0x08, 0x07, 0x07, 0x08, 0},
};

int gpudl_is_narrow_float(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_F8E4M3FN && dtype <= GPUDL_DTYPE_F4E2M1;
}

int gpudl_is_narrow_integer(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_I4 && dtype <= GPUDL_DTYPE_U2;
}

static float f32_from_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

float gpudl_narrow_to_f32(GpudlDType dtype, uint8_t code)
{
    const Layout *l = &layouts[dtype];
    int magnitude, exponent, mantissa;
    float value;

    if (dtype == GPUDL_DTYPE_F8E8M0) {
        if (code == 0xff)
            return NAN;
        /* 2^-127 is a subnormal float32 */
        return f32_from_bits(code == 0 ? 0x00400000u : (uint32_t)code << 23);
    }
    magnitude = code & (l->sign - 1);
    if (magnitude > l->largest)
        value = magnitude == l->beyond && l->beyond != l->nan ? INFINITY : NAN;
    else if (l->unsigned_zero && code == l->nan)
        return NAN;
    else {
        exponent = magnitude >> l->mantissa_bits;
        mantissa = magnitude & ((1 << l->mantissa_bits) - 1);
        if (exponent == 0)
            exponent = 1;
        else
            mantissa += 1 << l->mantissa_bits;
        value = ldexpf((float)mantissa, exponent - l->bias - l->mantissa_bits);
    }
    return code & l->sign ? -value : value;
}

uint8_t gpudl_f64_to_e8m0(double value, int saturate, GpudlRound round)
{
    const uint8_t nan = 0xff, largest = 0xfe;
    double fraction;
    int exponent;

    if (isnan(value) || value < 0)
        return nan;
    if (value == 0)
        return saturate ? 0 : nan;
    if (isinf(value))
        return saturate ? largest : nan;
    fraction = frexp(value, &exponent); /* 0.5 <= fraction < 1 */
    if ((round == GPUDL_ROUND_UP && fraction > 0.5) || (round == GPUDL_ROUND_NEAREST && fraction >= 0.75))
        exponent++;
    exponent += 126; /* the code of 2^(exponent - 1) */
    if (exponent < 0)
        return saturate ? 0 : nan;
    if (exponent > largest)
        return saturate ? largest : nan;
    return (uint8_t)exponent;
}

/** Code of a magnitude below 2^16, which may lie beyond the largest number's. Scaling by powers of two is exact here.
 */
static unsigned round_magnitude(const Layout *l, double magnitude)
{
    double scaled, rest;
    int exponent;
    unsigned code;

    if (magnitude == 0)
        return 0;
    frexp(magnitude, &exponent);
    exponent = exponent - 1 < 1 - l->bias ? 1 - l->bias : exponent - 1;
    scaled = ldexp(magnitude, l->mantissa_bits - exponent); /* in units of the last place */
    code = (unsigned)scaled;
    rest = scaled - code;
    if (rest > 0.5 || (rest == 0.5 && (code & 1)))
        code++;
    /* a normal number's hidden bit adds 1 to the exponent field, as does a carry */
    return code + ((unsigned)(exponent + l->bias - 1) << l->mantissa_bits);
}

uint8_t gpudl_f64_to_narrow(GpudlDType dtype, double value, int saturate)
{
    const Layout *l = &layouts[dtype];
    const uint8_t sign = signbit(value) ? l->sign : 0;
    unsigned code;

    if (dtype == GPUDL_DTYPE_F8E8M0)
        return gpudl_f64_to_e8m0(value, saturate, GPUDL_ROUND_UP);
    if (isnan(value))
        return l->unsigned_zero || dtype == GPUDL_DTYPE_F4E2M1 ? l->nan : sign | l->nan;
    /* 2^16 is beyond all of them */
    code = fabs(value) < 0x1p16 ? round_magnitude(l, fabs(value)) : l->largest + 1u;
    if (code > l->largest) {
        if (!saturate && l->beyond != l->largest)
            return l->unsigned_zero ? l->beyond : sign | l->beyond;
        code = l->largest;
    }
    if (code == 0 && l->unsigned_zero)
        return 0;
    return sign | (uint8_t)code;
}

static int bits_of(GpudlDType dtype)
{
    return (int)gpudl_dtype_file_bits(dtype);
}

static int is_signed(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_I4 || dtype == GPUDL_DTYPE_I2;
}

int gpudl_narrow_to_int(GpudlDType dtype, uint8_t code)
{
    const int range = 1 << bits_of(dtype), value = code & (range - 1);

    return is_signed(dtype) && value >= range / 2 ? value - range : value;
}

uint8_t gpudl_int_to_narrow(GpudlDType dtype, int64_t value)
{
    return (uint8_t)gpudl_narrow_to_int(dtype, (uint8_t)value);
}
