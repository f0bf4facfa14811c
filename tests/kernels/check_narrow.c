/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Floats and integers of 8 bits and less. Decoding is compared with values written out by hand (float4: all 16 codes;
 * float8: the first codes, the corners and the last ones, from the specification of each layout), and with the formula;
 * encoding with the nearest value that a search through all codes finds.
 */
#include <math.h>
#include <string.h>

#include "kernels/narrow.h"
#include "tests/kernels/check.h"

/** What the specifications say; a magnitude's code is exponent field and mantissa. */
typedef struct {
    GpudlDType dtype;
    int mantissa_bits, bias, largest;
    gboolean negative_zero;
    int infinity; /* code, -1: none */
    double maximum;
} Format;

static const Format formats[] = {
    {GPUDL_DTYPE_F8E4M3FN, 3, 7, 0x7e, TRUE, -1, 448},    {GPUDL_DTYPE_F8E4M3FNUZ, 3, 8, 0x7f, FALSE, -1, 240},
    {GPUDL_DTYPE_F8E5M2, 2, 15, 0x7b, TRUE, 0x7c, 57344}, {GPUDL_DTYPE_F8E5M2FNUZ, 2, 16, 0x7f, FALSE, -1, 57344},
    {GPUDL_DTYPE_F4E2M1, 1, 1, 0x07, TRUE, -1, 6},
};

static int sign_of(const Format *f)
{
    return f->dtype == GPUDL_DTYPE_F4E2M1 ? 0x08 : 0x80;
}

/** By the formula (-1)^s x 2^(e - bias) x 1.m, subnormals (-1)^s x 2^(1 - bias) x 0.m. */
static double defined_value(const Format *f, int code)
{
    int magnitude = code & (sign_of(f) - 1);
    int exponent = magnitude >> f->mantissa_bits, mantissa = magnitude & ((1 << f->mantissa_bits) - 1);
    double value;

    if (!f->negative_zero && code == sign_of(f))
        return NAN;
    if (magnitude > f->largest)
        return magnitude == f->infinity ? (code & sign_of(f) ? -INFINITY : INFINITY) : NAN;
    if (exponent == 0)
        value = ldexp(mantissa, 1 - f->bias - f->mantissa_bits);
    else
        value = ldexp((1 << f->mantissa_bits) + mantissa, exponent - f->bias - f->mantissa_bits);
    return code & sign_of(f) ? -value : value;
}

static void assert_value(GpudlDType dtype, int code, double expected)
{
    const double found = (double)gpudl_narrow_to_f32(dtype, (guint8)code);

    if (isnan(expected) ? !isnan(found) : found != expected || !signbit(found) != !signbit(expected))
        check_fail("%s 0x%02x: found %.9g, expected %.9g", gpudl_dtype_name(dtype), code, found, expected);
}

static void test_values_by_hand(void)
{
    static const double float4[] = {0, .5, 1, 1.5, 2, 3, 4, 6};
    static const struct {
        GpudlDType dtype;
        int code;
        double value;
    } points[] = {
        {GPUDL_DTYPE_F8E4M3FN, 0x01, 0x1p-9},    {GPUDL_DTYPE_F8E4M3FN, 0x07, 7 * 0x1p-9},
        {GPUDL_DTYPE_F8E4M3FN, 0x08, 0x1p-6},    {GPUDL_DTYPE_F8E4M3FN, 0x38, 1},
        {GPUDL_DTYPE_F8E4M3FN, 0x39, 1.125},     {GPUDL_DTYPE_F8E4M3FN, 0xc4, -3},
        {GPUDL_DTYPE_F8E4M3FN, 0x78, 256},       {GPUDL_DTYPE_F8E4M3FN, 0x7e, 448},
        {GPUDL_DTYPE_F8E4M3FN, 0x7f, NAN},       {GPUDL_DTYPE_F8E4M3FN, 0xff, NAN},
        {GPUDL_DTYPE_F8E4M3FN, 0x80, -0.0},      {GPUDL_DTYPE_F8E4M3FNUZ, 0x01, 0x1p-10},
        {GPUDL_DTYPE_F8E4M3FNUZ, 0x08, 0x1p-7},  {GPUDL_DTYPE_F8E4M3FNUZ, 0x40, 1},
        {GPUDL_DTYPE_F8E4M3FNUZ, 0x7f, 240},     {GPUDL_DTYPE_F8E4M3FNUZ, 0xff, -240},
        {GPUDL_DTYPE_F8E4M3FNUZ, 0x80, NAN},     {GPUDL_DTYPE_F8E5M2, 0x01, 0x1p-16},
        {GPUDL_DTYPE_F8E5M2, 0x04, 0x1p-14},     {GPUDL_DTYPE_F8E5M2, 0x3c, 1},
        {GPUDL_DTYPE_F8E5M2, 0x7b, 57344},       {GPUDL_DTYPE_F8E5M2, 0x7c, INFINITY},
        {GPUDL_DTYPE_F8E5M2, 0xfc, -INFINITY},   {GPUDL_DTYPE_F8E5M2, 0x7d, NAN},
        {GPUDL_DTYPE_F8E5M2, 0x7f, NAN},         {GPUDL_DTYPE_F8E5M2, 0x80, -0.0},
        {GPUDL_DTYPE_F8E5M2FNUZ, 0x01, 0x1p-17}, {GPUDL_DTYPE_F8E5M2FNUZ, 0x04, 0x1p-15},
        {GPUDL_DTYPE_F8E5M2FNUZ, 0x40, 1},       {GPUDL_DTYPE_F8E5M2FNUZ, 0x7f, 57344},
        {GPUDL_DTYPE_F8E5M2FNUZ, 0x80, NAN},     {GPUDL_DTYPE_F8E8M0, 0x00, 0x1p-127},
        {GPUDL_DTYPE_F8E8M0, 0x01, 0x1p-126},    {GPUDL_DTYPE_F8E8M0, 0x7f, 1},
        {GPUDL_DTYPE_F8E8M0, 0xfe, 0x1p127},     {GPUDL_DTYPE_F8E8M0, 0xff, NAN},
    };

    check_case(0, "float4e2m1");
    for (int code = 0; code < 16; code++)
        assert_value(GPUDL_DTYPE_F4E2M1, code, code < 8 ? float4[code] : -float4[code - 8]);
    assert_value(GPUDL_DTYPE_F4E2M1, 0xf2, 1); /* what lies above is ignored */
    check_case(1, "float8");
    for (guint i = 0; i < G_N_ELEMENTS(points); i++)
        assert_value(points[i].dtype, points[i].code, points[i].value);
}

/** Every code has the formula's value, and comes back. */
static void test_all_codes(gconstpointer user_data)
{
    const Format *f = user_data;

    check_case(0, "%s", gpudl_dtype_name(f->dtype));
    g_assert_cmpfloat(defined_value(f, f->largest), ==, f->maximum);
    for (int code = 0; code < 2 * sign_of(f); code++) {
        const double value = defined_value(f, code);

        assert_value(f->dtype, code, value);
        if (isnan(value))
            g_assert_true(isnan(defined_value(f, gpudl_f64_to_narrow(f->dtype, value, code & 1))));
        else
            g_assert_cmphex(gpudl_f64_to_narrow(f->dtype, value, isfinite(value)), ==, code);
    }
}

static void test_e8m0_codes(void)
{
    check_case(0, "float8e8m0");
    for (int code = 0; code < 0xff; code++) {
        assert_value(GPUDL_DTYPE_F8E8M0, code, ldexp(1, code - 127));
        for (int how = 0; how < 6; how++)
            g_assert_cmphex(gpudl_f64_to_e8m0(ldexp(1, code - 127), how % 2, (GpudlRound)(how / 2)), ==, code);
        if (code == 0xfe)
            break;
        /* between this one and the next */
        for (int how = 0; how < 2; how++) {
            const double low = ldexp(1, code - 127);

            g_assert_cmphex(gpudl_f64_to_e8m0(nextafter(low, INFINITY), how, GPUDL_ROUND_UP), ==, code + 1);
            g_assert_cmphex(gpudl_f64_to_e8m0(nextafter(2 * low, 0), how, GPUDL_ROUND_DOWN), ==, code);
            g_assert_cmphex(gpudl_f64_to_e8m0(1.5 * low, how, GPUDL_ROUND_NEAREST), ==, code + 1);
            g_assert_cmphex(gpudl_f64_to_e8m0(nextafter(1.5 * low, 0), how, GPUDL_ROUND_NEAREST), ==, code);
        }
    }
    g_assert_cmphex(gpudl_f64_to_narrow(GPUDL_DTYPE_F8E8M0, 1.1, TRUE), ==, 128);
    g_assert_cmphex(gpudl_f64_to_narrow(GPUDL_DTYPE_F8E8M0, 0x1p-1074, TRUE), ==, 0);
    g_assert_cmphex(gpudl_f64_to_narrow(GPUDL_DTYPE_F8E8M0, 0x1p-1074, FALSE), ==, 0xff);
}

/** The code of the nearest value, of equally near ones the even one, found by looking at them all. */
static int search(const Format *f, double magnitude)
{
    int best = 0;

    for (int code = 1; code <= f->largest; code++) {
        const double nearer = fabs(defined_value(f, best) - magnitude),
                     other = fabs(defined_value(f, code) - magnitude);

        if (other < nearer || (other == nearer && code % 2 == 0))
            best = code;
    }
    return best;
}

static void check_rounding(const Format *f, double magnitude)
{
    const int expected = search(f, magnitude), sign = expected == 0 && !f->negative_zero ? 0 : sign_of(f);

    for (int saturate = 0; saturate < 2; saturate++) {
        const int positive = gpudl_f64_to_narrow(f->dtype, magnitude, saturate);
        const int negative = gpudl_f64_to_narrow(f->dtype, -magnitude, saturate);

        if (positive != expected || negative != (expected | sign))
            check_fail("%s of %.17g and its negative: found 0x%02x and 0x%02x, expected 0x%02x",
                       gpudl_dtype_name(f->dtype), magnitude, positive, negative, expected);
    }
}

static void test_rounding(gconstpointer user_data)
{
    const Format *f = user_data;

    check_case(0, "%s", gpudl_dtype_name(f->dtype));
    for (int code = 0; code < f->largest; code++) {
        const double low = defined_value(f, code), high = defined_value(f, code + 1), tie = (low + high) / 2;

        check_rounding(f, tie);
        check_rounding(f, nextafter(tie, 0));
        check_rounding(f, nextafter(tie, INFINITY));
        for (int i = 0; i < 8; i++)
            check_rounding(f, check_real(low, high));
    }
    check_rounding(f, 0x1p-1074);
    check_rounding(f, 1e-300);
}

/** Where numbers end: up to half a step above the largest is rounded to it, a tie to the even one of it and the next
 * there would be. */
static void test_overflow(gconstpointer user_data)
{
    const Format *f = user_data;
    const double largest = f->maximum, step = largest - defined_value(f, f->largest - 1), tie = largest + step / 2;
    const double beyond[] = {nextafter(tie, INFINITY), largest + step, 0x1p16, 1e300, INFINITY};
    const int sign = sign_of(f);
    const gboolean tie_stays = f->largest % 2 == 0;

    check_case(0, "%s", gpudl_dtype_name(f->dtype));
    check_rounding(f, nextafter(tie, 0));
    for (guint i = 0; i < G_N_ELEMENTS(beyond) + 1; i++) {
        const double value = i == 0 ? tie : beyond[i - 1];
        const int plain[] = {gpudl_f64_to_narrow(f->dtype, value, FALSE), gpudl_f64_to_narrow(f->dtype, -value, FALSE)};

        g_assert_cmphex(gpudl_f64_to_narrow(f->dtype, value, TRUE), ==, f->largest);
        g_assert_cmphex(gpudl_f64_to_narrow(f->dtype, -value, TRUE), ==, f->largest | sign);
        if (f->dtype == GPUDL_DTYPE_F4E2M1 || (i == 0 && tie_stays)) {
            g_assert_cmphex(plain[0], ==, f->largest);
            g_assert_cmphex(plain[1], ==, f->largest | sign);
        } else if (f->infinity >= 0) {
            g_assert_cmphex(plain[0], ==, f->infinity);
            g_assert_cmphex(plain[1], ==, f->infinity | sign);
        } else {
            g_assert_true(isnan(defined_value(f, plain[0])));
            g_assert_true(isnan(defined_value(f, plain[1])));
            g_assert_cmphex(plain[1], ==, plain[0] | sign);
        }
    }
}

/** By way of float32 this is a tie and goes to 1. */
static void test_single_rounding(void)
{
    check_case(0, "1 + 2^-4 + 2^-40");
    g_assert_cmphex(gpudl_f64_to_narrow(GPUDL_DTYPE_F8E4M3FN, (double)(float)(1 + 0x1p-4 + 0x1p-40), TRUE), ==, 0x38);
    g_assert_cmphex(gpudl_f64_to_narrow(GPUDL_DTYPE_F8E4M3FN, 1 + 0x1p-4 + 0x1p-40, TRUE), ==, 0x39);
}

static void test_integers(void)
{
    static const struct {
        GpudlDType dtype;
        int bits, low;
    } types[] = {{GPUDL_DTYPE_I4, 4, -8}, {GPUDL_DTYPE_U4, 4, 0}, {GPUDL_DTYPE_I2, 2, -2}, {GPUDL_DTYPE_U2, 2, 0}};

    for (guint t = 0; t < G_N_ELEMENTS(types); t++) {
        const int range = 1 << types[t].bits;

        check_case(t, "%s", gpudl_dtype_name(types[t].dtype));
        for (int value = types[t].low; value < types[t].low + range; value++) {
            const guint8 code = gpudl_int_to_narrow(types[t].dtype, value);

            g_assert_cmphex(code, ==, (guint8)value); /* the sign fills the byte */
            g_assert_cmpint(gpudl_narrow_to_int(types[t].dtype, code), ==, value);
            g_assert_cmpint(gpudl_narrow_to_int(types[t].dtype, code ^ (guint8)range), ==, value);
            for (int k = -3; k < 4; k++)
                g_assert_cmphex(gpudl_int_to_narrow(types[t].dtype, value + k * range), ==, code);
        }
        g_assert_cmphex(gpudl_int_to_narrow(types[t].dtype, G_MININT64), ==, 0);
        g_assert_cmpint(gpudl_narrow_to_int(types[t].dtype, gpudl_int_to_narrow(types[t].dtype, G_MAXINT64)), ==,
                        types[t].low < 0 ? -1 : range - 1);
    }
}

static void test_traits(void)
{
    check_case(0, "sizes, bits, kinds");
    for (int d = GPUDL_DTYPE_NONE; d <= GPUDL_DTYPE_LAST; d++) {
        const GpudlDType dtype = (GpudlDType)d;
        const gboolean narrow = d >= GPUDL_DTYPE_F8E4M3FN;

        g_assert_cmpint(gpudl_is_narrow_float(dtype) + gpudl_is_narrow_integer(dtype), ==, narrow);
        if (narrow)
            g_assert_cmpuint(gpudl_dtype_size(dtype), ==, 1);
        g_assert_cmpuint(gpudl_dtype_file_bits(dtype), ==,
                         strchr(gpudl_dtype_name(dtype), '4') != NULL && d >= GPUDL_DTYPE_F4E2M1 ? 4
                         : d >= GPUDL_DTYPE_I2                                                   ? 2
                                               : 8 * gpudl_dtype_size(dtype));
    }
    g_assert_cmpint(GPUDL_DTYPE_F8E4M3FN, ==, 14); /* stored in net.bin */
    g_assert_cmpint(GPUDL_DTYPE_U2, ==, 23);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    for (guint i = 0; i < G_N_ELEMENTS(formats); i++) {
        static const struct {
            const gchar *name;
            void (*run)(gconstpointer);
        } tests[] = {{"all-codes", test_all_codes}, {"rounding", test_rounding}, {"overflow", test_overflow}};

        for (guint t = 0; t < G_N_ELEMENTS(tests); t++) {
            g_autofree gchar *path =
                g_strdup_printf("/narrow/%s/%s", gpudl_dtype_name(formats[i].dtype), tests[t].name);

            g_test_add_data_func(path, &formats[i], tests[t].run);
        }
    }
    g_test_add_func("/narrow/float8e8m0", test_e8m0_codes);
    g_test_add_func("/narrow/values-by-hand", test_values_by_hand);
    g_test_add_func("/narrow/single-rounding", test_single_rounding);
    g_test_add_func("/narrow/integers", test_integers);
    g_test_add_func("/narrow/traits", test_traits);
    return g_test_run();
}
