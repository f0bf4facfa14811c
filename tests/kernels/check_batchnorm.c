/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Batch normalisation against its formula, element by element. */
#include <math.h>

#include "kernels/batchnorm.h"
#include "tests/kernels/check.h"

static void test_by_hand(void)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 2, 2), (double[]){1, 3, 10, -6});
    g_autoptr(CheckTensor) scale = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2), (double[]){2, -1});
    g_autoptr(CheckTensor) bias = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2), (double[]){0.5, 1});
    g_autoptr(CheckTensor) mean = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2), (double[]){1, 2});
    g_autoptr(CheckTensor) variance = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2), (double[]){3.75, 15.75});
    g_autoptr(CheckTensor) three = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3));
    g_autoptr(CheckTensor) whole = check_tensor(GPUDL_DTYPE_I32, CHECK_SHAPE(2));
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 2, 2));

    check_case(0, "deviations 2 and 4");
    check_status(
        gpudl_batchnorm_ref(&x->view, &scale->view, &bias->view, &mean->view, &variance->view, 0.25f, &y->view, NULL),
        GPUDL_KERNEL_OK);
    check_close(y, (double[]){0.5, 2.5, -1, 3}, 0);
    check_case(1, "refused");
    check_status(
        gpudl_batchnorm_ref(&x->view, &scale->view, &three->view, &mean->view, &variance->view, 0.25f, &y->view, NULL),
        GPUDL_KERNEL_SHAPE);
    check_status(
        gpudl_batchnorm_ref(&x->view, &scale->view, &whole->view, &mean->view, &variance->view, 0.25f, &y->view, NULL),
        GPUDL_KERNEL_DTYPE);
}

static void test_random(void)
{
    for (guint number = 0; number < 100; number++) {
        g_autoptr(CheckTensor) x = NULL, scale = NULL, bias = NULL, mean = NULL, variance = NULL, y = NULL;
        g_autofree double *expected = NULL;
        gint64 channels, plane;
        GpudlShape shape;
        float epsilon;

        check_case(number, "batchnorm");
        shape = check_shape(1, 5, 6);
        if (number % 10 == 0)
            shape.dims[shape.rank - 1] = check_int(250, 260);
        channels = shape.rank > 1 ? shape.dims[1] : 1;
        epsilon = (float)check_real(0, 0.1);
        x = check_tensor_random(number % 2 ? GPUDL_DTYPE_F32 : check_float_type(), shape, -2, 2);
        check_note(", %s rank %d epsilon %g", gpudl_dtype_name(x->view.dtype), shape.rank, epsilon);
        /* statistics may have a type of their own */
        scale = check_tensor_random(check_float_type(), CHECK_SHAPE(channels), -2, 2);
        bias = check_tensor_random(check_float_type(), CHECK_SHAPE(channels), -2, 2);
        mean = check_tensor_random(check_float_type(), CHECK_SHAPE(channels), -2, 2);
        variance = check_tensor_random(check_float_type(), CHECK_SHAPE(channels), 0.1, 3);
        y = check_tensor(x->view.dtype, shape);
        check_status(gpudl_batchnorm_ref(&x->view, &scale->view, &bias->view, &mean->view, &variance->view, epsilon,
                                         &y->view, NULL),
                     GPUDL_KERNEL_OK);
        plane = check_elements(x) / shape.dims[0] / channels;
        expected = g_new(double, check_elements(x));
        for (gint64 i = 0; i < check_elements(x); i++) {
            gint64 c = i / plane % channels;

            expected[i] =
                check_get(scale, c) * (check_get(x, i) - check_get(mean, c)) / sqrt(check_get(variance, c) + epsilon) +
                check_get(bias, c);
        }
        check_close(y, expected, 1e-12);
    }
}

static void test_extremes(void)
{
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(3), (double[]){INFINITY, NAN, 1});
    g_autoptr(CheckTensor) empty = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(0, 1, 4));
    g_autoptr(CheckTensor) one = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1), (double[]){1});
    g_autoptr(CheckTensor) zero = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1), (double[]){0});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3));

    check_case(0, "infinity, NaN, variance 0");
    check_status(gpudl_batchnorm_ref(&x->view, &one->view, &zero->view, &zero->view, &zero->view, 0, &y->view, NULL),
                 GPUDL_KERNEL_OK);
    check_close(y, (double[]){INFINITY, NAN, INFINITY}, 0);
    check_status(
        gpudl_batchnorm_ref(&empty->view, &one->view, &zero->view, &zero->view, &zero->view, 0, &empty->view, NULL),
        GPUDL_KERNEL_OK);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/batchnorm/by-hand", test_by_hand);
    g_test_add_func("/batchnorm/extremes", test_extremes);
    g_test_add_func("/batchnorm/random", test_random);
    return g_test_run();
}
