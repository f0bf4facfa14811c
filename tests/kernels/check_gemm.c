/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Gemm against cases worked by hand and a plain triple loop. */
#include <math.h>

#include "kernels/gemm.h"
#include "tests/kernels/check.h"

static double matrix_at(const CheckTensor *t, gboolean transposed, gint64 row, gint64 column)
{
    gint64 width = t->view.shape.dims[1];

    return check_get(t, transposed ? column * width + row : row * width + column);
}

static void test_random(void)
{
    for (guint number = 0; number < 200; number++) {
        g_autoptr(CheckTensor) a = NULL, b = NULL, c = NULL, y = NULL;
        g_autofree double *expected = NULL;
        gint64 m, n, k;
        GpudlGemm params = {0};
        GpudlDType dtype;
        GpudlShape shape;

        check_case(number, "gemm");
        dtype = number % 2 ? GPUDL_DTYPE_F32 : check_float_type();
        /* round the blocks of 64 columns and 256 products */
        m = check_int(1, 5);
        n = check_int(0, 3) == 0 ? check_int(63, 130) : check_int(1, 9);
        k = check_int(0, 3) == 0 ? check_int(255, 270) : check_int(0, 20);
        params.trans_a = (int32_t)check_int(0, 1);
        params.trans_b = (int32_t)check_int(0, 1);
        params.alpha = check_int(0, 1) ? 1 : 0.75f;
        params.beta = check_int(0, 1) ? 1 : -1.5f;
        params.act.kind = check_int(0, 1) ? GPUDL_ACT_RELU : GPUDL_ACT_NONE;
        shape = CHECK_SHAPE(m, n);
        check_note(", %s m %d n %d k %d trans %d %d", gpudl_dtype_name(dtype), (int)m, (int)n, (int)k, params.trans_a,
                   params.trans_b);
        a = check_tensor_random(dtype, params.trans_a ? CHECK_SHAPE(k, m) : CHECK_SHAPE(m, k), -2, 2);
        b = check_tensor_random(dtype, params.trans_b ? CHECK_SHAPE(n, k) : CHECK_SHAPE(k, n), -2, 2);
        c = check_int(0, 2) ? check_tensor_random(dtype, check_narrowed(&shape), -2, 2) : NULL;
        y = check_tensor(dtype, shape);
        check_status(gpudl_gemm_ref(&a->view, &b->view, c ? &c->view : NULL, &params, &y->view, NULL), GPUDL_KERNEL_OK);
        expected = g_new(double, m *n);
        for (gint64 i = 0; i < m * n; i++) {
            double sum = 0;

            for (gint64 l = 0; l < k; l++)
                sum += matrix_at(a, params.trans_a, i / n, l) * matrix_at(b, params.trans_b, l, i % n);
            sum *= params.alpha;
            if (c)
                sum += params.beta * check_get(c, check_broadcast(&shape, i, &c->view.shape));
            expected[i] = gpudl_activate(&params.act, sum);
        }
        check_close(y, expected, 1e-12);
    }
}

static void test_integers(void)
{
    g_autoptr(CheckTensor) a = check_tensor_of(GPUDL_DTYPE_U8, CHECK_SHAPE(1, 2), (double[]){200, 3});
    g_autoptr(CheckTensor) b = check_tensor_of(GPUDL_DTYPE_U8, CHECK_SHAPE(2, 2), (double[]){1, 2, 10, 20});
    g_autoptr(CheckTensor) c = check_tensor_of(GPUDL_DTYPE_U8, CHECK_SCALAR, (double[]){5});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_U8, CHECK_SHAPE(1, 2));
    GpudlGemm params = {.alpha = 1, .beta = 1};

    check_case(0, "wrap around");
    check_status(gpudl_gemm_ref(&a->view, &b->view, &c->view, &params, &y->view, NULL), GPUDL_KERNEL_OK);
    check_equal_int(y, (gint64[]){235, 465 - 256});
    params.alpha = 0.5f;
    check_status(gpudl_gemm_ref(&a->view, &b->view, &c->view, &params, &y->view, NULL), GPUDL_KERNEL_DTYPE);
}

static void test_by_hand(void)
{
    const double av[] = {1, 2, 3, 4, 5, 6}, bv[] = {1, 0, -1, 2, 1, 0};
    g_autoptr(CheckTensor) a = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 3), av);
    g_autoptr(CheckTensor) b = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(3, 2), bv);
    g_autoptr(CheckTensor) c = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 1), (double[]){10, 20});
    g_autoptr(CheckTensor) row = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(3), (double[]){10, 20, 30});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(2, 2));
    g_autoptr(CheckTensor) y33 = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(3, 3));
    GpudlGemm params = {.alpha = 2, .beta = 0.5f};

    check_case(0, "a b");
    /* [1 2 3; 4 5 6] [1 0; -1 2; 1 0] = [2 4; 5 10] */
    check_status(gpudl_gemm_ref(&a->view, &b->view, &c->view, &params, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){9, 13, 20, 30}, 0);
    check_case(1, "a' b', row added");
    params = (GpudlGemm){.trans_a = 1, .trans_b = 1, .alpha = 1, .beta = 1};
    check_status(gpudl_gemm_ref(&a->view, &b->view, &row->view, &params, &y33->view, NULL), GPUDL_KERNEL_OK);
    check_close(y33, (double[]){11, 27, 31, 12, 28, 32, 13, 29, 33}, 0);
    check_case(2, "extents that do not fit");
    params.trans_b = 0;
    check_status(gpudl_gemm_ref(&a->view, &b->view, NULL, &params, &y33->view, NULL), GPUDL_KERNEL_SHAPE);
    params.trans_a = 0;
    check_status(gpudl_gemm_ref(&a->view, &b->view, &row->view, &params, &y->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_gemm_ref(&a->view, &b->view, NULL, &params, &y33->view, NULL), GPUDL_KERNEL_SHAPE);
}

static void test_extremes(void)
{
    g_autoptr(CheckTensor) a = check_tensor_of(GPUDL_DTYPE_F16, CHECK_SHAPE(1, 2), (double[]){60000, INFINITY});
    g_autoptr(CheckTensor) b = check_tensor_of(GPUDL_DTYPE_F16, CHECK_SHAPE(2, 3), (double[]){2, 1, 0, 0, 1, -1});
    g_autoptr(CheckTensor) y = check_tensor(GPUDL_DTYPE_F16, CHECK_SHAPE(1, 3));
    GpudlGemm params = {.alpha = 1, .beta = 1};

    check_case(0, "infinity by zero is NaN");
    check_status(gpudl_gemm_ref(&a->view, &b->view, NULL, &params, &y->view, NULL), GPUDL_KERNEL_OK);
    check_close(y, (double[]){NAN, INFINITY, -INFINITY}, 0);
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/gemm/by-hand", test_by_hand);
    g_test_add_func("/gemm/integers", test_integers);
    g_test_add_func("/gemm/extremes", test_extremes);
    g_test_add_func("/gemm/random", test_random);
    return g_test_run();
}
