/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pooling against cases worked by hand (ONNX's and PyTorch's documented rules) and a walk over the padded input. */
#include <math.h>
#include <string.h>

#include "kernels/pool.h"
#include "tests/kernels/check.h"

static GpudlWindow window_1d(int kernel, int stride, int pad_begin, int pad_end)
{
    return (GpudlWindow){.n_spatial = 1,
                         .kernel = {1, 1, kernel},
                         .stride = {1, 1, stride},
                         .pad_begin = {0, 0, pad_begin},
                         .pad_end = {0, 0, pad_end},
                         .dilation = {1, 1, 1}};
}

typedef struct {
    GpudlPoolKind kind;
    GpudlWindow w;
    gint64 in[3], out[3];
    const CheckTensor *x;
} Problem;

static double define(const Problem *p, gint64 plane, const gint64 at[3])
{
    const gint64 in_size = p->in[0] * p->in[1] * p->in[2];
    double sum = 0, max = -INFINITY;
    gint64 inside = 0, padded = 0;

    for (gint64 r0 = 0; r0 < p->w.kernel[0]; r0++)
        for (gint64 r1 = 0; r1 < p->w.kernel[1]; r1++)
            for (gint64 r2 = 0; r2 < p->w.kernel[2]; r2++) {
                const gint64 r[3] = {r0, r1, r2};
                gint64 i[3];
                gboolean in = TRUE, in_padding = TRUE;

                for (int d = 0; d < 3; d++) {
                    i[d] = at[d] * p->w.stride[d] - p->w.pad_begin[d] + r[d] * p->w.dilation[d];
                    in = in && i[d] >= 0 && i[d] < p->in[d];
                    in_padding = in_padding && i[d] < p->in[d] + p->w.pad_end[d];
                }
                padded += in_padding;
                if (in) {
                    double v = check_get(p->x, plane * in_size + (i[0] * p->in[1] + i[1]) * p->in[2] + i[2]);

                    inside++;
                    sum += v;
                    max = v > max ? v : max;
                }
            }
    if (p->kind == GPUDL_POOL_MAX)
        return max;
    if (p->kind == GPUDL_POOL_AVERAGE_PAD)
        return padded ? sum / (double)padded : 0;
    return inside ? sum / (double)inside : 0;
}

static void test_random(gconstpointer user_data)
{
    const int n_spatial = GPOINTER_TO_INT(user_data);

    for (guint number = 0; number < 150; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree double *expected = NULL;
        GpudlShape xs = {.rank = n_spatial + 2, .dims = {check_int(1, 2), check_int(1, 3)}}, ys;
        gint64 size;
        Problem p = {0};

        check_case(number, "%d-d", n_spatial);
        p.kind = (GpudlPoolKind)check_int(0, 2);
        p.w.n_spatial = n_spatial;
        xs.dims[0] = check_int(1, 2);
        xs.dims[1] = check_int(1, 3);
        ys = xs;
        for (int d = 0; d < 3; d++) {
            gboolean real = d >= 3 - n_spatial, ceil_mode;
            gint64 reach, padded;

            p.w.kernel[d] = real ? (int32_t)check_int(1, 4) : 1;
            p.w.stride[d] = real ? (int32_t)check_int(1, 3) : 1;
            p.w.dilation[d] = real ? (int32_t)check_int(1, 2) : 1;
            p.w.pad_begin[d] = real ? (int32_t)check_int(0, 3) : 0;
            p.w.pad_end[d] = real ? (int32_t)check_int(0, 3) : 0;
            ceil_mode = check_int(0, 1);
            reach = (gint64)(p.w.kernel[d] - 1) * p.w.dilation[d] + 1;
            p.in[d] = real ? check_int(1, n_spatial == 1 ? 300 : 9) : 1;
            p.in[d] = MAX(p.in[d], reach - p.w.pad_begin[d] - p.w.pad_end[d]);
            padded = p.in[d] + p.w.pad_begin[d] + p.w.pad_end[d];
            p.out[d] = (padded - reach + (ceil_mode ? p.w.stride[d] - 1 : 0)) / p.w.stride[d] + 1;
            if (real) {
                check_note(", in %d kernel %d stride %d pads %d %d dilation %d out %d", (int)p.in[d], p.w.kernel[d],
                           p.w.stride[d], p.w.pad_begin[d], p.w.pad_end[d], p.w.dilation[d], (int)p.out[d]);
                xs.dims[2 + d - (3 - n_spatial)] = p.in[d];
                ys.dims[2 + d - (3 - n_spatial)] = p.out[d];
            }
        }
        check_note(", kind %d", p.kind);
        p.x = x = check_tensor_random(number % 2 ? GPUDL_DTYPE_F32 : check_float_type(), xs, -2, 2);
        y = check_tensor(x->view.dtype, ys);
        check_status(gpudl_pool_ref(p.kind, &x->view, &p.w, &y->view, NULL), GPUDL_KERNEL_OK);
        size = p.out[0] * p.out[1] * p.out[2];
        expected = g_new(double, check_elements(y));
        for (gint64 i = 0; i < check_elements(y); i++) {
            gint64 at = i % size;

            expected[i] =
                define(&p, i / size, (gint64[]){at / p.out[2] / p.out[1], at / p.out[2] % p.out[1], at % p.out[2]});
        }
        check_close(y, expected, 1e-13);
    }
}

static void assert_pool(GpudlPoolKind kind, gint64 n, const double *xv, const GpudlWindow *w, gint64 out,
                        const double *expected)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 1, n), xv);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 1, out));

    check_status(gpudl_pool_ref(kind, &x->view, w, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, expected, 0);
}

static void test_by_hand(void)
{
    const double v[] = {1, 2, 3, 4, 6};
    GpudlWindow w = window_1d(3, 2, 1, 1);

    check_case(0, "maximum: padding does not take part");
    assert_pool(GPUDL_POOL_MAX, 5, (double[]){-1, -2, -3, -4, -6}, &w, 3, (double[]){-1, -2, -4});
    check_case(1, "average without padding");
    assert_pool(GPUDL_POOL_AVERAGE, 5, v, &w, 3, (double[]){1.5, 3, 5});
    check_case(2, "average with padding");
    assert_pool(GPUDL_POOL_AVERAGE_PAD, 5, v, &w, 3, (double[]){1, 3, 10. / 3});
    check_case(3, "rounded up: what lies beyond the padding does not count");
    /* windows 0..2, 2..4, 4..6: the last reaches 2 beyond; PyTorch divides by 1 */
    w = window_1d(3, 2, 0, 0);
    assert_pool(GPUDL_POOL_AVERAGE_PAD, 5, v, &w, 3, (double[]){2, 13. / 3, 6});
    assert_pool(GPUDL_POOL_MAX, 5, v, &w, 3, (double[]){3, 6, 6});
    check_case(4, "end padding counts, beyond it does not");
    w = window_1d(3, 2, 0, 1);
    assert_pool(GPUDL_POOL_AVERAGE_PAD, 5, v, &w, 3, (double[]){2, 13. / 3, 3});
}

static void test_extremes(void)
{
    const double v[] = {NAN, 1, INFINITY, -INFINITY, -INFINITY, 0x1p-149};
    GpudlWindow w = window_1d(2, 2, 0, 0);

    check_case(0, "NaN and infinities");
    assert_pool(GPUDL_POOL_MAX, 6, v, &w, 3, (double[]){NAN, INFINITY, 0x1p-149});
    assert_pool(GPUDL_POOL_AVERAGE, 6, v, &w, 3, (double[]){NAN, NAN, -INFINITY});
    check_case(1, "NaN behind a larger value");
    assert_pool(GPUDL_POOL_MAX, 2, (double[]){5, NAN}, &w, 1, (double[]){NAN});
    check_case(2, "windows of padding alone");
    w = window_1d(1, 1, 2, 0);
    assert_pool(GPUDL_POOL_MAX, 1, (double[]){7}, &w, 3, (double[]){-INFINITY, -INFINITY, 7});
    assert_pool(GPUDL_POOL_AVERAGE, 1, (double[]){7}, &w, 3, (double[]){0, 0, 7});
    check_case(3, "a window far larger than the input takes no longer than the input");
    w = window_1d(1 << 24, 1 << 20, 1 << 23, 1 << 23);
    assert_pool(GPUDL_POOL_MAX, 3, v + 3, &w, 1, (double[]){0x1p-149});
}

static void test_integers(void)
{
    const struct {
        GpudlDType dtype;
        gint64 values[4], expected[2];
    } cases[] = {
        {GPUDL_DTYPE_I8, {-128, -128, -3, 127}, {-128, 127}},
        {GPUDL_DTYPE_U8, {0, 255, 1, 0}, {255, 1}},
        {GPUDL_DTYPE_I64, {G_MININT64, G_MININT64 + 1, G_MAXINT64, 0}, {G_MININT64 + 1, G_MAXINT64}},
        {GPUDL_DTYPE_U64, {-1, 1, 5, 7}, {-1, 7}},
    };
    GpudlWindow w = window_1d(2, 2, 0, 0);

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CheckTensor) x = check_tensor(cases[i].dtype, CHECK_SHAPE(1, 1, 4));
        g_autoptr(CheckTensor) y = check_tensor(cases[i].dtype, CHECK_SHAPE(1, 1, 2));

        check_case(i, "maximum of integers");
        for (int j = 0; j < 4; j++)
            check_set_int(x, j, cases[i].values[j]);
        check_status(gpudl_pool_ref(GPUDL_POOL_MAX, &x->view, &w, &y->view, NULL), GPUDL_KERNEL_OK);
        check_equal_int(y, cases[i].expected);
        check_status(gpudl_pool_ref(GPUDL_POOL_AVERAGE, &x->view, &w, &y->view, NULL), GPUDL_KERNEL_DTYPE);
    }
}

static void assert_indices(gint64 h, gint64 w, const double *values, const GpudlWindow *window, GpudlShape out,
                           int column_major, const gint64 *expected)
{
    static const GpudlDType types[] = {GPUDL_DTYPE_F32, GPUDL_DTYPE_F16, GPUDL_DTYPE_F64};

    for (guint i = 0; i < G_N_ELEMENTS(types); i++) {
        g_autoptr(CheckTensor) x = check_tensor_of(types[i], CHECK_SHAPE(1, 2, h, w), values);
        g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_I64, out);

        check_status(gpudl_pool_indices_ref(&x->view, window, column_major, &y->view, NULL), GPUDL_KERNEL_OK);
        check_equal_int(y, expected);
    }
}

static void test_indices_by_hand(void)
{
    const double v[] = {1, 5, 3, 2, 4, 6, /* */ 7, 7, 7, -INFINITY, -INFINITY, NAN};
    const GpudlWindow w = {2, {1, 2, 2}, {1, 1, 1}, {0, 0, 0}, {0, 0, 0}, {1, 1, 1}};
    const GpudlWindow padded = {2, {1, 2, 2}, {1, 2, 3}, {0, 1, 1}, {0, 1, 0}, {1, 1, 1}};
    const GpudlWindow alone = {2, {1, 1, 1}, {1, 1, 1}, {0, 0, 1}, {0, 0, 0}, {1, 1, 1}};

    check_case(0, "rows of 3: the first of equals, NaN before all");
    assert_indices(2, 3, v, &w, CHECK_SHAPE(1, 2, 1, 2), 0, (gint64[]){1, 5, 6, 11});
    check_case(1, "columns of 2");
    assert_indices(2, 3, v, &w, CHECK_SHAPE(1, 2, 1, 2), 1, (gint64[]){2, 5, 6, 11});
    check_case(2, "padding is not counted");
    assert_indices(2, 3, v, &padded, CHECK_SHAPE(1, 2, 2, 1), 0, (gint64[]){0, 3, 6, 9});
    check_case(3, "padding alone");
    assert_indices(2, 1, (double[]){3, 4, 5, 6}, &alone, CHECK_SHAPE(1, 2, 2, 2), 0,
                   (gint64[]){-1, 0, -1, 1, -1, 2, -1, 3});
}

/** Indices against their definition: the maximum lies there, inside the window's rows, and none before it. */
static void test_indices_random(void)
{
    for (guint number = 0; number < 100; number++) {
        const GpudlDType dtype = number % 2 ? check_integer_type() : check_float_type();
        GpudlShape xs = {5, {2, 2, 1 + number % 4, 3 + number % 5, 4}}, ys = xs;
        GpudlWindow w = {3, {1, 2, 2}, {1, 1, 2}, {0, 0, 0}, {0, 0, 0}, {1, 2, 1}};
        g_autoptr(CheckTensor) x = NULL, y = NULL, row = NULL, column = NULL;
        const gint64 size = xs.dims[2] * xs.dims[3] * xs.dims[4];

        check_case(number, "%s", gpudl_dtype_name(dtype));
        ys.dims[3] = xs.dims[3] - 2;
        ys.dims[4] = 2;
        x = check_tensor_random(dtype, xs, -2, 2);
        y = check_tensor(dtype, ys);
        row = check_tensor(GPUDL_DTYPE_I64, ys);
        column = check_tensor(GPUDL_DTYPE_I64, ys);
        check_status(gpudl_pool_ref(GPUDL_POOL_MAX, &x->view, &w, &y->view, NULL), GPUDL_KERNEL_OK);
        check_status(gpudl_pool_indices_ref(&x->view, &w, 0, &row->view, NULL), GPUDL_KERNEL_OK);
        check_status(gpudl_pool_indices_ref(&x->view, &w, 1, &column->view, NULL), GPUDL_KERNEL_OK);
        for (gint64 i = 0; i < check_elements(y); i++) {
            const gint64 index = check_get_int(row, i);
            gint64 at[GPUDL_MAX_RANK], to[GPUDL_MAX_RANK];

            g_assert_cmpint(index, >=, 0);
            g_assert_cmpint(index, <, check_elements(x));
            check_unravel(&xs, index, at);
            check_unravel(&ys, i, to);
            for (int d = 0; d < 3; d++)
                g_assert_cmpint(at[d], ==, to[d]);
            g_assert_true(at[3] == to[3] || at[3] == to[3] + 2);
            g_assert_true(at[4] == 2 * to[4] || at[4] == 2 * to[4] + 1);
            if (memcmp((guint8 *)x->view.data + (gsize)index * gpudl_dtype_size(dtype),
                       (guint8 *)y->view.data + (gsize)i * gpudl_dtype_size(dtype), gpudl_dtype_size(dtype)) != 0)
                check_fail("output %d: element %d is no maximum", (int)i, (int)index);
            g_assert_cmpint(check_get_int(column, i), ==,
                            index / size * size + at[2] + xs.dims[2] * (at[3] + xs.dims[3] * at[4]));
        }
    }
}

static void test_indices_statuses(void)
{
    const GpudlWindow w = window_1d(2, 2, 0, 0);
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 1, 4));
    g_autoptr(CheckTensor) narrow = check_tensor(GPUDL_DTYPE_F8E5M2, CHECK_SHAPE(1, 1, 4));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_I64, CHECK_SHAPE(1, 1, 2));
    g_autoptr(CheckTensor) short_indices = check_tensor(GPUDL_DTYPE_I32, CHECK_SHAPE(1, 1, 2));
    g_autoptr(CheckTensor) channels = check_tensor(GPUDL_DTYPE_I64, CHECK_SHAPE(1, 2, 2));

    check_case(0, "refused");
    check_status(gpudl_pool_indices_ref(&x->view, &w, 0, &short_indices->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_pool_indices_ref(&narrow->view, &w, 0, &y->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_pool_indices_ref(&x->view, &w, 0, &channels->view, NULL), GPUDL_KERNEL_SHAPE);
}

static void test_global(void)
{
    g_autoptr(CheckTensor) x =
        check_tensor_of(GPUDL_DTYPE_F16, CHECK_SHAPE(1, 2, 2, 2), (double[]){1, 2, 3, 6, -1, -2, NAN, -4});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(1, 2, 1, 1));
    g_autoptr(CheckTensor) empty = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(1, 2, 0, 2));
    g_autoptr(CheckTensor) large = check_tensor_random(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 1, 1000), -1, 1);
    g_autoptr(CheckTensor) y1 = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 1, 1));
    double sum = 0, max = -1;

    check_case(0, "global");
    check_status(gpudl_global_pool_ref(GPUDL_POOL_AVERAGE, &x->view, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){3, NAN}, 0);
    check_status(gpudl_global_pool_ref(GPUDL_POOL_MAX, &x->view, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){6, NAN}, 0);
    check_status(gpudl_global_pool_ref(GPUDL_POOL_AVERAGE, &empty->view, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){NAN, NAN}, 0);
    check_status(gpudl_global_pool_ref(GPUDL_POOL_AVERAGE, &x->view, &y1->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_global_pool_ref(GPUDL_POOL_AVERAGE, &x->view, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    for (int i = 0; i < 1000; i++) {
        sum += check_get(large, i);
        max = MAX(max, check_get(large, i));
    }
    check_status(gpudl_global_pool_ref(GPUDL_POOL_AVERAGE, &large->view, &y1->view, NULL), GPUDL_KERNEL_OK);
    check_close(y1, (double[]){sum / 1000}, 1e-15);
    check_status(gpudl_global_pool_ref(GPUDL_POOL_MAX, &large->view, &y1->view, NULL), GPUDL_KERNEL_OK);
    check_close(y1, &max, 0);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/pool/by-hand", test_by_hand);
    g_test_add_func("/pool/extremes", test_extremes);
    g_test_add_func("/pool/integers", test_integers);
    g_test_add_func("/pool/indices/by-hand", test_indices_by_hand);
    g_test_add_func("/pool/indices/random", test_indices_random);
    g_test_add_func("/pool/indices/statuses", test_indices_statuses);
    g_test_add_func("/pool/global", test_global);
    g_test_add_data_func("/pool/random/1d", GINT_TO_POINTER(1), test_random);
    g_test_add_data_func("/pool/random/2d", GINT_TO_POINTER(2), test_random);
    g_test_add_data_func("/pool/random/3d", GINT_TO_POINTER(3), test_random);
    return g_test_run();
}
