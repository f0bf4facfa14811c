/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU's own 1x1 convolutions, of every instruction set that has them, against the reference of convolution. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "dense.h"
#include "kernels/pointwise.h"

/* Pixels around those that are computed together, channels around the vectors' lengths and groups of them. */
static GpudlPointwise make_problem(GpudlDType type)
{
    GpudlPointwise d = {.type = type,
                        .n = (int32_t)check_int(1, 2),
                        .h = (int32_t)check_int(1, 12),
                        .w = (int32_t)check_int(1, 12),
                        .c = (int32_t)check_int(1, check_int(0, 3) ? 20 : 150),
                        .k = (int32_t)check_int(1, check_int(0, 3) ? 34 : 150),
                        .stride = (int32_t)check_int(1, 2),
                        .onto = check_int(0, 2) == 0,
                        .act = check_dense_acts[check_int(0, CHECK_DENSE_ACTS - 1)]};

    d.p = (d.h - 1) / d.stride + 1;
    d.q = (d.w - 1) / d.stride + 1;
    if (check_int(0, 3) == 0) { /* cropped */
        d.p = (int32_t)check_int(1, d.p);
        d.q = (int32_t)check_int(1, d.q);
    }
    return d;
}

static void set_ways(GpudlPointwise *d, const CheckPicture *x, const CheckPicture *y)
{
    d->x_pixel = x->pixel;
    d->x_row = x->row;
    d->x_frame = x->frame;
    d->y_pixel = y->pixel;
    d->y_row = y->row;
    d->y_frame = y->frame;
}

/* before: what y held, or NULL. */
static CheckTensor *reference(const GpudlPointwise *d, const CheckPicture *x, const CheckTensor *w,
                              const CheckTensor *bias, const CheckTensor *before)
{
    const GpudlWindow window = {2, {1, 1, 1}, {1, d->stride, d->stride}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}};

    return check_dense_reference(x, w, d->type == GPUDL_DTYPE_BF16, bias, before, &window, 1, &d->act,
                                 CHECK_SHAPE(d->n, d->k, d->p, d->q));
}

/* c products, the bias and what y held. */
static double bound(const GpudlPointwise *d)
{
    const GpudlAct exact = {GPUDL_ACT_NONE, 0, 0}; /* of float32 silu is as good as others */

    return check_dense_bound(d->c + 2, d->type == GPUDL_DTYPE_BF16 ? &d->act : &exact);
}

static void run(const GpudlPointwiseKernels *kernels, const GpudlPointwise *d, const CheckPicture *x,
                const CheckTensor *w, const CheckTensor *bias, CheckPicture *y)
{
    g_autoptr(CheckTensor) packed = check_packed(gpudl_pointwise_weights_size(d));

    g_assert_true(gpudl_pointwise_supported(d));
    gpudl_pointwise_pack(d, w->view.data, bias != NULL ? bias->view.data : NULL, packed->view.data);
    kernels->run(d, x->data, packed->view.data, y->data);
}

static void test_problems(gconstpointer data)
{
    const CheckParty *party = data;
    const GpudlPointwiseKernels *kernels = gpudl_pointwise_kernels(party->simd, party->type);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 400; i++) {
        g_autoptr(CheckTensor) w = NULL, bias = NULL, expected = NULL, before = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        GpudlPointwise d;

        check_case(i, "%s", kernels->name);
        d = make_problem(party->type);
        check_note(", %dx%dx%dx%d to %dx%dx%d, stride %d, act %d%s", d.n, d.h, d.w, d.c, d.p, d.q, d.k, d.stride,
                   d.act.kind, d.onto ? ", onto" : "");
        x = check_picture(d.type, d.n, d.h, d.w, d.c, -2, 2);
        y = check_picture(d.type, d.n, d.p, d.q, d.k, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(d.k, d.c), -1, 1);
        bias = check_int(0, 3) ? check_floats(CHECK_SHAPE(d.k), -2, 2) : NULL;
        before = d.onto ? check_dense_fill(y, FALSE) : NULL;
        expected = reference(&d, x, w, bias, before);
        run(kernels, &d, x, w, bias, y);
        check_picture_close(y, expected, bound(&d));
    }
}

/* A NaN of x makes NaN of its own pixel, through every activation, and of nothing else. */
static void test_nan(gconstpointer data)
{
    const CheckParty *party = data;
    const GpudlPointwiseKernels *kernels = gpudl_pointwise_kernels(party->simd, party->type);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 2 * CHECK_DENSE_ACTS; i++) {
        g_autoptr(CheckTensor) w = NULL, expected = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        const int32_t c = i % 2 ? 20 : 19; /* the NaN is in a pair, or alone */
        GpudlPointwise d = {party->type, 1, 5, 7, c, 17, 5, 7, 1};

        check_case(i, "%s, NaN", kernels->name);
        d.act = check_dense_acts[i / 2];
        x = check_picture(d.type, 1, 5, 7, c, -2, 2);
        y = check_picture(d.type, 1, 5, 7, 17, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(17, c), -1, 1);
        check_set(x->memory, 2 * x->row + 4 * x->pixel + 18, NAN);
        expected = reference(&d, x, w, NULL, NULL);
        g_assert_true(isnan(check_get(expected, (9 * 5 + 2) * 7 + 4)));
        run(kernels, &d, x, w, NULL, y);
        check_picture_close(y, expected, bound(&d));
    }
}

/* Silu over all that bfloat16 has from 5e-10 on, of both signs, by a matrix of one; of -infinity it is NaN, as
 * in the reference. */
static void test_silu(gconstpointer data)
{
    const CheckParty *party = data;
    const GpudlPointwiseKernels *kernels = gpudl_pointwise_kernels(party->simd, GPUDL_DTYPE_BF16);
    const float one = 1;

    if (!check_are_here(kernels))
        return;
    for (guint sign = 0; sign < 2; sign++) {
        const int32_t n = 0x7f81 - 0x3000;
        const GpudlPointwise d = {GPUDL_DTYPE_BF16,      1, 1, n, 1, 1, 1, n, 1, 1, n, n, 1, n, n, 0,
                                  {GPUDL_ACT_SILU, 0, 0}};
        g_autofree guint16 *x = g_new(guint16, n);
        g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_BF16, CHECK_SHAPE(n));
        g_autoptr(CheckTensor) low = check_tensor(GPUDL_DTYPE_BF16, CHECK_SHAPE(n));
        g_autoptr(CheckTensor) high = check_tensor(GPUDL_DTYPE_BF16, CHECK_SHAPE(n));
        float packed[16 + 16];

        for (gint i = 0; i < n; i++)
            x[i] = (guint16)(sign << 15 | (guint)(0x3000 + i));
        g_assert_cmpuint(gpudl_pointwise_weights_size(&d), ==, sizeof packed);
        gpudl_pointwise_pack(&d, &one, NULL, packed);
        kernels->run(&d, x, packed, y->view.data);
        for (gint i = 0; i < n; i++) {
            const guint32 bits = (guint32)x[i] << 16;
            float v;

            memcpy(&v, &bits, sizeof v);
            if (isinf(v)) {
                g_assert_true(v > 0 ? isinf(check_get(y, i)) : isnan(check_get(y, i)));
                continue;
            }
            /* rounded once, of what is within 2e-4 */
            check_set(low, i, (double)v / (1 + exp(-(double)v)) * (1 - 2e-4));
            check_set(high, i, (double)v / (1 + exp(-(double)v)) * (1 + 2e-4));
            if (fabs(check_get(high, i)) > 1e-35 ? !(fabs(check_get(y, i)) >= fabs(check_get(low, i)) &&
                                                     fabs(check_get(y, i)) <= fabs(check_get(high, i)))
                                                 : !(fabs(check_get(y, i)) <= 1e-35))
                g_error("silu(%g) is %g to %g, found %g", (double)v, check_get(low, i), check_get(high, i),
                        check_get(y, i));
        }
    }
}

static void test_refusals(void)
{
    const GpudlPointwise good = {GPUDL_DTYPE_BF16, 1, 4, 4, 8, 16, 4, 4, 1, 8, 32, 128, 16, 64, 256};
    GpudlPointwise d;

    g_assert_true(gpudl_pointwise_supported(&good));
#define REFUSED(field, value)                                                                                          \
    d = good;                                                                                                          \
    d.field = value;                                                                                                   \
    g_assert_false(gpudl_pointwise_supported(&d))
    REFUSED(type, GPUDL_DTYPE_F16);
    REFUSED(n, 0);
    REFUSED(c, 9);
    REFUSED(k, 17);
    REFUSED(k, 0);
    REFUSED(p, 0);
    REFUSED(p, 5);
    REFUSED(q, 5);
    REFUSED(stride, 2);
    REFUSED(stride, 0);
    REFUSED(x_pixel, 7);
    REFUSED(x_row, 31);
    REFUSED(x_frame, 127);
    REFUSED(y_pixel, 15);
    REFUSED(y_row, 63);
    REFUSED(y_frame, 255);
    REFUSED(act.kind, GPUDL_ACT_TANH);
    /* of four rows or columns every other one is two */
    d = good;
    d.stride = 2;
    d.p = d.q = 2;
    g_assert_true(gpudl_pointwise_supported(&d));
    d.p = 3;
    g_assert_false(gpudl_pointwise_supported(&d));
    d.p = 2;
    d.q = 3;
    g_assert_false(gpudl_pointwise_supported(&d));
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_add_parties("/pointwise/problems", test_problems);
    check_add_parties("/pointwise/nan", test_nan);
    check_add_simds("/pointwise/silu", test_silu);
    g_test_add_func("/pointwise/refusals", test_refusals);
    return g_test_run();
}
