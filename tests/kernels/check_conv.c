/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Convolution against cases worked by hand and against its definition, one output element at a time. */
#include <math.h>

#include "kernels/conv.h"
#include "tests/kernels/check.h"

static const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};

static GpudlWindow window_2d(int stride, int pad, int dilation)
{
    return (GpudlWindow){.n_spatial = 2,
                         .kernel = {1, 1, 1},
                         .stride = {1, stride, stride},
                         .pad_begin = {0, pad, pad},
                         .pad_end = {0, pad, pad},
                         .dilation = {1, dilation, dilation}};
}

/** The definition: at most 3 spatial dimensions, those missing counted as 1. */
typedef struct {
    const CheckTensor *x, *w, *bias, *residual;
    GpudlWindow window;
    gint64 group, n, c, k;
    gint64 in[3], taps[3], out[3];
    GpudlAct act;
} Problem;

static gint64 flat3(const gint64 size[3], gint64 a, gint64 b, gint64 c)
{
    return (a * size[1] + b) * size[2] + c;
}

static double define(const Problem *p, gint64 n, gint64 k, const gint64 at[3])
{
    const gint64 per_group = p->c / p->group, first = k / (p->k / p->group) * per_group;
    const gint64 in_size = p->in[0] * p->in[1] * p->in[2], n_taps = p->taps[0] * p->taps[1] * p->taps[2];
    gint64 out_index = (n * p->k + k) * p->out[0] * p->out[1] * p->out[2] + flat3(p->out, at[0], at[1], at[2]);
    double sum = p->bias ? check_get(p->bias, k) : 0;

    for (gint64 c = 0; c < per_group; c++) {
        for (gint64 tap = 0; tap < n_taps; tap++) {
            gint64 r[3] = {tap / p->taps[2] / p->taps[1], tap / p->taps[2] % p->taps[1], tap % p->taps[2]}, i[3];
            gboolean inside = TRUE;

            for (int d = 0; d < 3; d++) {
                i[d] = at[d] * p->window.stride[d] - p->window.pad_begin[d] + r[d] * p->window.dilation[d];
                inside = inside && i[d] >= 0 && i[d] < p->in[d];
            }
            if (inside)
                sum += check_get(p->x, (n * p->c + first + c) * in_size + flat3(p->in, i[0], i[1], i[2])) *
                       check_get(p->w, (k * per_group + c) * n_taps + tap);
        }
    }
    if (p->residual)
        sum += check_get(p->residual, out_index);
    return gpudl_activate(&p->act, sum);
}

/** Extents, window and channels at random; sizes around the tiles of the implementation (64 positions, 16 channels, 4
 * input channels at a time). */
static void make_problem(Problem *p, int n_spatial, GpudlShape *x, GpudlShape *w, GpudlShape *y)
{
    p->window.n_spatial = n_spatial;
    p->group = check_int(0, 2) == 0 ? check_int(2, 4) : 1;
    p->n = check_int(1, 2);
    p->c = p->group * check_int(1, p->group > 1 ? 3 : 9);
    p->k = p->group * check_int(1, check_int(0, 3) == 0 ? 18 : 3);
    p->act = check_int(0, 1) ? (GpudlAct){GPUDL_ACT_LEAKY_RELU, 0.25f, 0} : none;
    *x = *w = *y = (GpudlShape){.rank = n_spatial + 2};
    for (int d = 0; d < 3; d++) {
        gboolean real = d >= 3 - n_spatial;
        gint64 reach, padded;

        p->window.kernel[d] = real ? (int32_t)check_int(1, 3) : 1;
        p->window.stride[d] = real ? (int32_t)check_int(1, 3) : 1;
        p->window.dilation[d] = real ? (int32_t)check_int(1, 2) : 1;
        p->window.pad_begin[d] = real ? (int32_t)check_int(0, 2) : 0;
        p->window.pad_end[d] = real ? (int32_t)check_int(0, 2) : 0;
        p->taps[d] = p->window.kernel[d];
        reach = (p->taps[d] - 1) * p->window.dilation[d] + 1;
        p->in[d] = real ? check_int(1, n_spatial == 1 ? 140 : n_spatial == 2 ? 12 : 6) : 1;
        padded = p->in[d] + p->window.pad_begin[d] + p->window.pad_end[d];
        if (padded < reach)
            p->in[d] += reach - padded;
        padded = MAX(padded, reach);
        p->out[d] = (padded - reach) / p->window.stride[d] + 1;
        if (real) {
            int i = 2 + d - (3 - n_spatial);

            x->dims[i] = p->in[d];
            w->dims[i] = p->taps[d];
            y->dims[i] = p->out[d];
        }
    }
    x->dims[0] = y->dims[0] = p->n;
    x->dims[1] = p->c;
    w->dims[0] = y->dims[1] = p->k;
    w->dims[1] = p->c / p->group;
}

static void test_random(gconstpointer user_data)
{
    const int n_spatial = GPOINTER_TO_INT(user_data);

    for (guint number = 0; number < 80; number++) {
        g_autoptr(CheckTensor) x = NULL, w = NULL, bias = NULL, residual = NULL, y = NULL;
        g_autofree double *expected = NULL;
        GpudlShape xs, ws, ys;
        Problem p = {0};
        GpudlDType dtype;

        check_case(number, "%d-d", n_spatial);
        dtype = number % 3 ? GPUDL_DTYPE_F32 : check_float_type();
        make_problem(&p, n_spatial, &xs, &ws, &ys);
        for (int d = 3 - n_spatial; d < 3; d++)
            check_note(", in %d kernel %d stride %d pads %d %d dilation %d", (int)p.in[d], p.window.kernel[d],
                       p.window.stride[d], p.window.pad_begin[d], p.window.pad_end[d], p.window.dilation[d]);
        check_note(", n %d c %d k %d group %d", (int)p.n, (int)p.c, (int)p.k, (int)p.group);
        p.x = x = check_tensor_random(dtype, xs, -2, 2);
        p.w = w = check_tensor_random(dtype, ws, -2, 2);
        p.bias = bias = check_int(0, 1) ? check_tensor_random(dtype, CHECK_SHAPE(p.k), -2, 2) : NULL;
        p.residual = residual = check_int(0, 1) ? check_tensor_random(dtype, ys, -2, 2) : NULL;
        y = check_tensor(dtype, ys);
        check_status(gpudl_conv_ref(&x->view, &w->view, bias ? &bias->view : NULL, residual ? &residual->view : NULL,
                                    &p.window, (int32_t)p.group, &p.act, &y->view, NULL),
                     GPUDL_KERNEL_OK);
        expected = g_new(double, check_elements(y));
        for (gint64 i = 0; i < check_elements(y); i++) {
            gint64 size = p.out[0] * p.out[1] * p.out[2], at = i % size;

            expected[i] = define(&p, i / size / p.k, i / size % p.k,
                                 (gint64[]){at / p.out[2] / p.out[1], at / p.out[2] % p.out[1], at % p.out[2]});
        }
        /* some hundred terms of up to 4 in double, in another order */
        check_close(y, expected, 1e-12);
    }
}

/* ---- worked by hand ---------------------------------------------------------------------------------------------- */

static void assert_conv(GpudlShape xs, const double *xv, GpudlShape ws, const double *wv, const double *bv,
                        const GpudlWindow *window, int group, GpudlShape ys, const double *expected)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, xs, xv);
    g_autoptr(CheckTensor) w = check_tensor_of(GPUDL_DTYPE_F32, ws, wv);
    g_autoptr(CheckTensor) b = bv ? check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(ws.dims[0]), bv) : NULL;
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, ys);

    check_status(gpudl_conv_ref(&x->view, &w->view, b ? &b->view : NULL, NULL, window, group, &none, &y->view, NULL),
                 GPUDL_KERNEL_OK);
    check_close(y, expected, 0);
}

static void test_by_hand(void)
{
    const double image[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, ones[] = {1, 1, 1, 1, 1, 1, 1, 1, 1};
    GpudlWindow window = window_2d(1, 1, 1);

    check_case(0, "3x3 of ones, padded: sums of neighbourhoods");
    assert_conv(CHECK_SHAPE(1, 1, 3, 3), image, CHECK_SHAPE(1, 1, 3, 3), ones, NULL, &window, 1,
                CHECK_SHAPE(1, 1, 3, 3), (double[]){12, 21, 16, 27, 45, 33, 24, 39, 28});

    check_case(1, "not flipped: cross-correlation");
    window = window_2d(1, 0, 1);
    assert_conv(CHECK_SHAPE(1, 1, 3, 3), image, CHECK_SHAPE(1, 1, 2, 2), (double[]){1, 10, 100, 1000}, (double[]){0.5},
                &window, 1, CHECK_SHAPE(1, 1, 2, 2), (double[]){5421.5, 6532.5, 8754.5, 9865.5});

    check_case(2, "depthwise, stride 2, asymmetric padding behind as TensorFlow's SAME");
    window = window_2d(2, 0, 1);
    window.pad_end[1] = window.pad_end[2] = 1;
    assert_conv(CHECK_SHAPE(1, 2, 2, 2), (double[]){1, 2, 3, 4, 5, 6, 7, 8}, CHECK_SHAPE(2, 1, 3, 3),
                (double[]){1, 2, 3, 4, 5, 6, 7, 8, 9, 9, 8, 7, 6, 5, 4, 3, 2, 1}, NULL, &window, 2,
                CHECK_SHAPE(1, 2, 1, 1), (double[]){1 + 4 + 12 + 20, 45 + 48 + 42 + 40});

    check_case(3, "dilation 2");
    window = window_2d(1, 0, 2);
    assert_conv(CHECK_SHAPE(1, 1, 3, 3), image, CHECK_SHAPE(1, 1, 2, 2), (double[]){1, 10, 100, 1000}, NULL, &window, 1,
                CHECK_SHAPE(1, 1, 1, 1), (double[]){1 + 30 + 700 + 9000});

    check_case(4, "two channels, two outputs");
    window = window_2d(1, 0, 1);
    assert_conv(CHECK_SHAPE(1, 2, 1, 2), (double[]){1, 2, 3, 4}, CHECK_SHAPE(2, 2, 1, 1), (double[]){1, 10, -1, 2},
                (double[]){0, 7}, &window, 1, CHECK_SHAPE(1, 2, 1, 2), (double[]){31, 42, 12, 13});
}

/** Large terms that cancel leave the small one: nothing is summed in float32. */
static void test_accumulates_in_double(void)
{
    GpudlWindow window = window_2d(1, 0, 1);

    check_case(0, "cancellation");
    assert_conv(CHECK_SHAPE(1, 3, 1, 1), (double[]){16777216, 1, -16777216}, CHECK_SHAPE(1, 3, 1, 1),
                (double[]){1, 1, 1}, NULL, &window, 1, CHECK_SHAPE(1, 1, 1, 1), (double[]){1});
}

static void test_extremes(void)
{
    GpudlWindow window = window_2d(1, 0, 1);

    check_case(0, "infinities, NaN, subnormals, overflow on store");
    assert_conv(CHECK_SHAPE(1, 1, 1, 6), (double[]){INFINITY, -INFINITY, NAN, 0x1p-140, 3e38, 0},
                CHECK_SHAPE(1, 1, 1, 1), (double[]){2}, NULL, &window, 1, CHECK_SHAPE(1, 1, 1, 6),
                (double[]){INFINITY, -INFINITY, NAN, 0x1p-139, INFINITY, 0});
}

static void test_refuses(void)
{
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 4, 3, 3));
    g_autoptr(CheckTensor) w = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 4, 1, 1));
    g_autoptr(CheckTensor) wide = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 3, 1, 1));
    g_autoptr(CheckTensor) half = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(2, 4, 1, 1));
    g_autoptr(CheckTensor) bytes = check_tensor(GPUDL_DTYPE_I8, CHECK_SHAPE(1, 4, 3, 3));
    g_autoptr(CheckTensor) bias = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 2, 3, 3));
    g_autoptr(CheckTensor) flat = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 2, 9));
    g_autoptr(CheckTensor) y_bytes = check_tensor(GPUDL_DTYPE_I8, CHECK_SHAPE(1, 2, 3, 3));
    GpudlWindow window = window_2d(1, 0, 1), no_stride = window_2d(0, 0, 1);
    const struct {
        const CheckTensor *x, *w, *bias, *residual, *y;
        const GpudlWindow *window;
        int group, status;
    } cases[] = {
        {x, half, NULL, NULL, y, &window, 1, GPUDL_KERNEL_DTYPE},
        {bytes, w, NULL, NULL, y_bytes, &window, 1, GPUDL_KERNEL_DTYPE},
        {x, wide, NULL, NULL, y, &window, 1, GPUDL_KERNEL_SHAPE},
        {x, w, bias, NULL, y, &window, 1, GPUDL_KERNEL_SHAPE},
        {x, w, NULL, flat, y, &window, 1, GPUDL_KERNEL_SHAPE},
        {x, w, NULL, NULL, flat, &window, 1, GPUDL_KERNEL_SHAPE},
        {x, w, NULL, NULL, y, &window, 2, GPUDL_KERNEL_SHAPE},
        {x, w, NULL, NULL, y, &window, 0, GPUDL_KERNEL_SHAPE},
        {x, w, NULL, NULL, y, &no_stride, 1, GPUDL_KERNEL_SHAPE},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        check_case(i, "refused");
        check_status(gpudl_conv_ref(&cases[i].x->view, &cases[i].w->view, cases[i].bias ? &cases[i].bias->view : NULL,
                                    cases[i].residual ? &cases[i].residual->view : NULL, cases[i].window,
                                    cases[i].group, &none, &cases[i].y->view, NULL),
                     cases[i].status);
    }
}

static void test_empty(void)
{
    GpudlWindow window = window_2d(1, 0, 1);

    check_case(0, "no images; no input channels leave the bias");
    assert_conv(CHECK_SHAPE(0, 1, 2, 2), NULL, CHECK_SHAPE(1, 1, 1, 1), (double[]){1}, NULL, &window, 1,
                CHECK_SHAPE(0, 1, 2, 2), NULL);
    assert_conv(CHECK_SHAPE(1, 0, 1, 2), NULL, CHECK_SHAPE(1, 0, 1, 1), NULL, (double[]){4}, &window, 1,
                CHECK_SHAPE(1, 1, 1, 2), (double[]){4, 4});
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/conv/by-hand", test_by_hand);
    g_test_add_func("/conv/accumulates-in-double", test_accumulates_in_double);
    g_test_add_func("/conv/extremes", test_extremes);
    g_test_add_func("/conv/refuses", test_refuses);
    g_test_add_func("/conv/empty", test_empty);
    g_test_add_data_func("/conv/random/1d", GINT_TO_POINTER(1), test_random);
    g_test_add_data_func("/conv/random/2d", GINT_TO_POINTER(2), test_random);
    g_test_add_data_func("/conv/random/3d", GINT_TO_POINTER(3), test_random);
    return g_test_run();
}
