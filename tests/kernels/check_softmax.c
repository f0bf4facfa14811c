/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Softmax against its formula without the subtracted maximum, which small inputs allow. */
#include <math.h>

#include "kernels/softmax.h"
#include "tests/kernels/check.h"

static void assert_softmax(GpudlSoftmaxKind kind, GpudlShape shape, const double *v, int axis, int flatten,
                           const double *expected)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, shape, v);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, shape);

    check_status(gpudl_softmax_ref(kind, &x->view, axis, flatten, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, expected, 0);
    /* in place */
    check_status(gpudl_softmax_ref(kind, &x->view, axis, flatten, &x->view, NULL), GPUDL_KERNEL_OK);
    check_close(x, expected, 0);
}

static void test_by_hand(void)
{
    const double v[] = {0, log(3), log(2), 0}, ln[] = {log(0.25), log(0.75), log(2. / 3), log(1. / 3)};

    check_case(0, "rows");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2, 2), v, 1, 0, (double[]){0.25, 0.75, 2. / 3, 1. / 3});
    check_case(1, "columns");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2, 2), v, 0, 0, (double[]){1. / 3, 0.75, 2. / 3, 0.25});
    check_case(2, "all from axis 0 on");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2, 2), v, 0, 1, (double[]){1. / 7, 3. / 7, 2. / 7, 1. / 7});
    check_case(3, "logarithm, through float32 inputs");
    {
        g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F64, CHECK_SHAPE(2, 2), v);
        g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F64, CHECK_SHAPE(2, 2));

        check_status(gpudl_softmax_ref(GPUDL_LOG_SOFTMAX, &x->view, 1, 0, &y->view, NULL), GPUDL_KERNEL_OK);
        check_close(y, ln, 1e-15);
    }
}

static void test_random(void)
{
    for (guint number = 0; number < 150; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree double *expected = NULL;
        GpudlSoftmaxKind kind;
        GpudlShape shape;
        int axis, flatten;

        check_case(number, "softmax");
        kind = (GpudlSoftmaxKind)check_int(0, 1);
        shape = number % 10 ? check_shape(1, 6, 3) : check_shape(1, 2, 4);
        axis = (int)check_int(0, shape.rank - 1);
        flatten = (int)check_int(0, 1);
        if (number % 10 == 0)
            shape.dims[axis] = check_int(254, 260);
        x = check_tensor_random(number % 2 ? GPUDL_DTYPE_F32 : check_float_type(), shape, -3, 3);
        y = check_tensor(x->view.dtype, shape);
        check_note(", %s rank %d axis %d flatten %d kind %d", gpudl_dtype_name(x->view.dtype), shape.rank, axis,
                   flatten, kind);
        check_status(gpudl_softmax_ref(kind, &x->view, axis, flatten, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(double, check_elements(x));
        for (gint64 i = 0; i < check_elements(x); i++) {
            gint64 mine[GPUDL_MAX_RANK], other[GPUDL_MAX_RANK];
            double sum = 0;

            check_unravel(&shape, i, mine);
            for (gint64 j = 0; j < check_elements(x); j++) {
                gboolean same = TRUE;

                check_unravel(&shape, j, other);
                for (int d = 0; d < shape.rank; d++)
                    same = same && (mine[d] == other[d] || (flatten ? d >= axis : d == axis));
                sum += same ? exp(check_get(x, j)) : 0;
            }
            expected[i] = exp(check_get(x, i)) / sum;
            if (kind == GPUDL_LOG_SOFTMAX)
                expected[i] = log(expected[i]);
        }
        check_close(y, expected, 1e-12);
    }
}

static void test_extremes(void)
{
    check_case(0, "large values: nothing overflows");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(3), (double[]){1e30, 1e30, -1e30}, 0, 0, (double[]){0.5, 0.5, 0});
    assert_softmax(GPUDL_LOG_SOFTMAX, CHECK_SHAPE(2), (double[]){1000, 0}, 0, 0, (double[]){0, -1000});
    check_case(1, "minus infinity is nothing");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2), (double[]){-INFINITY, 5}, 0, 0, (double[]){0, 1});
    check_case(2, "infinities that cancel, NaN");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2), (double[]){-INFINITY, -INFINITY}, 0, 0, (double[]){NAN, NAN});
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2), (double[]){NAN, 1}, 0, 0, (double[]){NAN, NAN});
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2), (double[]){1, NAN}, 0, 0, (double[]){NAN, NAN});
    check_case(3, "empty");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2, 0), NULL, 1, 0, NULL);
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(0, 2), NULL, 0, 0, NULL);
    check_case(4, "flattened behind the last dimension: groups of one");
    assert_softmax(GPUDL_SOFTMAX, CHECK_SHAPE(2), (double[]){3, 4}, 1, 1, (double[]){1, 1});
}

static void test_refuses(void)
{
    g_autoptr(CheckTensor) x = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2));
    g_autoptr(CheckTensor) bytes = check_tensor(GPUDL_DTYPE_U8, CHECK_SHAPE(2));

    check_case(0, "refused");
    check_status(gpudl_softmax_ref(GPUDL_SOFTMAX, &x->view, 1, 0, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_softmax_ref(GPUDL_SOFTMAX, &x->view, -1, 0, &x->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_softmax_ref(GPUDL_SOFTMAX, &bytes->view, 0, 0, &bytes->view, NULL), GPUDL_KERNEL_DTYPE);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/softmax/by-hand", test_by_hand);
    g_test_add_func("/softmax/extremes", test_extremes);
    g_test_add_func("/softmax/refuses", test_refuses);
    g_test_add_func("/softmax/random", test_random);
    return g_test_run();
}
