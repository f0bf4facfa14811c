/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The best k against a full sort, with ties and NaN. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/topk.h"
#include "tests/kernels/check.h"

static const float *sorted_row;

static int compare(const void *pa, const void *pb)
{
    guint32 a = *(const guint32 *)pa, b = *(const guint32 *)pb;
    float x = sorted_row[a], y = sorted_row[b];

    if (isnan(x) != isnan(y))
        return isnan(x) ? 1 : -1;
    if (isnan(x) || x == y)
        return a < b ? -1 : 1;
    return x > y ? -1 : 1;
}

static void test_random(void)
{
    for (guint number = 0; number < 300; number++) {
        gint64 rows, columns, k;
        g_autofree float *x = NULL, *values = NULL;
        g_autofree guint32 *indices = NULL, *order = NULL;

        check_case(number, "topk");
        rows = check_int(1, 3);
        columns = check_int(1, number % 10 ? 40 : 1000);
        k = check_int(0, 3) ? check_int(0, MIN(columns, 8)) : columns;
        check_note(", %d rows %d columns k %d", (int)rows, (int)columns, (int)k);
        x = g_new(float, rows *columns);
        values = g_new(float, rows *k + 1);
        indices = g_new(guint32, rows * k + 1);
        order = g_new(guint32, columns);
        for (gint64 i = 0; i < rows * columns; i++) {
            /* few different values: many ties */
            gint64 pick = check_int(0, 9);

            x[i] = pick == 0   ? NAN
                   : pick == 1 ? -INFINITY
                   : pick == 2 ? INFINITY
                   : pick == 3 ? -0.f
                               : (float)(pick - 5);
        }
        values[rows * k] = 77;
        indices[rows * k] = 77;
        check_status(gpudl_topk_ref(x, rows, columns, k, values, indices, NULL), GPUDL_KERNEL_OK);
        for (gint64 row = 0; row < rows; row++) {
            sorted_row = x + row * columns;
            for (gint64 i = 0; i < columns; i++)
                order[i] = (guint32)i;
            qsort(order, (gsize)columns, sizeof(*order), compare);
            for (gint64 i = 0; i < k; i++) {
                if (indices[row * k + i] != order[i] ||
                    memcmp(&values[row * k + i], &sorted_row[order[i]], sizeof(float)) != 0)
                    check_fail("row %d place %d: found column %u, expected %u", (int)row, (int)i, indices[row * k + i],
                               order[i]);
            }
        }
        g_assert_cmpfloat(values[rows * k], ==, 77);
        g_assert_cmpuint(indices[rows * k], ==, 77);
    }
}

static void test_by_hand(void)
{
    const float x[] = {0.1f, 0.5f, NAN, 0.5f, 0.2f, -0.f, 0.f};
    guint32 indices[7];
    float values[7];

    check_case(0, "ties by lower column, NaN last");
    check_status(gpudl_topk_ref(x, 1, 7, 7, values, indices, NULL), GPUDL_KERNEL_OK);
    g_assert_cmpmem(indices, sizeof(indices), ((guint32[]){1, 3, 4, 0, 5, 6, 2}), sizeof(indices));
    g_assert_true(isnan(values[6]));
    check_status(gpudl_topk_ref(x, 1, 7, 2, NULL, indices, NULL), GPUDL_KERNEL_OK);
    g_assert_cmpuint(indices[0], ==, 1);
    g_assert_cmpuint(indices[1], ==, 3);
    check_case(1, "refused");
    check_status(gpudl_topk_ref(x, 1, 7, 8, values, indices, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_topk_ref(x, 1, 7, -1, values, indices, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_topk_ref(NULL, 0, 7, 3, NULL, NULL, NULL), GPUDL_KERNEL_OK);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/topk/by-hand", test_by_hand);
    g_test_add_func("/topk/random", test_random);
    return g_test_run();
}
