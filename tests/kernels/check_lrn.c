/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Local response normalisation against its formula, element by element. */
#include <math.h>

#include "kernels/lrn.h"
#include "tests/kernels/check.h"

static void test_by_hand(void)
{
    const double v[] = {1, 2, 3, 4};
    g_autoptr(CheckTensor) x = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 4, 1), v);
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 4, 1));
    g_autoptr(CheckTensor) bytes = check_tensor(GPUDL_DTYPE_I8, CHECK_SHAPE(1, 4, 1));

    check_case(0, "size 3: one channel to each side");
    check_status(gpudl_lrn_ref(&x->view, 3, 3, 1, 1, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){1. / 6, 2. / 15, 3. / 30, 4. / 26}, 0);
    check_case(1, "an even size reaches one further up");
    check_status(gpudl_lrn_ref(&x->view, 2, 2, 1, 1, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){1. / 6, 2. / 14, 3. / 26, 4. / 17}, 0);
    check_case(2, "refused");
    check_status(gpudl_lrn_ref(&x->view, 0, 2, 1, 1, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_lrn_ref(&bytes->view, 1, 2, 1, 1, &bytes->view, NULL), GPUDL_KERNEL_DTYPE);
    check_status(gpudl_lrn_ref(&x->view, 1, 2, 1, 1, &bytes->view, NULL), GPUDL_KERNEL_DTYPE);
}

static void test_random(void)
{
    for (guint number = 0; number < 100; number++) {
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree double *expected = NULL;
        float alpha, beta, bias;
        gint64 channels, plane;
        GpudlShape shape;
        int size;

        check_case(number, "lrn");
        shape = check_shape(2, 5, 6);
        if (number % 10 == 0)
            shape.dims[shape.rank - 1] = check_int(250, 260);
        size = (int)check_int(1, 7);
        alpha = (float)check_real(0, 1);
        beta = (float)check_real(0, 1);
        bias = (float)check_real(0.5, 2);
        check_note(", rank %d size %d alpha %g beta %g bias %g", shape.rank, size, alpha, beta, bias);
        x = check_tensor_random(number % 2 ? GPUDL_DTYPE_F32 : check_float_type(), shape, -2, 2);
        y = check_tensor(x->view.dtype, shape);
        check_status(gpudl_lrn_ref(&x->view, size, alpha, beta, bias, &y->view, NULL), GPUDL_KERNEL_OK);
        channels = shape.dims[1];
        plane = check_elements(x) / shape.dims[0] / channels;
        expected = g_new(double, check_elements(x));
        for (gint64 i = 0; i < check_elements(x); i++) {
            gint64 c = i / plane % channels;
            double sum = 0;

            for (gint64 j = 0; j < channels; j++) {
                double other = check_get(x, i + (j - c) * plane);

                if (j >= c - (gint64)floor((size - 1) / 2.) && j <= c + (gint64)ceil((size - 1) / 2.))
                    sum += other * other;
            }
            expected[i] = check_get(x, i) / pow(bias + (double)alpha / size * sum, beta);
        }
        check_close(y, expected, 1e-13);
    }
}

static void test_empty_and_extremes(void)
{
    g_autoptr(CheckTensor) none = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 0, 3));
    g_autoptr(CheckTensor) x =
        check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 3, 1), (double[]){INFINITY, 1, 0x1p-149});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 3, 1));

    check_case(0, "empty; infinities");
    check_status(gpudl_lrn_ref(&none->view, 3, 1, 1, 1, &none->view, NULL), GPUDL_KERNEL_OK);
    check_status(gpudl_lrn_ref(&x->view, 1, 1, 1, 1, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){NAN, 0.5, 0x1p-149}, 0);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/lrn/by-hand", test_by_hand);
    g_test_add_func("/lrn/empty-and-extremes", test_empty_and_extremes);
    g_test_add_func("/lrn/random", test_random);
    return g_test_run();
}
