/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batched matrix products against cases worked by hand and numpy's rule, element by element. */
#include <math.h>

#include "kernels/matmul.h"
#include "tests/kernels/check.h"

static const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};

/** y[...][i][j] = sum over l of a[...][i][l] b[...][l][j], the batch coordinates broadcast by hand. */
static double define(const CheckTensor *a, const CheckTensor *b, const GpudlShape *batch, gint64 at, gint64 i, gint64 j)
{
    const GpudlShape *as = &a->view.shape, *bs = &b->view.shape;
    const gint64 k = as->dims[as->rank - 1];
    const gint64 columns = bs->rank > 1 ? bs->dims[bs->rank - 1] : 1, rows = as->rank > 1 ? as->dims[as->rank - 2] : 1;
    GpudlShape ab = {.rank = MAX(as->rank - 2, 0)}, bb = {.rank = MAX(bs->rank - 2, 0)};
    double sum = 0;

    for (int d = 0; d < ab.rank; d++)
        ab.dims[d] = as->dims[d];
    for (int d = 0; d < bb.rank; d++)
        bb.dims[d] = bs->dims[d];
    for (gint64 l = 0; l < k; l++)
        sum += check_get(a, (check_broadcast(batch, at, &ab) * rows + i) * k + l) *
               check_get(b, (check_broadcast(batch, at, &bb) * k + l) * columns + j);
    return sum;
}

static GpudlShape join(const GpudlShape *batch, gint64 rows, gint64 columns)
{
    GpudlShape shape = *batch;

    if (rows >= 0)
        shape.dims[shape.rank++] = rows;
    if (columns >= 0)
        shape.dims[shape.rank++] = columns;
    return shape;
}

static void test_random(void)
{
    for (guint number = 0; number < 200; number++) {
        g_autoptr(CheckTensor) a = NULL, b = NULL, y = NULL;
        g_autofree double *expected = NULL;
        GpudlShape batch, ab, bb;
        gint64 m, n, k, index = 0;
        GpudlDType dtype;
        gboolean a_row, b_column;

        check_case(number, "matmul");
        dtype = number % 2 ? GPUDL_DTYPE_F32 : check_float_type();
        batch = check_shape(0, 4, 3);
        m = check_int(1, 4);
        n = check_int(0, 4) == 0 ? check_int(63, 66) : check_int(1, 4);
        k = check_int(0, 4) == 0 ? check_int(255, 258) : check_int(0, 5);
        a_row = check_int(0, 4) == 0;
        b_column = check_int(0, 4) == 0;
        ab = a_row ? CHECK_SCALAR : check_narrowed(&batch);
        bb = b_column ? CHECK_SCALAR : batch;
        if (b_column)
            batch = ab;
        check_note(", %s batch rank %d m %d n %d k %d, a %s, b %s", gpudl_dtype_name(dtype), batch.rank, (int)m, (int)n,
                   (int)k, a_row ? "row" : "matrix", b_column ? "column" : "matrix");
        a = check_tensor_random(dtype, join(&ab, a_row ? -1 : m, k), -2, 2);
        b = check_tensor_random(dtype, join(&bb, k, b_column ? -1 : n), -2, 2);
        y = check_tensor(dtype, join(&batch, a_row ? -1 : m, b_column ? -1 : n));
        check_status(gpudl_matmul_ref(&a->view, &b->view, &none, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(double, check_elements(y));
        for (gint64 at = 0; at < gpudl_shape_elements(&batch); at++)
            for (gint64 i = 0; i < (a_row ? 1 : m); i++)
                for (gint64 j = 0; j < (b_column ? 1 : n); j++)
                    expected[index++] = define(a, b, &batch, at, i, j);
        g_assert_cmpint(index, ==, check_elements(y));
        check_close(y, expected, 1e-12);
    }
}

static void test_integers(void)
{
    g_autoptr(CheckTensor) a = check_tensor_of(GPUDL_DTYPE_I64, CHECK_SHAPE(2), (double[]){0x1p62, 3});
    g_autoptr(CheckTensor) b = check_tensor_of(GPUDL_DTYPE_I64, CHECK_SHAPE(2, 2), (double[]){4, 1, -1, 2});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_I64, CHECK_SHAPE(2));

    check_case(0, "int64 wraps");
    check_status(gpudl_matmul_ref(&a->view, &b->view, &none, &y->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(y, (gint64[]){-3, (G_GINT64_CONSTANT(1) << 62) + 6});
}

static void test_by_hand(void)
{
    g_autoptr(CheckTensor) row = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2), (double[]){1, 2});
    g_autoptr(CheckTensor) m =
        check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 2, 2), (double[]){1, 2, 3, 4, 5, 6, 7, 8});
    g_autoptr(CheckTensor) scalar = check_tensor(GPUDL_DTYPE_F32, CHECK_SCALAR);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 2));
    g_autoptr(CheckTensor) y222 = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 2, 2));
    GpudlAct relu = {GPUDL_ACT_CLIP, 0, 20};

    check_case(0, "row by matrices");
    check_status(gpudl_matmul_ref(&row->view, &m->view, &none, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){7, 10, 19, 22}, 0);
    check_case(1, "matrices by column");
    check_status(gpudl_matmul_ref(&m->view, &row->view, &none, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){5, 11, 17, 23}, 0);
    check_case(2, "row by column: a scalar");
    check_status(gpudl_matmul_ref(&row->view, &row->view, &none, &scalar->view, NULL), GPUDL_KERNEL_OK);
    check_close(scalar, (double[]){5}, 0);
    check_case(3, "activation");
    check_status(gpudl_matmul_ref(&m->view, &m->view, &relu, &y222->view, NULL), GPUDL_KERNEL_OK);
    check_close(y222, (double[]){7, 10, 15, 20, 20, 20, 20, 20}, 0);
    check_case(4, "refused");
    check_status(gpudl_matmul_ref(&scalar->view, &m->view, &none, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_matmul_ref(&m->view, &m->view, &none, &y->view, NULL), GPUDL_KERNEL_SHAPE);
}

static void test_empty(void)
{
    g_autoptr(CheckTensor) a = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 0));
    g_autoptr(CheckTensor) b = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(0, 3));
    g_autoptr(CheckTensor) none_of = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(0, 3, 2));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 3));
    g_autoptr(CheckTensor) nothing = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(0, 3, 0));

    check_case(0, "no products: zeros; no matrices: nothing");
    check_status(gpudl_matmul_ref(&a->view, &b->view, &none, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){0, 0, 0, 0, 0, 0}, 0);
    check_status(gpudl_matmul_ref(&none_of->view, &a->view, &none, &nothing->view, NULL), GPUDL_KERNEL_OK);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/matmul/by-hand", test_by_hand);
    g_test_add_func("/matmul/integers", test_integers);
    g_test_add_func("/matmul/empty", test_empty);
    g_test_add_func("/matmul/random", test_random);
    return g_test_run();
}
