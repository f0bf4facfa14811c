/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 16-bit floats against the definition: sign x mantissa x 2^exponent, rounded with long double's nearbyint. */
#include <math.h>
#include <string.h>

#include "kernels/half.h"
#include "tests/kernels/check.h"

typedef struct {
    const char *name;
    int mantissa_bits, bias;
    float (*widen)(guint16);
    guint16 (*from_f32)(float);
    guint16 (*from_f64)(double);
} Format;

static const Format formats[] = {
    {"float16", 10, 15, gpudl_f16_to_f32, gpudl_f32_to_f16, gpudl_f64_to_f16},
    {"bfloat16", 7, 127, gpudl_bf16_to_f32, gpudl_f32_to_bf16, gpudl_f64_to_bf16},
};

static double defined_value(const Format *f, guint16 bits)
{
    int mantissa = bits & ((1 << f->mantissa_bits) - 1);
    int exponent = (bits & 0x7fff) >> f->mantissa_bits;
    double magnitude;

    if (exponent == (1 << (15 - f->mantissa_bits)) - 1)
        magnitude = mantissa ? NAN : INFINITY;
    else if (exponent == 0)
        magnitude = ldexp(mantissa, 1 - f->bias - f->mantissa_bits);
    else
        magnitude = ldexp((1 << f->mantissa_bits) + mantissa, exponent - f->bias - f->mantissa_bits);
    return bits & 0x8000 ? -magnitude : magnitude;
}

/** All 65536 patterns widen to their value, and come back as they were. */
static void test_all_patterns(gconstpointer user_data)
{
    const Format *f = user_data;

    check_case(0, "%s", f->name);
    for (guint bits = 0; bits <= 0xffff; bits++) {
        double expected = defined_value(f, (guint16)bits);
        float wide = f->widen((guint16)bits);

        if (isnan(expected)) {
            g_assert_true(isnan(wide));
            g_assert_true(isnan(f->widen(f->from_f32(wide))));
            g_assert_true(isnan(f->widen(f->from_f64(expected))));
            continue;
        }
        if (wide != expected || !signbit(wide) != !signbit(expected))
            check_fail("%s 0x%04x: found %.9g, expected %.9g", f->name, bits, wide, expected);
        g_assert_cmphex(f->from_f32(wide), ==, bits);
        g_assert_cmphex(f->from_f64(wide), ==, bits);
    }
}

/** The nearest value of the format, ties to even, by scaling to integers. */
static double nearest(const Format *f, double value)
{
    const double largest = ldexp(2 - ldexp(1, -f->mantissa_bits), f->bias);
    int exponent;
    long double unit, rounded;

    if (value == 0 || isinf(value))
        return value;
    frexp(value, &exponent);
    unit = ldexpl(1, MAX(exponent - 1, 1 - f->bias) - f->mantissa_bits);
    rounded = nearbyintl((long double)value / unit) * unit;
    return fabsl(rounded) > largest ? copysign(INFINITY, value) : (double)rounded;
}

static void check_rounding(const Format *f, double value)
{
    double expected = nearest(f, value), got = f->widen(f->from_f64(value));

    if (got != expected || !signbit(got) != !signbit(value))
        check_fail("%s of %.17g: found %.17g, expected %.17g", f->name, value, got, expected);
    if ((float)value == value)
        g_assert_cmphex(f->from_f32((float)value), ==, f->from_f64(value));
}

static void test_rounding(gconstpointer user_data)
{
    const Format *f = user_data;

    check_case(0, "%s", f->name);
    for (guint bits = 0; bits < 0x7fff; bits++) {
        double low = defined_value(f, (guint16)bits), high = defined_value(f, (guint16)(bits + 1)), tie;

        if (!isfinite(low) || !isfinite(high))
            continue;
        tie = (low + high) / 2;
        check_rounding(f, tie);
        check_rounding(f, -tie);
        check_rounding(f, nextafter(tie, -INFINITY));
        check_rounding(f, nextafter(tie, INFINITY));
        check_rounding(f, check_real(low, high));
    }
    /* between the largest number and where infinity begins */
    check_rounding(f, ldexp(2 - ldexp(1, -f->mantissa_bits - 1), f->bias));
    check_rounding(f, nextafter(ldexp(2 - ldexp(1, -f->mantissa_bits - 1), f->bias), 0));
    check_rounding(f, 1e300);
    check_rounding(f, -1e300);
    check_rounding(f, 0x1p-1074);
    check_rounding(f, -0.0);
    check_rounding(f, INFINITY);
}

/** What two roundings would get wrong: by way of float this is a tie and goes to 1. */
static void test_single_rounding(void)
{
    double just_above = 1 + 0x1p-11 + 0x1p-40;

    g_assert_cmphex(gpudl_f32_to_f16((float)just_above), ==, 0x3c00);
    g_assert_cmphex(gpudl_f64_to_f16(just_above), ==, 0x3c01);
    g_assert_cmphex(gpudl_f64_to_bf16(1 + 0x1p-8 + 0x1p-40), ==, 0x3f81);
}

static void test_worked_by_hand(void)
{
    g_assert_cmphex(gpudl_f32_to_f16(65504), ==, 0x7bff);
    g_assert_cmphex(gpudl_f32_to_f16(65519.996f), ==, 0x7bff);
    g_assert_cmphex(gpudl_f32_to_f16(65520), ==, 0x7c00);
    g_assert_cmphex(gpudl_f32_to_f16(-65520), ==, 0xfc00);
    g_assert_cmphex(gpudl_f32_to_f16(0x1p-24f), ==, 0x0001);
    g_assert_cmphex(gpudl_f32_to_f16(0x1p-25f), ==, 0x0000);
    g_assert_cmphex(gpudl_f32_to_f16(0x1.8p-25f), ==, 0x0001);
    g_assert_cmphex(gpudl_f32_to_f16(-0x1p-26f), ==, 0x8000);
    g_assert_cmphex(gpudl_f32_to_f16(1.f / 3), ==, 0x3555);
    g_assert_cmphex(gpudl_f32_to_bf16(1.f / 3), ==, 0x3eab);
    g_assert_cmphex(gpudl_f32_to_bf16(0x1p-133f), ==, 0x0001);
    g_assert_cmpfloat(gpudl_f16_to_f32(0x0001), ==, 0x1p-24f);
    g_assert_cmpfloat(gpudl_f16_to_f32(0x03ff), ==, 1023 * 0x1p-24f);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_data_func("/half/f16/all-patterns", &formats[0], test_all_patterns);
    g_test_add_data_func("/half/bf16/all-patterns", &formats[1], test_all_patterns);
    g_test_add_data_func("/half/f16/rounding", &formats[0], test_rounding);
    g_test_add_data_func("/half/bf16/rounding", &formats[1], test_rounding);
    g_test_add_func("/half/single-rounding", test_single_rounding);
    g_test_add_func("/half/worked-by-hand", test_worked_by_hand);
    return g_test_run();
}
