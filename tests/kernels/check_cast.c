/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Conversions: rounding against long double, which holds every value of every type here exactly. */
#include <math.h>

#include "kernels/cast.h"
#include "tests/kernels/check.h"

static gboolean is_float(GpudlDType dtype)
{
    return dtype >= GPUDL_DTYPE_F32 && dtype <= GPUDL_DTYPE_F64;
}

/** A value in all its bits: long double has 64 of them here. */
static long double exact(const CheckTensor *t, gint64 i)
{
    if (is_float(t->view.dtype))
        return check_get(t, i);
    return t->view.dtype == GPUDL_DTYPE_U64 ? (long double)(guint64)check_get_int(t, i)
                                            : (long double)check_get_int(t, i);
}

/** Rounds to a float type by scaling to integers. */
static double round_to(GpudlDType dtype, long double value)
{
    static const struct {
        int bits, least, most;
    } of[] = {
        [GPUDL_DTYPE_F32] = {24, -126, 127},
        [GPUDL_DTYPE_F16] = {11, -14, 15},
        [GPUDL_DTYPE_BF16] = {8, -126, 127},
        [GPUDL_DTYPE_F64] = {53, -1022, 1023},
    };
    long double unit, rounded;
    int exponent;

    if (value == 0 || isinf(value) || isnan(value))
        return (double)value;
    frexpl(value, &exponent);
    unit = ldexpl(1, MAX(exponent - 1, of[dtype].least) - (of[dtype].bits - 1));
    rounded = nearbyintl(value / unit) * unit;
    return fabsl(rounded) >= ldexpl(1, of[dtype].most + 1) ? copysign(INFINITY, (double)value) : (double)rounded;
}

static gint64 truncate_to(GpudlDType dtype, double v)
{
    static const double low[] = {[GPUDL_DTYPE_I8] = -0x1p7,
                                 [GPUDL_DTYPE_I16] = -0x1p15,
                                 [GPUDL_DTYPE_I32] = -0x1p31,
                                 [GPUDL_DTYPE_I64] = -0x1p63,
                                 [GPUDL_DTYPE_U64] = 0};
    static const double beyond[] = {
        [GPUDL_DTYPE_I8] = 0x1p7,   [GPUDL_DTYPE_U8] = 0x1p8,   [GPUDL_DTYPE_I16] = 0x1p15, [GPUDL_DTYPE_U16] = 0x1p16,
        [GPUDL_DTYPE_I32] = 0x1p31, [GPUDL_DTYPE_U32] = 0x1p32, [GPUDL_DTYPE_I64] = 0x1p63, [GPUDL_DTYPE_U64] = 0x1p64};

    if (isnan(v))
        return 0;
    v = trunc(v);
    if (v < low[dtype])
        v = low[dtype];
    if (v >= beyond[dtype])
        return dtype == GPUDL_DTYPE_U64 ? -1 : dtype == GPUDL_DTYPE_I64 ? G_MAXINT64 : (gint64)beyond[dtype] - 1;
    return dtype == GPUDL_DTYPE_U64 ? (gint64)(guint64)v : (gint64)v;
}

/** Compares y with what x should have become. */
static void assert_converted(const CheckTensor *x, const CheckTensor *y)
{
    const GpudlDType from = x->view.dtype, to = y->view.dtype;

    for (gint64 i = 0; i < check_elements(x); i++) {
        long double v = exact(x, i);

        if (is_float(to)) {
            double expected = round_to(to, v), got = check_get(y, i);

            if (isnan(expected) ? !isnan(got) : got != expected || !signbit(got) != !signbit(expected))
                check_fail("%s %.21Lg to %s: found %.17g, expected %.17g", gpudl_dtype_name(from), v,
                           gpudl_dtype_name(to), got, expected);
        } else {
            gint64 expected, got = check_get_int(y, i);

            if (to == GPUDL_DTYPE_BOOL)
                expected = v != 0;
            else if (is_float(from))
                expected = truncate_to(to, (double)v);
            else
                expected = check_get_int(x, i); /* wraps below */
            check_set_int((CheckTensor *)y, i, expected);
            if (check_get_int(y, i) != got)
                check_fail("%s %.21Lg to %s: found %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT,
                           gpudl_dtype_name(from), v, gpudl_dtype_name(to), got, check_get_int(y, i));
        }
    }
}

/** Every pair of types that are computed with: values at every magnitude, both signs, and the corners. */
static void test_all_pairs(void)
{
    static const double corners[] = {0.0,     -0.0,    0.5,      -0.5,      1.9,     -1.9,   127.5,    128,
                                     -128.99, -129,    255.99,   256,       32767.5, 32768,  65535.5,  65536,
                                     0x1p31,  -0x1p31, 0x1p32,   0x1p63,    -0x1p63, 0x1p64, 1e30,     -1e30,
                                     NAN,     -NAN,    INFINITY, -INFINITY, 65519,   65520,  0x1p-149, 0x1p-1074};
    guint number = 0;

    for (int from = GPUDL_DTYPE_F32; from <= GPUDL_DTYPE_BOOL; from++) {
        for (int to = GPUDL_DTYPE_F32; to <= GPUDL_DTYPE_BOOL; to++) {
            g_autoptr(CheckTensor) x = check_tensor((GpudlDType)from, CHECK_SHAPE(30, 20));
            g_autoptr(CheckTensor) y = check_tensor((GpudlDType)to, CHECK_SHAPE(30, 20));

            check_case(number++, "%s to %s", gpudl_dtype_name((GpudlDType)from), gpudl_dtype_name((GpudlDType)to));
            for (gint64 i = 0; i < check_elements(x); i++) {
                if (is_float((GpudlDType)from))
                    check_set(x, i,
                              i < (gint64)G_N_ELEMENTS(corners)
                                  ? corners[i]
                                  : check_real(-2, 2) * ldexp(1, (int)check_int(-160, 160)));
                else if (from == GPUDL_DTYPE_BOOL)
                    check_set_int(x, i, i & 1);
                else
                    check_set_int(x, i, (gint64)(check_bits() >> check_int(0, 63)) * (i & 1 ? 1 : -1));
            }
            check_status(gpudl_cast_ref(&x->view, &y->view, NULL, NULL), GPUDL_KERNEL_OK);
            assert_converted(x, y);
        }
    }
}

static void test_by_hand(void)
{
    /* just above a tie of float32: by way of double it would be rounded to the tie and then down */
    const gint64 v = (G_GINT64_CONSTANT(1) << 62) + (G_GINT64_CONSTANT(1) << 38) + 1;
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_I64, CHECK_SCALAR);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SCALAR);
    g_autoptr(CheckTensor) vector = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1));
    g_autoptr(CheckTensor) empty = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(0));
    g_autoptr(CheckTensor) empty_bool = check_tensor(GPUDL_DTYPE_BOOL, CHECK_SHAPE(0));

    check_case(0, "int64 to float32 is rounded once");
    check_set_int(x, 0, v);
    check_status(gpudl_cast_ref(&x->view, &y->view, NULL, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){0x1p62 + 0x1p39}, 0);
    g_assert_cmpfloat(check_get(y, 0), ==, 0x1p62 + 0x1p39);
    check_case(1, "shapes and emptiness");
    check_status(gpudl_cast_ref(&x->view, &vector->view, NULL, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_cast_ref(&empty->view, &empty_bool->view, NULL, NULL), GPUDL_KERNEL_OK);
}

/** Between float32 and a type of 8 bits and less, expected codes by hand: ONNX's tables of Cast, the node suite. */
static void assert_codes(GpudlDType to, const GpudlCastRule *rule, guint n, const double *values, const guint8 *codes)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(n), values);
    g_autoptr(CheckTensor) y = check_tensor(to, CHECK_SHAPE(n));

    check_status(gpudl_cast_ref(&x->view, &y->view, rule, NULL), GPUDL_KERNEL_OK);
    for (guint i = 0; i < n; i++)
        if (((guint8 *)y->view.data)[i] != codes[i])
            check_fail("%.9g to %s: found 0x%02x, expected 0x%02x", values[i], gpudl_dtype_name(to),
                       ((guint8 *)y->view.data)[i], codes[i]);
}

static void test_narrow_rules(void)
{
    static const double values[] = {NAN, INFINITY, -INFINITY, 1e6, -1e6, 1e-9, -1e-9, -0.0, 1};
    static const struct {
        GpudlDType to;
        guint8 saturated[G_N_ELEMENTS(values)], plain[G_N_ELEMENTS(values)];
    } cases[] = {
        {GPUDL_DTYPE_F8E4M3FN,
         {0x7f, 0x7e, 0xfe, 0x7e, 0xfe, 0x00, 0x80, 0x80, 0x38},
         {0x7f, 0x7f, 0xff, 0x7f, 0xff, 0x00, 0x80, 0x80, 0x38}},
        {GPUDL_DTYPE_F8E4M3FNUZ,
         {0x80, 0x7f, 0xff, 0x7f, 0xff, 0x00, 0x00, 0x00, 0x40},
         {0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x00, 0x00, 0x40}},
        {GPUDL_DTYPE_F8E5M2,
         {0x7e, 0x7b, 0xfb, 0x7b, 0xfb, 0x00, 0x80, 0x80, 0x3c},
         {0x7e, 0x7c, 0xfc, 0x7c, 0xfc, 0x00, 0x80, 0x80, 0x3c}},
        {GPUDL_DTYPE_F8E5M2FNUZ,
         {0x80, 0x7f, 0xff, 0x7f, 0xff, 0x00, 0x00, 0x00, 0x40},
         {0x80, 0x80, 0x80, 0x80, 0x80, 0x00, 0x00, 0x00, 0x40}},
        {GPUDL_DTYPE_F4E2M1,
         {0x08, 0x07, 0x0f, 0x07, 0x0f, 0x00, 0x08, 0x08, 0x02},
         {0x08, 0x07, 0x0f, 0x07, 0x0f, 0x00, 0x08, 0x08, 0x02}},
    };
    const GpudlCastRule plain = {0, GPUDL_ROUND_UP};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        check_case(i, "%s", gpudl_dtype_name(cases[i].to));
        assert_codes(cases[i].to, NULL, G_N_ELEMENTS(values), values, cases[i].saturated);
        assert_codes(cases[i].to, &plain, G_N_ELEMENTS(values), values, cases[i].plain);
    }
}

static void test_e8m0_rules(void)
{
    static const double values[] = {0, 0x1p-127, 0x1.8p-127, 1, 1.1, 1.5, 2.9, 0x1.8p127, INFINITY, NAN, -1, 0x1p-140};
    static const guint8 codes[][G_N_ELEMENTS(values)] = {
        {0, 0, 1, 127, 128, 128, 129, 0xfe, 0xfe, 0xff, 0xff, 0},
        {0, 0, 0, 127, 127, 127, 128, 0xfe, 0xfe, 0xff, 0xff, 0},
        {0, 0, 1, 127, 127, 128, 128, 0xfe, 0xfe, 0xff, 0xff, 0},
        {0xff, 0, 1, 127, 128, 128, 129, 0xff, 0xff, 0xff, 0xff, 0xff},
        {0xff, 0, 0, 127, 127, 127, 128, 0xfe, 0xff, 0xff, 0xff, 0xff},
        {0xff, 0, 1, 127, 127, 128, 128, 0xff, 0xff, 0xff, 0xff, 0xff},
    };

    for (guint i = 0; i < G_N_ELEMENTS(codes); i++) {
        const GpudlCastRule rule = {i < 3, (GpudlRound)(i % 3)};

        check_case(i, "saturate %d, round %d", rule.saturate, rule.round);
        assert_codes(GPUDL_DTYPE_F8E8M0, &rule, G_N_ELEMENTS(values), values, codes[i]);
    }
}

/** Integers of 4 and 2 bits: wrapped from integers and from floats, widened with their sign. */
static void test_narrow_integers(void)
{
    static const double floats[] = {-9, -8.9, -1, -0.9, 0, 1.9, 7, 8, 15, 16, NAN};
    static const gint64 integers[] = {-9, -8, -1, 0, 0, 1, 7, 8, 15, 16, 0};
    static const struct {
        GpudlDType dtype;
        gint64 values[G_N_ELEMENTS(integers)];
    } cases[] = {
        {GPUDL_DTYPE_I4, {7, -8, -1, 0, 0, 1, 7, -8, -1, 0, 0}},
        {GPUDL_DTYPE_U4, {7, 8, 15, 0, 0, 1, 7, 8, 15, 0, 0}},
        {GPUDL_DTYPE_I2, {-1, 0, -1, 0, 0, 1, -1, 0, -1, 0, 0}},
        {GPUDL_DTYPE_U2, {3, 0, 3, 0, 0, 1, 3, 0, 3, 0, 0}},
    };
    const gint64 n = G_N_ELEMENTS(integers);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F64, CHECK_SHAPE(n), floats);
        g_autoptr(CheckTensor) whole = check_tensor(GPUDL_DTYPE_I16, CHECK_SHAPE(n));
        g_autoptr(CheckTensor) y = check_tensor(cases[i].dtype, CHECK_SHAPE(n));
        g_autoptr(CheckTensor) wide = check_tensor(GPUDL_DTYPE_I64, CHECK_SHAPE(n));
        g_autoptr(CheckTensor) real = check_tensor(GPUDL_DTYPE_F8E4M3FN, CHECK_SHAPE(n));

        check_case(i, "%s", gpudl_dtype_name(cases[i].dtype));
        check_status(gpudl_cast_ref(&x->view, &y->view, NULL, NULL), GPUDL_KERNEL_OK);
        check_equal_int(y, cases[i].values);
        for (gint64 k = 0; k < n; k++)
            check_set_int(whole, k, integers[k]);
        check_status(gpudl_cast_ref(&whole->view, &y->view, NULL, NULL), GPUDL_KERNEL_OK);
        check_equal_int(y, cases[i].values);
        for (gint64 k = 0; k < n; k++) /* what lies above the type's bits is ignored */
            ((guint8 *)y->view.data)[k] ^= cases[i].dtype <= GPUDL_DTYPE_U4 ? 0xf0 : 0xfc;
        check_status(gpudl_cast_ref(&y->view, &wide->view, NULL, NULL), GPUDL_KERNEL_OK);
        check_equal_int(wide, cases[i].values);
        check_status(gpudl_cast_ref(&y->view, &real->view, NULL, NULL), GPUDL_KERNEL_OK);
        for (gint64 k = 0; k < n; k++)
            g_assert_cmpfloat(check_get(real, k), ==, (double)cases[i].values[k]);
    }
}

/** float16 in between would make a tie of what is above one. */
static void test_narrow_rounded_once(void)
{
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_I64, CHECK_SCALAR);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F8E5M2, CHECK_SCALAR);

    check_set_int(x, 0, 36864 + 1); /* the tie of 32768 and 40960, and 1 */
    check_status(gpudl_cast_ref(&x->view, &y->view, NULL, NULL), GPUDL_KERNEL_OK);
    g_assert_cmpfloat(check_get(y, 0), ==, 40960);
    check_set_int(x, 0, 36864);
    check_status(gpudl_cast_ref(&x->view, &y->view, NULL, NULL), GPUDL_KERNEL_OK);
    g_assert_cmpfloat(check_get(y, 0), ==, 32768);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/cast/by-hand", test_by_hand);
    g_test_add_func("/cast/all-pairs", test_all_pairs);
    g_test_add_func("/cast/narrow/rules", test_narrow_rules);
    g_test_add_func("/cast/narrow/e8m0", test_e8m0_rules);
    g_test_add_func("/cast/narrow/integers", test_narrow_integers);
    g_test_add_func("/cast/narrow/rounded-once", test_narrow_rounded_once);
    return g_test_run();
}
