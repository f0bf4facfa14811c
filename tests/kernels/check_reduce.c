/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Reductions against a scatter over coordinates. */
#include <math.h>

#include "kernels/reduce.h"
#include "tests/kernels/check.h"

typedef struct {
    GpudlReduceKind kind;
    GpudlShape x, kept; /* kept: reduced dimensions are 1 */
    gint32 axes[GPUDL_MAX_RANK], n_axes;
    gint64 count;
} Problem;

/** Random shape, kind and axes, in any order. */
static Problem make_problem(void)
{
    Problem p = {.kind = (GpudlReduceKind)check_int(0, GPUDL_REDUCE_LAST), .x = check_shape(0, 6, 3), .count = 1};

    if (p.x.rank > 0 && p.x.rank < 3 && check_int(0, 2) == 0)
        p.x.dims[check_int(0, p.x.rank - 1)] = check_int(250, 300);
    p.kept = p.x;
    for (int i = 0; i < p.x.rank; i++)
        if (check_int(0, 1))
            p.axes[p.n_axes++] = i;
    for (int i = p.n_axes - 1; i > 0; i--) {
        int j = (int)check_int(0, i), swap = p.axes[i];

        p.axes[i] = p.axes[j];
        p.axes[j] = swap;
    }
    for (int i = 0; i < p.x.rank; i++) {
        gboolean reduced = p.n_axes == 0;

        for (int j = 0; j < p.n_axes; j++)
            reduced = reduced || p.axes[j] == i;
        if (reduced) {
            p.count *= p.x.dims[i];
            p.kept.dims[i] = 1;
        }
    }
    check_note(", kind %d rank %d axes %d (%d %d ...) of %d", p.kind, p.x.rank, p.n_axes, p.axes[0], p.axes[1],
               (int)p.count);
    return p;
}

static void test_random(void)
{
    static const double start[] = {0, 0, -INFINITY, INFINITY, 1};

    for (guint number = 0; number < 300; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree double *expected = NULL;
        Problem p;

        check_case(number, "reduce");
        p = make_problem();
        /* products of hundreds of factors must neither vanish nor explode */
        x = check_tensor_random(number % 2 ? GPUDL_DTYPE_F32 : check_float_type(), p.x,
                                p.kind == GPUDL_REDUCE_PROD ? 0.99 : -2, p.kind == GPUDL_REDUCE_PROD ? 1.01 : 2);
        y = check_tensor(x->view.dtype, p.kept);
        check_status(gpudl_reduce_ref(p.kind, &x->view, p.axes, p.n_axes, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(double, check_elements(y));
        for (gint64 i = 0; i < check_elements(y); i++)
            expected[i] = start[p.kind];
        for (gint64 i = 0; i < check_elements(x); i++) {
            double *e = &expected[check_broadcast(&p.x, i, &p.kept)], v = check_get(x, i);

            *e = p.kind == GPUDL_REDUCE_MAX    ? MAX(*e, v)
                 : p.kind == GPUDL_REDUCE_MIN  ? MIN(*e, v)
                 : p.kind == GPUDL_REDUCE_PROD ? *e * v
                                               : *e + v;
        }
        for (gint64 i = 0; i < check_elements(y) && p.kind == GPUDL_REDUCE_MEAN; i++)
            expected[i] /= (double)p.count;
        check_close(y, expected, 1e-12);
    }
}

static void test_integers_random(void)
{
    for (guint number = 0; number < 200; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree gint64 *expected = NULL;
        gboolean is_u64;
        Problem p;

        check_case(number, "integers");
        p = make_problem();
        x = check_tensor_random(check_integer_type(), p.x, 0, 0);
        is_u64 = x->view.dtype == GPUDL_DTYPE_U64;
        for (gint64 i = 0; i < check_elements(x) && is_u64; i++)
            check_set_int(x, i, (gint64)check_bits());
        y = check_tensor(x->view.dtype, p.kept);
        check_status(gpudl_reduce_ref(p.kind, &x->view, p.axes, p.n_axes, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(gint64, check_elements(y));
        for (gint64 i = 0; i < check_elements(y); i++) {
            unsigned __int128 sum = 0, product = 1;
            __int128 max = 0, min = 0;
            gboolean first = TRUE;

            for (gint64 j = 0; j < check_elements(x); j++) {
                gint64 raw = check_get_int(x, j);
                __int128 v = is_u64 ? (__int128)(guint64)raw : raw;

                if (check_broadcast(&p.x, j, &p.kept) != i)
                    continue;
                sum += (unsigned __int128)v;
                product *= (unsigned __int128)v;
                max = first || v > max ? v : max;
                min = first || v < min ? v : min;
                first = FALSE;
            }
            expected[i] = (gint64)(guint64)(p.kind == GPUDL_REDUCE_MAX    ? (unsigned __int128)max
                                            : p.kind == GPUDL_REDUCE_MIN  ? (unsigned __int128)min
                                            : p.kind == GPUDL_REDUCE_PROD ? product
                                                                          : sum);
            if (p.kind == GPUDL_REDUCE_MEAN)
                expected[i] = is_u64 ? (gint64)((guint64)expected[i] / (guint64)p.count) : expected[i] / p.count;
        }
        check_equal_int(y, expected);
    }
}

static void test_by_hand(void)
{
    const double v[] = {1, 2, 3, 4, 5, 9};
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 3), v);
    g_autoptr(CheckTensor) rows = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2));
    g_autoptr(CheckTensor) columns = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 3));
    g_autoptr(CheckTensor) all = check_tensor(GPUDL_DTYPE_F32, CHECK_SCALAR);
    g_autoptr(CheckTensor) i8 = check_tensor_of(GPUDL_DTYPE_I8, CHECK_SHAPE(2), (double[]){-3, -4});
    g_autoptr(CheckTensor) i8_mean = check_tensor(GPUDL_DTYPE_I8, CHECK_SCALAR);

    check_case(0, "rows, columns, all");
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_MEAN, &x->view, (gint32[]){1}, 1, &rows->view, NULL), GPUDL_KERNEL_OK);
    check_close(rows, (double[]){2, 6}, 0);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_PROD, &x->view, (gint32[]){0}, 1, &columns->view, NULL),
                 GPUDL_KERNEL_OK);
    check_close(columns, (double[]){4, 10, 27}, 0);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_SUM, &x->view, NULL, 0, &all->view, NULL), GPUDL_KERNEL_OK);
    check_close(all, (double[]){24}, 0);
    check_case(1, "mean of integers truncates");
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_MEAN, &i8->view, NULL, 0, &i8_mean->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(i8_mean, (gint64[]){-3});
    check_case(2, "refused");
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_SUM, &x->view, (gint32[]){2}, 1, &all->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_SUM, &x->view, (gint32[]){-1}, 1, &rows->view, NULL),
                 GPUDL_KERNEL_SHAPE);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_SUM, &x->view, (gint32[]){0, 0}, 2, &rows->view, NULL),
                 GPUDL_KERNEL_SHAPE);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_SUM, &x->view, (gint32[]){0}, 1, &rows->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_SUM, &x->view, NULL, 0, &i8_mean->view, NULL), GPUDL_KERNEL_DTYPE);
}

static void test_extremes(void)
{
    g_autoptr(CheckTensor) x =
        check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(3, 2), (double[]){NAN, 5, INFINITY, -INFINITY, 3e38, 3e38});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3));

    check_case(0, "NaN, infinities, overflow");
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_MAX, &x->view, (gint32[]){1}, 1, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){NAN, INFINITY, 3e38f}, 0);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_MIN, &x->view, (gint32[]){1}, 1, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){NAN, -INFINITY, 3e38f}, 0);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_SUM, &x->view, (gint32[]){1}, 1, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){NAN, NAN, INFINITY}, 0);
    check_status(gpudl_reduce_ref(GPUDL_REDUCE_MEAN, &x->view, (gint32[]){1}, 1, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){NAN, NAN, 3e38f}, 0);
}

static void test_empty(void)
{
    static const double expected[] = {NAN, 0, -INFINITY, INFINITY, 1};
    static const gint64 whole[] = {0, 0, G_MININT16, G_MAXINT16, 1};
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 0));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1));
    g_autoptr(CheckTensor) none = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(0));
    g_autoptr(CheckTensor) ix = check_tensor(GPUDL_DTYPE_I16, CHECK_SHAPE(1, 0));
    g_autoptr(CheckTensor) iy = check_tensor(GPUDL_DTYPE_I16, CHECK_SHAPE(1));

    for (int kind = 0; kind <= GPUDL_REDUCE_LAST; kind++) {
        check_case((guint)kind, "nothing to reduce, kind %d", kind);
        check_status(gpudl_reduce_ref((GpudlReduceKind)kind, &x->view, (gint32[]){1}, 1, &y->view, NULL),
                     GPUDL_KERNEL_OK);
        check_close(y, &expected[kind], 0);
        check_status(gpudl_reduce_ref((GpudlReduceKind)kind, &x->view, (gint32[]){0}, 1, &none->view, NULL),
                     GPUDL_KERNEL_OK);
        check_status(gpudl_reduce_ref((GpudlReduceKind)kind, &ix->view, (gint32[]){1}, 1, &iy->view, NULL),
                     kind == GPUDL_REDUCE_MEAN ? GPUDL_KERNEL_DIVIDE : GPUDL_KERNEL_OK);
        if (kind != GPUDL_REDUCE_MEAN)
            check_equal_int(iy, &whole[kind]);
    }
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/reduce/by-hand", test_by_hand);
    g_test_add_func("/reduce/extremes", test_extremes);
    g_test_add_func("/reduce/empty", test_empty);
    g_test_add_func("/reduce/random", test_random);
    g_test_add_func("/reduce/integers-random", test_integers_random);
    return g_test_run();
}
