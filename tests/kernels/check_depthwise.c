/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU's depthwise convolutions, of every instruction set that is there, against the reference of convolution. */
#include <math.h>

#include "check.h"
#include "dense.h"
#include "kernels/depthwise.h"

/* Extents, pads that end anywhere, channels around the vectors' lengths. */
static GpudlDepthwise make_problem(GpudlDType type)
{
    GpudlDepthwise d = {.type = type,
                        .n = (int32_t)check_int(1, 2),
                        .h = (int32_t)check_int(1, 12),
                        .w = (int32_t)check_int(1, 19),
                        .c = (int32_t)check_int(1, check_int(0, 3) ? 18 : 70),
                        .p = (int32_t)check_int(1, 9),
                        .q = (int32_t)check_int(1, 14),
                        .kernel = (int32_t)(3 + 2 * check_int(0, 2)),
                        .stride = (int32_t)check_int(1, 2),
                        .act = check_dense_acts[check_int(0, CHECK_DENSE_ACTS - 1)]};

    d.pad_top = (int32_t)check_int(check_int(0, 4) ? 0 : -3, d.kernel / 2);
    d.pad_left = (int32_t)check_int(check_int(0, 4) ? 0 : -3, check_int(0, 4) ? d.kernel / 2 : 2 * d.kernel);
    /* mostly as large as "same" makes it */
    if (check_int(0, 1)) {
        d.p = (d.h + d.stride - 1) / d.stride;
        d.q = (d.w + d.stride - 1) / d.stride;
        d.pad_top = d.pad_left = d.kernel / 2;
    }
    return d;
}

static void set_ways(GpudlDepthwise *d, const CheckPicture *x, const CheckPicture *y)
{
    d->x_pixel = x->pixel;
    d->x_row = x->row;
    d->x_frame = x->frame;
    d->y_pixel = y->pixel;
    d->y_row = y->row;
    d->y_frame = y->frame;
}

static CheckTensor *reference(const GpudlDepthwise *d, const CheckPicture *x, const CheckTensor *w,
                              const CheckTensor *bias)
{
    const GpudlWindow window = {
        2, {1, d->kernel, d->kernel}, {1, d->stride, d->stride}, {0, d->pad_top, d->pad_left}, {0, 0, 0}, {1, 1, 1}};

    return check_dense_reference(x, w, FALSE, bias, NULL, &window, d->c, &d->act, CHECK_SHAPE(d->n, d->c, d->p, d->q));
}

/* kernel^2 products and the bias. Of float32 silu is as close as the others are. */
static double bound(const GpudlDepthwise *d)
{
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};

    return check_dense_bound(d->kernel * d->kernel + 1, d->type == GPUDL_DTYPE_F32 ? &none : &d->act);
}

static void test_random(gconstpointer data)
{
    const GpudlDepthwiseKernels *kernels = gpudl_depthwise_kernels(((const CheckParty *)data)->simd);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 400; i++) {
        g_autoptr(CheckTensor) w = NULL, bias = NULL, packed = NULL, expected = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        GpudlDepthwise d;

        check_case(i, "%s", kernels->name);
        d = make_problem(i % 2 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32);
        check_note(", %s %dx%dx%dx%d to %dx%d, kernel %d, stride %d, pads %d %d, act %d", gpudl_dtype_name(d.type), d.n,
                   d.h, d.w, d.c, d.p, d.q, d.kernel, d.stride, d.pad_top, d.pad_left, d.act.kind);
        x = check_picture(d.type, d.n, d.h, d.w, d.c, -2, 2);
        y = check_picture(d.type, d.n, d.p, d.q, d.c, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(d.c, d.kernel, d.kernel), -1, 1);
        bias = check_int(0, 3) ? check_floats(CHECK_SHAPE(d.c), -2, 2) : NULL;
        packed = check_packed(gpudl_depthwise_weights_size(&d));
        g_assert_true(gpudl_depthwise_supported(&d));
        gpudl_depthwise_pack(&d, w->view.data, bias != NULL ? bias->view.data : NULL, packed->view.data);
        kernels->run(&d, x->data, packed->view.data, y->data);
        expected = reference(&d, x, w, bias);
        check_picture_close(y, expected, bound(&d));
    }
}

/* A NaN of x makes NaN of the outputs that see it, through every activation, and of nothing else. */
static void test_nan(gconstpointer data)
{
    const GpudlDepthwiseKernels *kernels = gpudl_depthwise_kernels(((const CheckParty *)data)->simd);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 2 * CHECK_DENSE_ACTS; i++) {
        g_autoptr(CheckTensor) w = NULL, packed = NULL, expected = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        GpudlDepthwise d = {i % 2 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32, 1, 9, 9, 20, 9, 9};

        check_case(i, "%s, NaN", kernels->name);
        d.kernel = 3;
        d.stride = 1;
        d.pad_top = d.pad_left = 1;
        d.act = check_dense_acts[i / 2];
        x = check_picture(d.type, 1, 9, 9, 20, -2, 2);
        y = check_picture(d.type, 1, 9, 9, 20, 0, 0);
        set_ways(&d, x, y);
        w = check_floats(CHECK_SHAPE(20, 3, 3), -1, 1);
        packed = check_packed(gpudl_depthwise_weights_size(&d));
        gpudl_depthwise_pack(&d, w->view.data, NULL, packed->view.data);
        check_set(x->memory, 4 * x->row + 5 * x->pixel + 17, NAN);
        kernels->run(&d, x->data, packed->view.data, y->data);
        expected = reference(&d, x, w, NULL);
        g_assert_true(isnan(check_get(expected, (17 * 9 + 4) * 9 + 5)));
        check_picture_close(y, expected, bound(&d));
    }
}

/* What is stored is rounded to nearest, ties to even: a kernel of one tap, sums that float32 holds. */
static void test_rounding(gconstpointer data)
{
    const GpudlDepthwiseKernels *kernels = gpudl_depthwise_kernels(((const CheckParty *)data)->simd);
    float w[16 * 9] = {0}, bias[16], packed[16 * 10];
    guint16 x[16], y[16];
    GpudlDepthwise d = {GPUDL_DTYPE_BF16, 1, 1, 1, 16, 1, 1, 16, 16, 16, 16, 16, 16, 3, 1, 1, 1};

    if (!check_are_here(kernels))
        return;
    for (int i = 0; i < 16; i++) {
        x[i] = 0x3f80; /* 1 */
        w[i * 9 + 4] = 1 + (float)i * 0x1p-9f;
        bias[i] = i % 5 ? 0.f : 0x1p-16f;
    }
    g_assert_cmpuint(gpudl_depthwise_weights_size(&d), ==, sizeof packed);
    gpudl_depthwise_pack(&d, w, bias, packed);
    kernels->run(&d, x, packed, y);
    for (int i = 0; i < 16; i++) {
        const double sum = (double)w[i * 9 + 4] + (double)bias[i], step = 0x1p-7;

        g_assert_cmpuint(y[i], ==, 0x3f80 + (guint16)nearbyint((sum - 1) / step));
    }
}

/* Silu of sums of any magnitude, one a channel: far below zero it is next to nothing, and of -infinity NaN, as in the
 * reference. */
static void test_silu(gconstpointer data)
{
    static const double sums[] = {-1,    -50,   -86,   -88,   -100, -128, -256, -608,      -1e4, -1e10,
                                  -1e20, -1e30, -1e38, -3e38, 50,   88,   1e10, -INFINITY, 1e38, 0};
    const GpudlDepthwiseKernels *kernels = gpudl_depthwise_kernels(((const CheckParty *)data)->simd);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 2; i++) {
        g_autoptr(CheckTensor) w = check_floats(CHECK_SHAPE(20, 3, 3), 0, 0), packed = NULL;
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        GpudlDepthwise d = {i ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32, 1, 1, 1, 20, 1, 1};

        G_STATIC_ASSERT(G_N_ELEMENTS(sums) == 20);
        check_case(i, "%s, silu", kernels->name);
        d.kernel = 3;
        d.stride = 1;
        d.pad_top = d.pad_left = 1;
        d.act.kind = GPUDL_ACT_SILU;
        x = check_picture(d.type, 1, 1, 1, 20, 0, 0);
        y = check_picture(d.type, 1, 1, 1, 20, 0, 0);
        set_ways(&d, x, y);
        for (gint c = 0; c < 20; c++) {
            check_set(x->memory, c, sums[c]);
            check_set(w, c * 9 + 4, 1);
        }
        packed = check_packed(gpudl_depthwise_weights_size(&d));
        gpudl_depthwise_pack(&d, w->view.data, NULL, packed->view.data);
        kernels->run(&d, x->data, packed->view.data, y->data);
        for (gint c = 0; c < 20; c++) {
            const double wanted = gpudl_activate(&d.act, check_get(x->memory, c)), got = check_get(y->memory, c);

            if (isnan(wanted) ? !isnan(got)
                              : !(fabs(got - wanted) <= (i ? 2e-4 + 0x1p-8 : 1e-6) * fabs(wanted) + 1e-35))
                check_fail("silu(%g) is %g, found %g", check_get(x->memory, c), wanted, got);
        }
    }
}

static void test_refusals(void)
{
    const GpudlDepthwise good = {GPUDL_DTYPE_F32, 1, 4, 4, 8, 4, 4, 8, 32, 128, 8, 32, 128, 3, 1, 1, 1};
    GpudlDepthwise d;

    g_assert_true(gpudl_depthwise_supported(&good));
#define REFUSED(field, value)                                                                                          \
    d = good;                                                                                                          \
    d.field = value;                                                                                                   \
    g_assert_false(gpudl_depthwise_supported(&d))
    REFUSED(type, GPUDL_DTYPE_F16);
    REFUSED(c, 0);
    REFUSED(c, 9);
    REFUSED(x_pixel, 7);
    REFUSED(x_row, 31);
    REFUSED(x_frame, 127);
    REFUSED(y_pixel, 7);
    REFUSED(y_row, 31);
    REFUSED(y_frame, 127);
    REFUSED(kernel, 4);
    REFUSED(kernel, 1);
    REFUSED(kernel, 9);
    REFUSED(stride, 3);
    REFUSED(stride, 0);
    REFUSED(p, 0);
    REFUSED(act.kind, GPUDL_ACT_TANH);
    REFUSED(act.kind, GPUDL_ACT_LEAKY_RELU);
    /* what positions can't be counted in */
    REFUSED(pad_top, INT32_MIN);
    REFUSED(pad_left, INT32_MIN);
    REFUSED(pad_top, INT32_MAX);
    REFUSED(pad_left, INT32_MAX);
    d = good;
    d.p = INT32_MAX;
    d.y_frame = d.p * d.y_row;
    g_assert_false(gpudl_depthwise_supported(&d));
    d = good;
    d.q = INT32_MAX;
    d.y_row = d.q * d.y_pixel;
    d.y_frame = d.p * d.y_row;
    g_assert_false(gpudl_depthwise_supported(&d));
    d = good;
    d.w = INT32_MAX;
    d.x_row = d.w * d.x_pixel;
    d.x_frame = d.h * d.x_row;
    g_assert_false(gpudl_depthwise_supported(&d));
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_add_simds("/depthwise/random", test_random);
    check_add_simds("/depthwise/nan", test_nan);
    check_add_simds("/depthwise/silu", test_silu);
    check_add_simds("/depthwise/rounding", test_rounding);
    g_test_add_func("/depthwise/refusals", test_refusals);
    return g_test_run();
}
