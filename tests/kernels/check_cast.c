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

/** Every pair of types: values at every magnitude, both signs, and the corners. */
static void test_all_pairs(void)
{
    static const double corners[] = {0.0,     -0.0,    0.5,      -0.5,      1.9,     -1.9,   127.5,    128,
                                     -128.99, -129,    255.99,   256,       32767.5, 32768,  65535.5,  65536,
                                     0x1p31,  -0x1p31, 0x1p32,   0x1p63,    -0x1p63, 0x1p64, 1e30,     -1e30,
                                     NAN,     -NAN,    INFINITY, -INFINITY, 65519,   65520,  0x1p-149, 0x1p-1074};
    guint number = 0;

    for (int from = GPUDL_DTYPE_F32; from <= GPUDL_DTYPE_LAST; from++) {
        for (int to = GPUDL_DTYPE_F32; to <= GPUDL_DTYPE_LAST; to++) {
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
            check_status(gpudl_cast_ref(&x->view, &y->view, NULL), GPUDL_KERNEL_OK);
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
    check_status(gpudl_cast_ref(&x->view, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){0x1p62 + 0x1p39}, 0);
    g_assert_cmpfloat(check_get(y, 0), ==, 0x1p62 + 0x1p39);
    check_case(1, "shapes and emptiness");
    check_status(gpudl_cast_ref(&x->view, &vector->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_cast_ref(&empty->view, &empty_bool->view, NULL), GPUDL_KERNEL_OK);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/cast/by-hand", test_by_hand);
    g_test_add_func("/cast/all-pairs", test_all_pairs);
    return g_test_run();
}
