/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Loops that are timed: all of their products are there, none is computed ahead or left out. */
#include "kernels/rate.h"
#include "tests/kernels/check.h"

#define MOST_PRODUCTS_A_NS 400 /* more than any processor's core multiplies in float32 or bfloat16 without AMX */

static void test_products(gconstpointer data)
{
    const GpudlRate *rate = data;
    gint64 begin, us;
    double products;

    g_assert_cmpint(rate->products % GPUDL_RATE_CHAINS, ==, 0);
    for (guint i = 0; i < 50; i++) {
        const int rounds = i < 10 ? (int)i : (int)check_int(0, 5000);

        g_assert_cmpfloat(rate->multiply(rounds), ==, (double)rounds * rate->products);
    }
    begin = g_get_monotonic_time();
    products = rate->multiply(2000000);
    us = g_get_monotonic_time() - begin;
    g_test_message("%s: %.1f products a ns", rate->name, products / 1e3 / (double)us);
    g_assert_cmpfloat(products, ==, 2e6 * rate->products);
    g_assert_cmpfloat(products / MOST_PRODUCTS_A_NS, <, 1e3 * (double)(us + 1));
}

/* Each set has the widest that it includes; bfloat16 those that multiply it. */
static void test_choice(void)
{
    for (GpudlSimd simd = 0; simd <= GPUDL_SIMD_LAST; simd++) {
        const GpudlRate *wide = gpudl_rate(simd, GPUDL_DTYPE_F32), *narrow = gpudl_rate(simd, GPUDL_DTYPE_BF16);
        const int lanes = simd >= GPUDL_SIMD_AVX512 ? 16 : simd >= GPUDL_SIMD_AVX2 ? 8 : 1;

        g_assert_null(gpudl_rate(simd, GPUDL_DTYPE_F16));
        g_assert_true((wide != NULL) == (gpudl_simd_has(simd) != 0));
        g_assert_true((narrow != NULL) == (simd == GPUDL_SIMD_AVX512_BF16 && gpudl_simd_has(simd)));
        if (wide != NULL)
            g_assert_cmpint(wide->products, ==, GPUDL_RATE_CHAINS * lanes);
        if (narrow != NULL)
            g_assert_cmpint(narrow->products, ==, 2 * wide->products);
    }
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/rate/choice", test_choice);
    for (GpudlSimd simd = 0; simd <= GPUDL_SIMD_LAST; simd++)
        for (guint bf16 = 0; bf16 < 2; bf16++) {
            const GpudlRate *rate = gpudl_rate(simd, bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32);
            g_autofree gchar *path = g_strdup_printf("/rate/products/%d/%s", simd, bf16 ? "bf16" : "f32");

            if (rate != NULL)
                g_test_add_data_func(path, rate, test_products);
        }
    return g_test_run();
}
