/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows to float16 against the conversion of one value, bit by bit. */
#include <string.h>

#include "kernels/half.h"
#include "kernels/half_row.h"
#include "tests/kernels/check.h"

#define MOST 80
#define GUARD 16

static void run(GpudlHalfRowFunc *convert, const float *x, float scale, gint64 n)
{
    guint16 y[MOST + 2 * GUARD];
    gboolean finite = TRUE;
    gint said;

    memset(y, 0xa5, sizeof y);
    said = convert == NULL ? gpudl_half_row_ref(x, scale, n, y + GUARD) : convert(x, scale, n, y + GUARD);
    for (gint64 i = 0; i < n; i++) {
        const guint16 expected = gpudl_f32_to_f16(scale * x[i]);

        finite = finite && (expected & 0x7fff) != 0x7c00;
        if (y[GUARD + i] != expected)
            check_fail("value %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT ", %a times %a: found 0x%04x, expected 0x%04x",
                       i, n, (double)x[i], (double)scale, y[GUARD + i], expected);
    }
    g_assert_cmpint(said != 0, ==, finite);
    for (gint i = 0; i < GUARD; i++) {
        g_assert_cmphex(y[i], ==, 0xa5a5);
        g_assert_cmphex(y[GUARD + n + i], ==, 0xa5a5);
    }
}

/* Every exponent and sign, subnormals, infinities and what is no number among them. */
static void test_any_bits(gconstpointer user_data)
{
    GpudlHalfRowFunc *convert = user_data != NULL ? gpudl_half_row_native() : NULL;

    if (user_data != NULL && convert == NULL) {
        g_test_skip("this processor has no AVX2 or F16C");
        return;
    }
    for (guint round = 0; round < 4000; round++) {
        const gint64 n = round < MOST ? (gint64)round : g_test_rand_int_range(0, MOST + 1);
        float x[MOST + 1];

        check_case(round, "%" G_GINT64_FORMAT " values", n);
        for (gint64 i = 0; i < n; i++) {
            guint32 bits = (guint32)g_test_rand_int();

            if (round % 2 == 0) /* where float16 has numbers; ties are among them */
                bits = (bits & 0x80ffe000u) | (guint32)g_test_rand_int_range(100, 144) << 23 |
                       (g_test_rand_bit() ? 0x1000u : bits & 0x1fffu);
            if (round % 3 == 0) /* and none that becomes infinite */
                bits &= ~0x40000000u;
            memcpy(&x[round % 5 == 0 ? i + 1 : i], &bits, sizeof bits);
        }
        run(convert, x + (round % 5 == 0), round % 7 == 0 ? -1.5f : 1, n);
    }
}

/* What is infinite is told wherever it lies, and what is no number is not. */
static void test_infinite_anywhere(gconstpointer user_data)
{
    static const guint32 special[] = {0x7f800000, 0xff800000, 0x477ff000, 0x477fefff, 0x7f800001, 0xffc00000};
    GpudlHalfRowFunc *convert = user_data != NULL ? gpudl_half_row_native() : NULL;
    float x[27];

    if (user_data != NULL && convert == NULL) {
        g_test_skip("this processor has no AVX2 or F16C");
        return;
    }
    for (guint i = 0; i < G_N_ELEMENTS(x); i++) {
        for (guint k = 0; k < G_N_ELEMENTS(special); k++) {
            check_case(i, "special value %u", k);
            for (guint j = 0; j < G_N_ELEMENTS(x); j++)
                x[j] = (float)j;
            memcpy(&x[i], &special[k], sizeof x[i]);
            run(convert, x, 1, G_N_ELEMENTS(x));
        }
    }
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_assert_true(gpudl_half_row_best() == (gpudl_half_row_native() ? gpudl_half_row_native() : gpudl_half_row_ref));
    g_test_add_data_func("/half-row/ref/any-bits", NULL, test_any_bits);
    g_test_add_data_func("/half-row/ref/infinite-anywhere", NULL, test_infinite_anywhere);
    g_test_add_data_func("/half-row/native/any-bits", "native", test_any_bits);
    g_test_add_data_func("/half-row/native/infinite-anywhere", "native", test_infinite_anywhere);
    return g_test_run();
}
