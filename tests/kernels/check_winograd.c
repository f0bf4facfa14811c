/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU's own 3x3 convolutions by Winograd's transforms, of every instruction set that has them, against the
 * reference of convolution. */
#include <math.h>

#include "check.h"
#include "dense.h"
#include "kernels/winograd.h"

/* Extents, pads that end anywhere, channels around the vectors' lengths and groups of them, tiles around those that are
 * computed together. */
static GpudlWinograd make_problem(void)
{
    GpudlWinograd d = {.type = GPUDL_DTYPE_BF16,
                       .n = (int32_t)check_int(1, 2),
                       .h = (int32_t)check_int(1, check_int(0, 5) ? 12 : 21),
                       .w = (int32_t)check_int(1, check_int(0, 5) ? 12 : 21),
                       .c = (int32_t)check_int(1, check_int(0, 3) ? 18 : 50),
                       .k = (int32_t)check_int(1, check_int(0, 3) ? 34 : 150),
                       .p = (int32_t)check_int(1, 9),
                       .q = (int32_t)check_int(1, 9),
                       .onto = check_int(0, 2) == 0,
                       .act = check_dense_acts[check_int(0, CHECK_DENSE_ACTS - 1)]};

    d.pad_top = (int32_t)check_int(-3, 4);
    d.pad_left = (int32_t)check_int(-3, 4);
    /* mostly as large as "same" makes it */
    if (check_int(0, 2)) {
        d.p = d.h;
        d.q = d.w;
        d.pad_top = d.pad_left = 1;
    }
    return d;
}

static void set_ways(GpudlWinograd *d, const CheckPicture *x, const CheckPicture *y)
{
    d->x_pixel = x->pixel;
    d->x_row = x->row;
    d->x_frame = x->frame;
    d->y_pixel = y->pixel;
    d->y_row = y->row;
    d->y_frame = y->frame;
}

/* before: what y held, or NULL. */
static CheckTensor *reference(const GpudlWinograd *d, const CheckPicture *x, const CheckTensor *w,
                              const CheckTensor *bias, const CheckTensor *before)
{
    const GpudlWindow window = {2, {1, 3, 3}, {1, 1, 1}, {0, d->pad_top, d->pad_left}, {0, 0, 0}, {1, 1, 1}};

    return check_dense_reference(x, w, FALSE, bias, before, &window, 1, &d->act, CHECK_SHAPE(d->n, d->k, d->p, d->q));
}

static double largest(const CheckTensor *t)
{
    double most = 0;

    for (gint64 i = 0; i < check_elements(t); i++)
        most = MAX(most, fabs(check_get(t, i)));
    return most;
}

/* A result is the sum of 9 points' sums over c channels, each product of a pixel's four (four times the largest) and a
 * weight's nine quarters, both rounded by 2^-9: as if all were largest, and all errors of one sign, 2^-8 of that.
 * Errors have signs of their own: 6 times the deviation of such a sum, values being even between their extremes, is 6 *
 * sqrt(9 c) * 4/2 * 9/4/2 / sqrt(3) * 2^-9 of a pixel and a weight. Activations stretch by 1.1; 1e-5 is for sums in
 * float32, and silu's 2e-4 of a value is far below the first. */
static double bound(const GpudlWinograd *d, const CheckTensor *planar, const CheckTensor *w)
{
    return 1.1 * 6 * sqrt(9. * d->c) * 2.25 / sqrt(3.) * 0x1p-9 * largest(planar) * largest(w) + 1e-5;
}

typedef struct {
    CheckTensor *packed, *scratch;
} Memory;

static Memory make_memory(const GpudlWinograd *d, const CheckTensor *w, const CheckTensor *bias)
{
    Memory m = {check_packed(gpudl_winograd_weights_size(d)), check_packed(gpudl_winograd_scratch_size(d))};

    for (gint64 k = 0; k < check_elements(m.scratch); k++)
        check_set(m.scratch, k, NAN);
    g_assert_true(gpudl_winograd_supported(d));
    gpudl_winograd_pack(d, w->view.data, bias != NULL ? bias->view.data : NULL, m.packed->view.data);
    return m;
}

static void run(const GpudlWinogradKernels *kernels, const GpudlWinograd *d, const CheckPicture *x,
                const CheckTensor *w, const CheckTensor *bias, CheckPicture *y)
{
    Memory m = make_memory(d, w, bias);

    kernels->run(d, x->data, m.packed->view.data, m.scratch->view.data, y->data);
    check_tensor_free(m.packed);
    check_tensor_free(m.scratch);
}

/* exact: whole numbers so small that nothing is rounded but what is stored. */
static void check_problem(const GpudlWinogradKernels *kernels, guint number, gboolean exact)
{
    g_autoptr(CheckTensor) w = NULL, bias = NULL, expected = NULL, before = NULL, planar = NULL;
    g_autoptr(CheckPicture) x = NULL, y = NULL;
    GpudlWinograd d;

    check_case(number, "%s", kernels->name);
    d = make_problem();
    if (exact && d.act.kind != GPUDL_ACT_RELU)
        d.act = check_dense_acts[0];
    check_note(", %s, %dx%dx%dx%d to %dx%dx%d, pads %d %d, act %d%s", exact ? "exact" : "random", d.n, d.h, d.w, d.c,
               d.p, d.q, d.k, d.pad_top, d.pad_left, d.act.kind, d.onto ? ", onto" : "");
    x = check_picture(d.type, d.n, d.h, d.w, d.c, -2, 2);
    y = check_picture(d.type, d.n, d.p, d.q, d.k, 0, 0);
    set_ways(&d, x, y);
    w = check_floats(CHECK_SHAPE(d.k, d.c, 3, 3), -1, 1);
    bias = check_int(0, 3) ? check_floats(CHECK_SHAPE(d.k), -2, 2) : NULL;
    if (exact) {
        for (gint64 i = 0; i < check_elements(x->memory); i++)
            if (!isnan(check_get(x->memory, i)))
                check_set(x->memory, i, nearbyint(2 * check_get(x->memory, i)));
        for (gint64 i = 0; i < check_elements(w); i++)
            check_set(w, i, 4 * nearbyint(2 * check_get(w, i)));
        for (gint64 i = 0; bias != NULL && i < check_elements(bias); i++)
            check_set(bias, i, nearbyint(8 * check_get(bias, i)));
    }
    before = d.onto ? check_dense_fill(y, exact) : NULL;
    planar = check_picture_planar(x);
    expected = reference(&d, x, w, bias, before);
    run(kernels, &d, x, w, bias, y);
    check_picture_close(y, expected, exact ? 0 : bound(&d, planar, w));
}

static void test_problems(gconstpointer data)
{
    const GpudlWinogradKernels *kernels = gpudl_winograd_kernels(((const CheckParty *)data)->simd);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 300; i++)
        check_problem(kernels, i, i % 2);
}

/* A NaN of x makes NaN of the outputs that see it, through every activation, and of nothing else; so does an infinity,
 * or it stays one but for a clip. Each place within a tile, and beside it. */
static void test_nan(gconstpointer data)
{
    const GpudlWinogradKernels *kernels = gpudl_winograd_kernels(((const CheckParty *)data)->simd);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 16 * 2 * CHECK_DENSE_ACTS; i++) {
        g_autoptr(CheckTensor) w = NULL, planar = NULL, got = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        const double value = i % 2 ? NAN : INFINITY;
        const gint row = 2 + i / 2 % 4, column = 2 + i / 8 % 4;
        GpudlWinograd d = {GPUDL_DTYPE_BF16, 1, 9, 9, 20, 17, 9, 9};

        check_case(i, "%s, %g", kernels->name, value);
        d.pad_top = d.pad_left = 1;
        d.act = check_dense_acts[i / 32];
        x = check_picture(d.type, 1, 9, 9, 20, -2, 2);
        y = check_picture(d.type, 1, 9, 9, 17, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(17, 20, 3, 3), .1, 1);
        check_set(x->memory, row * x->row + column * x->pixel + 13, value);
        run(kernels, &d, x, w, NULL, y);
        got = check_picture_planar(y);
        for (gint64 e = 0; e < check_elements(got); e++) {
            const gboolean sees = ABS(e / 9 % 9 - row) <= 1 && ABS(e % 9 - column) <= 1;
            const double v = check_get(got, e);

            if (!sees ? !isfinite(v) : i % 2 ? !isnan(v) : d.act.kind != GPUDL_ACT_CLIP && isfinite(v))
                check_fail("channel %d, row %d, column %d: found %g", (int)(e / 81), (int)(e / 9 % 9), (int)(e % 9), v);
        }
    }
}

/* Off exact sums, as the root of the mean of squares. */
static double deviation(const CheckTensor *got, const CheckTensor *exact)
{
    double sum = 0;

    for (gint64 i = 0; i < check_elements(exact); i++)
        sum += pow(check_get(got, i) - check_get(exact, i), 2);
    return sqrt(sum / (double)check_elements(exact));
}

/* Of pixels behind a ReLU sums are off by not much more than a direct convolution's in bfloat16, whose weights and
 * results are rounded: 1.46 to 1.49 times, but 1.58 or more without either of the two products that sums of four pixels
 * have more. */
static void test_error(gconstpointer data)
{
    const GpudlWinogradKernels *kernels = gpudl_winograd_kernels(((const CheckParty *)data)->simd);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 4; i++) {
        g_autoptr(CheckTensor) w = NULL, rounded = NULL, exact = NULL, got = NULL, direct = NULL, stored = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        GpudlWinograd d = {GPUDL_DTYPE_BF16, 1, 16, 16, 64, 32, 16, 16};

        check_case(i, "%s, error", kernels->name);
        d.pad_top = d.pad_left = 1;
        x = check_picture(d.type, 1, 16, 16, 64, -2, 2);
        for (gint64 e = 0; e < check_elements(x->memory); e++)
            if (check_get(x->memory, e) < 0)
                check_set(x->memory, e, 0);
        y = check_picture(d.type, 1, 16, 16, 32, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(32, 64, 3, 3), -1, 1);
        rounded = check_tensor(GPUDL_DTYPE_BF16, w->view.shape);
        for (gint64 e = 0; e < check_elements(w); e++)
            check_set(rounded, e, check_get(w, e));
        exact = reference(&d, x, w, NULL, NULL);
        direct = reference(&d, x, rounded, NULL, NULL);
        stored = check_tensor(GPUDL_DTYPE_BF16, direct->view.shape);
        for (gint64 e = 0; e < check_elements(direct); e++)
            check_set(stored, e, check_get(direct, e));
        run(kernels, &d, x, w, NULL, y);
        got = check_picture_planar(y);
        g_test_message("%.2f times", deviation(got, exact) / deviation(stored, exact));
        if (!(deviation(got, exact) <= 1.53 * deviation(stored, exact)))
            check_fail("off by %g, a direct one by %g", deviation(got, exact), deviation(stored, exact));
    }
}

static void test_scratch_is_bounded(void)
{
    for (int32_t c = 1; c <= 2000; c++)
        for (int32_t size = 1; size <= 512; size += size < 24 ? 1 : 61) {
            const GpudlWinograd d = {.type = GPUDL_DTYPE_BF16, .n = 1, .c = c, .k = 1, .p = size, .q = size};

            g_assert_cmpuint(gpudl_winograd_scratch_size(&d) % 64, ==, 0);
            g_assert_cmpuint(gpudl_winograd_scratch_size(&d), <=, 768 << 10);
        }
}

static void test_refusals(void)
{
    const GpudlWinograd good = {GPUDL_DTYPE_BF16, 1, 4, 4, 8, 16, 4, 4, 8, 32, 128, 16, 64, 256, 1, 1};
    GpudlWinograd d;

    g_assert_true(gpudl_winograd_supported(&good));
#define REFUSED(field, value)                                                                                          \
    d = good;                                                                                                          \
    d.field = value;                                                                                                   \
    g_assert_false(gpudl_winograd_supported(&d))
    REFUSED(type, GPUDL_DTYPE_F32);
    REFUSED(n, 0);
    REFUSED(h, 0);
    REFUSED(c, 9);
    REFUSED(k, 17);
    REFUSED(k, 0);
    REFUSED(p, 0);
    REFUSED(q, 0);
    REFUSED(x_pixel, 7);
    REFUSED(x_row, 31);
    REFUSED(x_frame, 127);
    REFUSED(y_pixel, 15);
    REFUSED(y_row, 63);
    REFUSED(y_frame, 255);
    REFUSED(pad_top, INT32_MIN);
    REFUSED(pad_left, INT32_MAX);
    REFUSED(act.kind, GPUDL_ACT_TANH);
    /* what positions can't be counted in, and transformed pixels of one tile */
    d = good;
    d.p = (1 << 28) + 1;
    d.y_frame = d.p * d.y_row;
    g_assert_false(gpudl_winograd_supported(&d));
    d = good;
    d.w = (1 << 28) + 1;
    d.x_row = d.w * d.x_pixel;
    d.x_frame = d.h * d.x_row;
    g_assert_false(gpudl_winograd_supported(&d));
    d = good;
    d.c = 65537;
    d.x_pixel = d.c;
    d.x_row = d.w * d.x_pixel;
    d.x_frame = d.h * d.x_row;
    g_assert_false(gpudl_winograd_supported(&d));
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_add_simds("/winograd/problems", test_problems);
    check_add_simds("/winograd/nan", test_nan);
    check_add_simds("/winograd/error", test_error);
    g_test_add_func("/winograd/scratch-is-bounded", test_scratch_is_bounded);
    g_test_add_func("/winograd/refusals", test_refusals);
    return g_test_run();
}
