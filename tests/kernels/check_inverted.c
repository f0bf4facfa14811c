/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU's own inverted residuals, of every instruction set that has them, against three reference convolutions. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dense.h"
#include "kernels/inverted.h"

/* ---- problems ---------------------------------------------------------------------------------------------------- */

static GpudlInverted make_problem(GpudlDType type)
{
    GpudlInverted d = {.type = type,
                       .n = (int32_t)check_int(1, 2),
                       .h = (int32_t)check_int(1, check_int(0, 3) ? 12 : 50),
                       .w = (int32_t)check_int(1, check_int(0, 3) ? 12 : 40),
                       .c = (int32_t)check_int(1, 40),
                       .hidden = (int32_t)check_int(1, check_int(0, 3) ? 70 : 260),
                       .k = (int32_t)check_int(1, 40),
                       .expands = check_int(0, 4) > 0,
                       .projects = 1,
                       .kernel = check_int(0, 1) ? 3 : 5,
                       .stride = (int32_t)check_int(1, 2),
                       .expand = check_dense_acts[check_int(0, CHECK_DENSE_ACTS - 1)],
                       .depthwise = check_dense_acts[check_int(0, CHECK_DENSE_ACTS - 1)],
                       .project = check_dense_acts[check_int(0, CHECK_DENSE_ACTS - 1)]};

    d.pad_top = (int32_t)check_int(0, d.kernel - 1);
    d.pad_left = (int32_t)check_int(0, d.kernel - 1);
    d.p = (int32_t)check_int(1, (d.h + d.pad_top - 1) / d.stride + 1);
    d.q = (int32_t)check_int(1, (d.w + d.pad_left - 1) / d.stride + 1);
    if (check_int(0, 1)) { /* as networks have it */
        d.pad_top = d.pad_left = d.kernel / 2;
        d.p = (d.h - 1) / d.stride + 1;
        d.q = (d.w - 1) / d.stride + 1;
    }
    if (!d.expands)
        d.hidden = d.c;
    if (d.expands && check_int(0, 3) == 0) {
        d.projects = 0;
        d.k = d.hidden;
    }
    if (d.projects && d.stride == 1 && d.p == d.h && d.q == d.w && check_int(0, 1)) {
        d.k = d.c;
        d.shortcut = 1;
    }
    return d;
}

/* Weights as they are multiplied, [k][c / groups][r][s], and bias or NULL. */
typedef struct {
    CheckTensor *w, *bias;
} Product;

static void clear(Product *product)
{
    check_tensor_free(product->w);
    check_tensor_free(product->bias);
}

static Product make_product(gint64 k, gint64 c, gint64 taps)
{
    return (Product){check_floats(CHECK_SHAPE(k, c, taps, taps), -1, 1),
                     check_int(0, 3) ? check_floats(CHECK_SHAPE(k), -2, 2) : NULL};
}

static const float *data_of(const CheckTensor *t)
{
    return t != NULL ? t->view.data : NULL;
}

/* ---- the reference, and how far off results may be --------------------------------------------------------------- */

/* A step's results in float64, and for each how far off it may be. */
typedef struct {
    GpudlDType type; /* of the block */
    CheckTensor *values, *errors;
} Step;

static void clear_step(Step *step)
{
    check_tensor_free(step->values);
    check_tensor_free(step->errors);
}

/* In float64, or of it the magnitudes; rounded: to bfloat16 first. t NULL: zeros. */
static CheckTensor *widened(const CheckTensor *t, GpudlShape shape, gboolean rounded, gboolean magnitudes)
{
    g_autoptr(CheckTensor) narrow = check_tensor(rounded ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F64, shape);
    CheckTensor *wide = check_tensor(GPUDL_DTYPE_F64, shape);

    for (gint64 i = 0; i < check_elements(wide); i++) {
        check_set(narrow, i, t != NULL ? check_get(t, i) : 0);
        check_set(wide, i, magnitudes ? fabs(check_get(narrow, i)) : check_get(narrow, i));
    }
    return wide;
}

static CheckTensor *convolve(const CheckTensor *x, const CheckTensor *w, const CheckTensor *bias, const CheckTensor *z,
                             const GpudlWindow *window, gint64 groups, const GpudlAct *act, GpudlShape shape)
{
    CheckTensor *y = check_tensor(GPUDL_DTYPE_F64, shape);

    check_status(gpudl_conv_ref(&x->view, &w->view, &bias->view, z != NULL ? &z->view : NULL, window, (int)groups, act,
                                &y->view, NULL),
                 GPUDL_KERNEL_OK);
    return y;
}

/*
 * One step of another's results. n numbers are summed in float32, in a chain that may round each twice, where pairs are
 * summed first; what x is off comes through the weights. An activation stretches that by 1.5 at most (hard swish), and
 * is off by 1e-6 of what it is given, in bfloat16 silu by 2e-4. stored: what the result is rounded to then, 0: it is
 * not.
 */
static Step follow(const Step *x, const Product *product, gboolean rounded, const CheckTensor *z,
                   const GpudlWindow *window, gint64 groups, const GpudlAct *act, GpudlShape shape, double stored)
{
    const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};
    const GpudlShape biases = CHECK_SHAPE(shape.dims[1]), taps = product->w->view.shape;
    const double n = (double)(taps.dims[1] * taps.dims[2] * taps.dims[3] + 2);
    g_autoptr(CheckTensor) w = widened(product->w, taps, rounded, FALSE);
    g_autoptr(CheckTensor) w_size = widened(product->w, taps, rounded, TRUE);
    g_autoptr(CheckTensor) bias = widened(product->bias, biases, FALSE, FALSE);
    g_autoptr(CheckTensor) bias_size = widened(product->bias, biases, FALSE, TRUE);
    g_autoptr(CheckTensor) no_bias = widened(NULL, biases, FALSE, FALSE);
    g_autoptr(CheckTensor) x_size = widened(x->values, x->values->view.shape, FALSE, TRUE);
    g_autoptr(CheckTensor) z_size = z != NULL ? widened(z, shape, FALSE, TRUE) : NULL;
    g_autoptr(CheckTensor) sizes = convolve(x_size, w_size, bias_size, z_size, window, groups, &none, shape);
    const gboolean bf16 = x->type == GPUDL_DTYPE_BF16;
    Step y = {x->type, convolve(x->values, w, bias, z, window, groups, act, shape),
              convolve(x->errors, w_size, no_bias, NULL, window, groups, &none, shape)};

    for (gint64 i = 0; i < check_elements(y.values); i++) {
        const double size = check_get(sizes, i), carried = check_get(y.errors, i);
        const double summed = carried + (size + carried) * n * 0x1p-23;
        const double acted = 1.5 * summed + (size + summed) * (bf16 && act->kind == GPUDL_ACT_SILU ? 2e-4 : 1e-6);

        check_set(y.errors, i, acted + stored * (fabs(check_get(y.values, i)) + acted) + 1e-34);
    }
    return y;
}

/* A block's weights: e is without where nothing expands. */
typedef struct {
    Product e, d, p;
} Weights;

static void clear_weights(Weights *w)
{
    clear(&w->e);
    clear(&w->d);
    clear(&w->p);
}
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Weights, clear_weights)
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Step, clear_step)

static Weights make_weights(const GpudlInverted *d)
{
    return (Weights){d->expands ? make_product(d->hidden, d->c, 1) : (Product){NULL, NULL},
                     make_product(d->hidden, 1, d->kernel),
                     d->projects ? make_product(d->k, d->hidden, 1) : (Product){NULL, NULL}};
}

static void reference(const GpudlInverted *d, const CheckPicture *x, const Weights *weights, Step *y)
{
    const GpudlWindow point = {2, {1, 1, 1}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}};
    const int end_top = (d->p - 1) * d->stride + d->kernel - d->h - d->pad_top;
    const int end_left = (d->q - 1) * d->stride + d->kernel - d->w - d->pad_left;
    const GpudlWindow window = {2,
                                {1, d->kernel, d->kernel},
                                {1, d->stride, d->stride},
                                {0, d->pad_top, d->pad_left},
                                {0, end_top, end_left},
                                {1, 1, 1}};
    g_auto(Step)
        from = {d->type, check_picture_planar(x), check_tensor(GPUDL_DTYPE_F64, CHECK_SHAPE(d->n, d->c, d->h, d->w))};
    g_auto(Step) expanded = {0}, filtered = {0};

    const gboolean bf16 = d->type == GPUDL_DTYPE_BF16;
    const double stored = bf16 ? 0x1p-8 : 0x1p-24;

    for (gint64 i = 0; i < check_elements(from.errors); i++)
        check_set(from.errors, i, 0);
    if (d->expands)
        expanded =
            follow(&from, &weights->e, bf16, NULL, &point, 1, &d->expand, CHECK_SHAPE(d->n, d->hidden, d->h, d->w), 0);
    filtered = follow(d->expands ? &expanded : &from, &weights->d, FALSE, NULL, &window, d->hidden, &d->depthwise,
                      CHECK_SHAPE(d->n, d->hidden, d->p, d->q), stored);
    if (d->projects) {
        *y = follow(&filtered, &weights->p, bf16, d->shortcut ? from.values : NULL, &point, 1, &d->project,
                    CHECK_SHAPE(d->n, d->k, d->p, d->q), stored);
    } else {
        *y = filtered;
        filtered = (Step){0};
    }
}

static void compare(const CheckPicture *got, const Step *expected)
{
    g_autoptr(CheckTensor) values = check_picture_planar(got);

    for (gint64 i = 0; i < check_elements(values); i++) {
        const double v = check_get(values, i), e = check_get(expected->values, i);

        if (isnan(e) ? !isnan(v) : !(fabs(v - e) <= check_get(expected->errors, i)))
            check_fail("element %" G_GINT64_FORMAT ": expected %g within %g, found %g", i, e,
                       check_get(expected->errors, i), v);
    }
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static void run(const GpudlInvertedKernels *kernels, const GpudlInverted *d, const CheckPicture *x,
                const Weights *weights, CheckPicture *y)
{
    const gsize bytes = gpudl_inverted_scratch_size(d);
    const GpudlInvertedWeights w = {data_of(weights->e.w),    data_of(weights->e.bias), data_of(weights->d.w),
                                    data_of(weights->d.bias), data_of(weights->p.w),    data_of(weights->p.bias)};
    g_autoptr(CheckTensor) packed = check_packed(gpudl_inverted_weights_size(d));
    guint8 *scratch = aligned_alloc(64, bytes + 128);

    g_assert_true(gpudl_inverted_supported(d));
    g_assert_cmpuint(bytes % 64, ==, 0);
    memset(scratch, 0xff, bytes + 128); /* NaN, in what it may hold and around it */
    gpudl_inverted_pack(d, &w, packed->view.data);
    kernels->run(d, x->data, packed->view.data, scratch + 64, y->data);
    for (gsize i = 0; i < 64; i++)
        if (scratch[i] != 0xff || scratch[64 + bytes + i] != 0xff)
            check_fail("scratch memory: written to beside its %" G_GSIZE_FORMAT " bytes", bytes);
    free(scratch);
}

static void set_ways(GpudlInverted *d, const CheckPicture *x, const CheckPicture *y)
{
    d->x_pixel = x->pixel;
    d->x_row = x->row;
    d->x_frame = x->frame;
    d->y_pixel = y->pixel;
    d->y_row = y->row;
    d->y_frame = y->frame;
}

static void test_problems(gconstpointer data)
{
    const CheckParty *party = data;
    const GpudlInvertedKernels *kernels = gpudl_inverted_kernels(party->simd, party->type);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 200; i++) {
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        g_auto(Weights) weights = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}};
        g_auto(Step) expected = {0};
        GpudlInverted d;

        check_case(i, "%s", kernels->name);
        d = make_problem(party->type);
        check_note(", %dx%dx%dx%d by %d to %dx%dx%d, %s%dx%d, stride %d, pads %d %d, acts %d %d %d%s", d.n, d.h, d.w,
                   d.c, d.hidden, d.p, d.q, d.k, d.expands ? (d.projects ? "" : "no projection, ") : "no expansion, ",
                   d.kernel, d.kernel, d.stride, d.pad_top, d.pad_left, d.expand.kind, d.depthwise.kind, d.project.kind,
                   d.shortcut ? ", shortcut" : "");
        x = check_picture(d.type, d.n, d.h, d.w, d.c, -2, 2);
        y = check_picture(d.type, d.n, d.p, d.q, d.k, 0, 0);
        set_ways(&d, x, y);
        weights = make_weights(&d);
        reference(&d, x, &weights, &expected);
        run(kernels, &d, x, &weights, y);
        compare(y, &expected);
        if (d.expands && d.projects && d.stride == 1 && d.p == d.h && d.q == d.w && d.k == d.c) {
            check_note(", in place");
            set_ways(&d, x, x);
            run(kernels, &d, x, &weights, x);
            compare(x, &expected);
        }
    }
}

/* A NaN of x makes NaN of what sees it, through every activation, and of nothing else; strips are several. */
static void test_nan(gconstpointer data)
{
    const CheckParty *party = data;
    const GpudlInvertedKernels *kernels = gpudl_inverted_kernels(party->simd, party->type);

    if (!check_are_here(kernels))
        return;
    for (guint i = 0; i < 2 * CHECK_DENSE_ACTS; i++) {
        const int32_t h = 40, w = 24;
        GpudlInverted d = {party->type, 1, h, w, 9, i % 2 ? 200 : 9, h, w, 9};
        g_autoptr(CheckPicture) x = NULL, y = NULL;
        g_auto(Weights) weights = {{NULL, NULL}, {NULL, NULL}, {NULL, NULL}};
        g_auto(Step) expected = {0};

        check_case(i, "%s, NaN", kernels->name);
        d.expands = i % 2;
        d.projects = 1;
        d.kernel = 3;
        d.stride = d.pad_top = d.pad_left = 1;
        d.expand = d.depthwise = d.project = check_dense_acts[i / 2];
        x = check_picture(d.type, 1, h, w, 9, -2, 2);
        y = check_picture(d.type, 1, h, w, 9, 0, 0);
        set_ways(&d, x, y);
        weights = make_weights(&d);
        check_set(x->memory, 21 * x->row + 4 * x->pixel + 8, NAN);
        reference(&d, x, &weights, &expected);
        g_assert_true(isnan(check_get(expected.values, 20 * w + 4)));
        g_assert_false(isnan(check_get(expected.values, 23 * w + 4)));
        run(kernels, &d, x, &weights, y);
        compare(y, &expected);
    }
}

static void test_refusals(void)
{
    const GpudlInverted good = {.type = GPUDL_DTYPE_BF16,
                                .n = 1,
                                .h = 4,
                                .w = 4,
                                .c = 8,
                                .hidden = 32,
                                .p = 4,
                                .q = 4,
                                .k = 8,
                                .x_pixel = 8,
                                .x_row = 32,
                                .x_frame = 128,
                                .y_pixel = 8,
                                .y_row = 32,
                                .y_frame = 128,
                                .expands = 1,
                                .projects = 1,
                                .kernel = 3,
                                .stride = 1,
                                .pad_top = 1,
                                .pad_left = 1,
                                .shortcut = 1};
    GpudlInverted d;

    g_assert_true(gpudl_inverted_supported(&good));
#define REFUSED(field, value)                                                                                          \
    d = good;                                                                                                          \
    d.field = value;                                                                                                   \
    g_assert_false(gpudl_inverted_supported(&d))
    REFUSED(type, GPUDL_DTYPE_F16);
    REFUSED(n, 0);
    REFUSED(h, 0);
    REFUSED(c, 9);
    REFUSED(c, 7);
    REFUSED(hidden, 0);
    REFUSED(k, 0);
    REFUSED(k, 7);
    REFUSED(p, 0);
    REFUSED(p, 3);
    REFUSED(q, 3);
    REFUSED(expands, 0);
    REFUSED(projects, 0);
    REFUSED(kernel, 4);
    REFUSED(kernel, 7);
    REFUSED(stride, 2);
    REFUSED(stride, 0);
    REFUSED(pad_top, -1);
    REFUSED(pad_top, 3);
    REFUSED(pad_left, 3);
    REFUSED(pad_left, -1);
    REFUSED(x_pixel, 7);
    REFUSED(x_row, 31);
    REFUSED(x_frame, 127);
    REFUSED(y_pixel, 7);
    REFUSED(y_row, 31);
    REFUSED(y_frame, 127);
    REFUSED(expand.kind, GPUDL_ACT_TANH);
    REFUSED(depthwise.kind, GPUDL_ACT_TANH);
    REFUSED(project.kind, GPUDL_ACT_TANH);
#undef REFUSED
    /* rows and columns of y, and what lies between, are counted as well */
    d = good;
    d.shortcut = 0;
    d.p = INT32_MAX;
    d.y_frame = (int64_t)INT32_MAX * d.y_row;
    g_assert_false(gpudl_inverted_supported(&d));
    d.p = 4;
    d.q = INT32_MAX;
    d.y_row = (int64_t)INT32_MAX * d.y_pixel;
    d.y_frame = 4 * d.y_row;
    g_assert_false(gpudl_inverted_supported(&d));
    d = good;
    d.shortcut = 0;
    d.h = d.w = 1 << 27;
    d.hidden = 1 << 24;
    d.x_row = d.w * d.x_pixel;
    d.x_frame = d.h * d.x_row;
    g_assert_false(gpudl_inverted_supported(&d));
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    check_add_parties("/inverted/problems", test_problems);
    check_add_parties("/inverted/nan", test_nan);
    g_test_add_func("/inverted/refusals", test_refusals);
    return g_test_run();
}
