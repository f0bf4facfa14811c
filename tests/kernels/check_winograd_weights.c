/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Weights transformed for oneDNN's Winograd convolutions: against G w G' in float64, in every way that blocks lie. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/winograd_weights.h"

#define BLOCK GPUDL_WINOGRAD_BLOCK
/* Roundings: of a constant of G, its product, two sums, in each direction. */
#define SLACK (8 * 0x1p-24)

/* Row p of G, as the header says. */
static void g_row(int points, int p, double row[3])
{
    static const double at[2][5] = {{0, 1, -1}, {0, 5. / 8, -5. / 8, 3. / 2, -3. / 2}};
    const double *x = at[points == 6];
    double divisor = 1;

    memset(row, 0, 3 * sizeof *row);
    if (p == points - 1) {
        row[2] = 1;
        return;
    }
    for (int i = 0; i < points - 1; i++)
        divisor *= i != p ? x[p] - x[i] : 1;
    for (int t = 0; t < 3; t++)
        row[t] = pow(x[p], t) / (p == 0 ? fabs(divisor) : divisor);
}

/* G w G' at a point of rows and one of columns; magnitude: of its terms. */
static double transformed(int points, const float *w, int row, int column, double *magnitude)
{
    double a[3], b[3], sum = 0;

    g_row(points, row, a);
    g_row(points, column, b);
    *magnitude = 0;
    for (int r = 0; r < 3; r++)
        for (int s = 0; s < 3; s++) {
            sum += a[r] * b[s] * w[3 * r + s];
            *magnitude += fabs(a[r] * b[s] * w[3 * r + s]);
        }
    return sum;
}

static void check_all(const GpudlWinogradWeights *d, const float *w, const CheckTensor *got)
{
    const gint64 groups = d->c / (BLOCK * d->c_blocks);

    for (gint64 i = 0; i < check_elements(got); i++) {
        const gint64 k16 = i % BLOCK, c16 = i / BLOCK % BLOCK, block = i / (BLOCK * BLOCK);
        const gint64 c_block = block % d->c_blocks, k_block = block / d->c_blocks % d->k_blocks;
        const gint64 group = block / d->c_blocks / d->k_blocks, point = group / groups % (d->points * d->points);
        const gint64 k = (group / groups / (d->points * d->points) * d->k_blocks + k_block) * BLOCK + k16;
        const gint64 c = (group % groups * d->c_blocks + c_block) * BLOCK + c16;
        double magnitude, expected = transformed(d->points, w + (k * d->c + c) * 9, (int)(point / d->points),
                                                 (int)(point % d->points), &magnitude);

        if (!(fabs(check_get(got, i) - expected) <= SLACK * magnitude))
            check_fail("channels %d of y, %d of x, point %d: found %.9g, expected %.9g", (int)k, (int)c, (int)point,
                       check_get(got, i), expected);
    }
}

static void test_random(void)
{
    for (guint i = 0; i < 60; i++) {
        const int k_blocks = (int)check_int(1, 4), c_blocks = (int)check_int(1, 4);
        const GpudlWinogradWeights d = {.points = i % 2 ? 6 : 4,
                                        .k = k_blocks * (int)check_int(1, 3) * BLOCK,
                                        .c = c_blocks * (int)check_int(1, 3) * BLOCK,
                                        .k_blocks = k_blocks,
                                        .c_blocks = c_blocks};
        g_autoptr(CheckTensor) w = NULL, to = NULL;

        check_case(i, "%d points, %d of %d and %d of %d blocks", d.points, k_blocks, d.k / BLOCK, c_blocks,
                   d.c / BLOCK);
        w = check_floats(CHECK_SHAPE(d.k, d.c, 3, 3), -2, 2);
        to = check_floats(CHECK_SHAPE(gpudl_winograd_weights_count(&d)), 0, 0);
        g_assert_true(gpudl_winograd_weights_supported(&d));
        g_assert_cmpint(check_elements(to), ==, (gint64)d.k * d.c * d.points * d.points);
        gpudl_winograd_weights(&d, w->view.data, to->view.data);
        check_all(&d, w->view.data, to);
    }
}

/* A window of ones: sums of each row of G, worked by hand. */
static void test_ones(void)
{
    static const float of_4[] = {1, 1.5, .5, 1};
    GpudlWinogradWeights d = {.points = 4, .k = BLOCK, .c = BLOCK, .k_blocks = 1, .c_blocks = 1};
    float w[BLOCK * BLOCK * 9], to[36 * BLOCK * BLOCK];

    for (guint i = 0; i < G_N_ELEMENTS(w); i++)
        w[i] = 1;
    gpudl_winograd_weights(&d, w, to);
    for (gint i = 0; i < 16 * BLOCK * BLOCK; i++)
        g_assert_cmpfloat(to[i], ==, of_4[i / (BLOCK * BLOCK) / 4] * of_4[i / (BLOCK * BLOCK) % 4]);
}

static void test_refused(void)
{
    const GpudlWinogradWeights good = {.points = 6, .k = 64, .c = 96, .k_blocks = 2, .c_blocks = 3};
    GpudlWinogradWeights d;

    g_assert_true(gpudl_winograd_weights_supported(&good));
#define REFUSED(field, value)                                                                                          \
    d = good;                                                                                                          \
    d.field = value;                                                                                                   \
    g_assert_false(gpudl_winograd_weights_supported(&d))
    REFUSED(points, 5);
    REFUSED(points, 8);
    REFUSED(k, 0);
    REFUSED(k, 72);
    REFUSED(k, 65536 + 64);
    REFUSED(c, -96);
    REFUSED(c, 100);
    REFUSED(c, 48 << 11);
    REFUSED(k_blocks, 0);
    REFUSED(k_blocks, 3);
    REFUSED(c_blocks, 0);
    REFUSED(c_blocks, 4);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/winograd-weights/ones", test_ones);
    g_test_add_func("/winograd-weights/random", test_random);
    g_test_add_func("/winograd-weights/refused", test_refused);
    return g_test_run();
}
