/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU's own convolutions of few channels, of every instruction set that has them, against the reference of
 * convolution. */
#include <math.h>

#include "check.h"
#include "dense.h"
#include "kernels/stem.h"

/* Extents, pads that end anywhere, pixels around those that are computed together, channels around the vectors' lengths
 * and groups of them. */
static GpudlStem make_problem(GpudlDType type)
{
    GpudlStem d = {.type = type,
                   .n = (int32_t)check_int(1, 2),
                   .h = (int32_t)check_int(1, 16),
                   .w = (int32_t)check_int(1, check_int(0, 2) ? 16 : 40),
                   .c = (int32_t)check_int(1, 4),
                   .k = (int32_t)check_int(1, check_int(0, 3) ? 34 : 150),
                   .p = (int32_t)check_int(1, 9),
                   .q = (int32_t)check_int(1, 14),
                   .kernel = (int32_t)check_int(1, 11),
                   .stride = (int32_t)check_int(1, 4),
                   .act = check_dense_acts[check_int(0, CHECK_DENSE_ACTS - 1)]};

    d.pad_top = (int32_t)check_int(0, check_int(0, 2) ? d.kernel / 2 : 10);
    d.pad_left = (int32_t)check_int(0, check_int(0, 2) ? d.kernel / 2 : 10);
    /* mostly as large as "same" makes it */
    if (check_int(0, 2)) {
        d.p = (d.h + d.stride - 1) / d.stride;
        d.q = (d.w + d.stride - 1) / d.stride;
    }
    return d;
}

static void set_ways(GpudlStem *d, const CheckPicture *x, const CheckPicture *y)
{
    d->x_row = x->row;
    d->x_frame = x->frame;
    d->y_pixel = y->pixel;
    d->y_row = y->row;
    d->y_frame = y->frame;
}

static CheckTensor *reference(const GpudlStem *d, const CheckPicture *x, const CheckTensor *w, const CheckTensor *bias)
{
    const GpudlWindow window = {
        2, {1, d->kernel, d->kernel}, {1, d->stride, d->stride}, {0, d->pad_top, d->pad_left}, {0, 0, 0}, {1, 1, 1}};

    return check_dense_reference(x, w, d->type == GPUDL_DTYPE_BF16, bias, NULL, &window, 1, &d->act,
                                 CHECK_SHAPE(d->n, d->k, d->p, d->q));
}

/* c * kernel^2 products and the bias. Of float32 silu is as close as the others are. */
static double bound(const GpudlStem *d)
{
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};

    return check_dense_bound(d->c * d->kernel * d->kernel + 1, d->type == GPUDL_DTYPE_F32 ? &none : &d->act);
}

static void run(const GpudlStemKernels *kernels, const GpudlStem *d, const CheckPicture *x, const CheckTensor *w,
                const CheckTensor *bias, CheckPicture *y)
{
    g_autoptr(CheckTensor) packed = check_packed(gpudl_stem_weights_size(d));

    g_assert_true(gpudl_stem_supported(d));
    gpudl_stem_pack(d, w->view.data, bias != NULL ? bias->view.data : NULL, packed->view.data);
    kernels->run(d, x->data, packed->view.data, y->data);
}

/* Pixels lie next to one another; rows and frames need not. */
static CheckPicture *make_picture(const GpudlStem *d, double low, double high)
{
    CheckPicture *x = check_picture(d->type, d->n, d->h, d->w, d->c, low, high);

    while (x->pixel != x->c) {
        check_picture_free(x);
        x = check_picture(d->type, d->n, d->h, d->w, d->c, low, high);
    }
    return x;
}

static void test_problems(gconstpointer data)
{
    const CheckParty *party = data;
    const GpudlStemKernels *kernels = gpudl_stem_kernels(party->simd, party->type);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 400; i++) {
        g_autoptr(CheckTensor) w = NULL, bias = NULL, expected = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        GpudlStem d;

        check_case(i, "%s", kernels->name);
        d = make_problem(party->type);
        check_note(", %dx%dx%dx%d to %dx%dx%d, kernel %d, stride %d, pads %d %d, act %d", d.n, d.h, d.w, d.c, d.p, d.q,
                   d.k, d.kernel, d.stride, d.pad_top, d.pad_left, d.act.kind);
        x = make_picture(&d, -2, 2);
        y = check_picture(d.type, d.n, d.p, d.q, d.k, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(d.k, d.c, d.kernel, d.kernel), -1, 1);
        bias = check_int(0, 3) ? check_floats(CHECK_SHAPE(d.k), -2, 2) : NULL;
        expected = reference(&d, x, w, bias);
        run(kernels, &d, x, w, bias, y);
        check_picture_close(y, expected, bound(&d));
    }
}

/* A NaN of x makes NaN of the outputs that see it, through every activation, and of nothing else. */
static void test_nan(gconstpointer data)
{
    const CheckParty *party = data;
    const GpudlStemKernels *kernels = gpudl_stem_kernels(party->simd, party->type);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 12 * CHECK_DENSE_ACTS; i++) {
        g_autoptr(CheckTensor) w = NULL, expected = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        GpudlStem d = {party->type, 1, 9, 31, 3, 17, 5, 16};

        check_case(i, "%s, NaN", kernels->name);
        d.kernel = i % 2 ? 4 : 3; /* the last number of a row is in a pair, or alone */
        d.stride = 2;
        d.pad_top = d.pad_left = 1;
        d.act = check_dense_acts[i / 12];
        x = make_picture(&d, -2, 2);
        y = check_picture(d.type, 1, 5, 16, 17, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(17, 3, d.kernel, d.kernel), -1, 1);
        check_set(x->memory, 4 * x->row + (i % 4 < 2 ? 30 : 14) * 3 + i / 4 % 3, NAN);
        expected = reference(&d, x, w, NULL);
        run(kernels, &d, x, w, NULL, y);
        check_picture_close(y, expected, bound(&d));
    }
}

static void test_refusals(void)
{
    const GpudlStem good = {GPUDL_DTYPE_BF16, 1, 4, 4, 3, 16, 2, 2, 12, 48, 16, 32, 64, 3, 2, 1, 1};
    GpudlStem d;

    g_assert_true(gpudl_stem_supported(&good));
#define REFUSED(field, value)                                                                                          \
    d = good;                                                                                                          \
    d.field = value;                                                                                                   \
    g_assert_false(gpudl_stem_supported(&d))
    REFUSED(type, GPUDL_DTYPE_F16);
    REFUSED(n, 0);
    REFUSED(c, 0);
    REFUSED(c, 5);
    REFUSED(k, 17);
    REFUSED(k, 0);
    REFUSED(p, 0);
    REFUSED(q, 3);
    REFUSED(stride, 0);
    REFUSED(stride, 5);
    REFUSED(kernel, 0);
    REFUSED(kernel, 12);
    REFUSED(pad_top, -1);
    REFUSED(pad_left, 11);
    REFUSED(x_row, 11);
    REFUSED(x_frame, 47);
    REFUSED(y_pixel, 15);
    REFUSED(y_row, 31);
    REFUSED(y_frame, 63);
    REFUSED(act.kind, GPUDL_ACT_TANH);
    /* extents beyond those that the contract allows, ways being as large as they have to be */
    d = good;
    d.h = (1 << 28) + 1;
    d.x_frame = d.h * d.x_row;
    g_assert_false(gpudl_stem_supported(&d));
    d = good;
    d.w = (1 << 28) + 1;
    d.x_row = (int64_t)d.w * d.c;
    d.x_frame = d.h * d.x_row;
    g_assert_false(gpudl_stem_supported(&d));
    d = good;
    d.p = (1 << 28) + 1;
    d.y_frame = d.p * d.y_row;
    g_assert_false(gpudl_stem_supported(&d));
    d = good;
    d.q = (1 << 28) + 1;
    d.y_row = d.q * d.y_pixel;
    d.y_frame = d.p * d.y_row;
    g_assert_false(gpudl_stem_supported(&d));
    for (int simd = 0; simd <= GPUDL_SIMD_LAST; simd++)
        g_assert_null(gpudl_stem_kernels((GpudlSimd)simd, GPUDL_DTYPE_F16));
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_add_parties("/stem/problems", test_problems);
    check_add_parties("/stem/nan", test_nan);
    g_test_add_func("/stem/refusals", test_refusals);
    return g_test_run();
}
