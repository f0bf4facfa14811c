/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Planes as pixels, in float32 and bfloat16, by every instruction set. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/half.h"
#include "kernels/triples.h"

#define GUARD 0x5a5a

static void test_random(void)
{
    for (guint i = 0; i < 400; i++) {
        const GpudlTriplesKernels *kernels = gpudl_triples_kernels((GpudlSimd)(i % (GPUDL_SIMD_LAST + 1)));
        const gint64 n = i < 200 ? check_int(0, 140) : check_int(1, 3000);
        const float *planes[3];
        g_autofree guint16 *narrow = g_new(guint16, 3 * n + 2);
        g_autoptr(CheckTensor) of_floats = NULL;
        CheckTensor *x[3];

        check_case(i, "%d pixels by %s", (int)n, kernels->name);
        for (gint c = 0; c < 3; c++) { /* any bits: subnormals, infinities, NaN with every payload */
            x[c] = check_floats(CHECK_SHAPE(n + 1), 0, 0);
            for (gint64 k = 0; k < n; k++) {
                const guint32 bits = (guint32)check_bits() | (check_int(0, 9) == 0 ? 0x7f800000u : 0);

                memcpy((float *)x[c]->view.data + k, &bits, sizeof bits);
            }
            planes[c] = x[c]->view.data;
        }
        of_floats = check_floats(CHECK_SHAPE(3 * n), 0, 0);
        narrow[0] = narrow[3 * n + 1] = GUARD;
        kernels->f32(planes, n, of_floats->view.data);
        kernels->bf16(planes, n, narrow + 1);
        for (gint64 k = 0; k < 3 * n; k++) {
            const float value = planes[k % 3][k / 3];
            const guint16 got = narrow[1 + k];

            if (memcmp(&value, (float *)of_floats->view.data + k, sizeof value) != 0)
                check_fail("value %d: found %a, expected %a", (int)k, ((float *)of_floats->view.data)[k], value);
            if (got != gpudl_f32_to_bf16(value))
                check_fail("value %d of bfloat16: found %04x, expected %04x", (int)k, got, gpudl_f32_to_bf16(value));
        }
        g_assert_cmphex(narrow[0], ==, GUARD);
        g_assert_cmphex(narrow[3 * n + 1], ==, GUARD);
        for (gint c = 0; c < 3; c++)
            check_tensor_free(x[c]);
    }
}

/* A set that is not here is the best of those below it. */
static void test_chosen(void)
{
    g_assert_cmpstr(gpudl_triples_kernels(GPUDL_SIMD_GENERIC)->name, ==, "generic");
    if (gpudl_simd_has(GPUDL_SIMD_AVX2))
        g_assert_cmpstr(gpudl_triples_kernels(GPUDL_SIMD_AVX2)->name, ==, "avx2");
    if (gpudl_simd_has(GPUDL_SIMD_AVX512))
        g_assert_cmpstr(gpudl_triples_kernels(GPUDL_SIMD_AVX512_BF16)->name, ==, "avx512");
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/triples/chosen", test_chosen);
    g_test_add_func("/triples/random", test_random);
    return g_test_run();
}
