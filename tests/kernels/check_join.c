/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Rows moved beside one another, by every set of instructions that is there. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/half.h"
#include "kernels/join.h"

/* rows of width n at these pitches; y's lie at column 1, so that both neighbours are seen. */
typedef struct {
    gint64 rows, n, x_pitch, y_pitch;
} Matrix;

static Matrix random_matrix(guint i)
{
    Matrix m = {check_int(1, 9), i % 3 ? check_int(1, 70) : check_int(1, 20) * 32, 0, 0};

    m.x_pitch = m.n + check_int(0, 3);
    m.y_pitch = m.n + check_int(2, 40);
    return m;
}

static void test_copy(void)
{
    for (guint i = 0; i < 400; i++) {
        const GpudlJoinKernels *kernels = gpudl_join_kernels((GpudlJoinIsa)(i % (GPUDL_JOIN_LAST + 1)));
        const Matrix m = random_matrix(i);
        g_autoptr(CheckTensor) x = NULL, y = NULL;
        g_autofree gint64 *expected = g_new(gint64, m.rows * m.y_pitch);

        if (kernels == NULL)
            continue;
        check_case(i, "%s: %d rows of %d bytes", kernels->name, (int)m.rows, (int)m.n);
        x = check_tensor_random(GPUDL_DTYPE_U8, CHECK_SHAPE((m.rows - 1) * m.x_pitch + m.n), 0, 0);
        y = check_tensor_random(GPUDL_DTYPE_U8, CHECK_SHAPE(m.rows * m.y_pitch), 0, 0);
        for (gint64 k = 0; k < m.rows * m.y_pitch; k++) {
            const gint64 r = k / m.y_pitch, at = k % m.y_pitch - 1;

            expected[k] = at >= 0 && at < m.n ? check_get_int(x, r * m.x_pitch + at) : check_get_int(y, k);
        }
        kernels->copy(x->view.data, m.x_pitch, m.rows, m.n, (char *)y->view.data + 1, m.y_pitch);
        check_equal_int(y, expected);
    }
}

static double scaled(double x, double scale, double shift, int relu)
{
    const double value = x * scale + shift;

    return relu && value < 0 ? 0 : value;
}

/* A product and a sum rounded once each: of values below 16, of which 1 may be left. */
#define BOUND_F32 2e-6

static void test_f32(void)
{
    for (guint i = 0; i < 400; i++) {
        const GpudlJoinKernels *kernels = gpudl_join_kernels((GpudlJoinIsa)(i % (GPUDL_JOIN_LAST + 1)));
        const Matrix m = random_matrix(i);
        const int relu = (int)check_int(0, 1);
        g_autoptr(CheckTensor) x = NULL, y = NULL, scale = NULL, shift = NULL;
        g_autofree double *expected = g_new(double, m.rows *m.y_pitch);

        if (kernels == NULL)
            continue;
        check_case(i, "%s: %d rows of %d, relu %d", kernels->name, (int)m.rows, (int)m.n, relu);
        x = check_floats(CHECK_SHAPE((m.rows - 1) * m.x_pitch + m.n), -3, 5);
        y = check_floats(CHECK_SHAPE(m.rows * m.y_pitch), -1, 1);
        scale = check_floats(CHECK_SHAPE(m.n), -2, 2);
        shift = check_floats(CHECK_SHAPE(m.n), -2, 2);
        check_set(x, check_int(0, m.n - 1), NAN);
        for (gint64 k = 0; k < m.rows * m.y_pitch; k++) {
            const gint64 r = k / m.y_pitch, at = k % m.y_pitch - 1;

            expected[k] = at >= 0 && at < m.n ? scaled(check_get(x, r * m.x_pitch + at), check_get(scale, at),
                                                       check_get(shift, at), relu)
                                              : check_get(y, k);
        }
        kernels->f32(x->view.data, m.x_pitch, m.rows, m.n, scale->view.data, shift->view.data, relu,
                     (float *)y->view.data + 1, m.y_pitch);
        check_close(y, expected, BOUND_F32);
    }
}

/* bfloat16 is rounded from a float32, whose error may be what decides between two neighbours: a step at most. */
static void test_bf16(void)
{
    const GpudlJoinKernels *kernels = gpudl_join_kernels(GPUDL_JOIN_AVX512_BF16);

    for (guint i = 0; i < 300 && kernels != NULL; i++) {
        const Matrix m = random_matrix(i);
        const int relu = (int)check_int(0, 1);
        g_autofree guint16 *x = g_new(guint16, m.rows * m.x_pitch), *y = g_new(guint16, m.rows * m.y_pitch);
        g_autoptr(CheckTensor) scale = NULL, shift = NULL;

        check_case(i, "%s: %d rows of %d bfloat16, relu %d", kernels->name, (int)m.rows, (int)m.n, relu);
        scale = check_floats(CHECK_SHAPE(m.n), -2, 2);
        shift = check_floats(CHECK_SHAPE(m.n), -2, 2);
        for (gint64 k = 0; k < m.rows * m.x_pitch; k++)
            x[k] = gpudl_f32_to_bf16((float)check_real(-3, 5));
        x[check_int(0, m.n - 1)] = gpudl_f32_to_bf16(NAN);
        memset(y, 0x5a, (gsize)(m.rows * m.y_pitch) * sizeof *y);
        kernels->bf16(x, m.x_pitch, m.rows, m.n, scale->view.data, shift->view.data, relu, y + 1, m.y_pitch);
        for (gint64 k = 0; k < m.rows * m.y_pitch; k++) {
            const gint64 r = k / m.y_pitch, at = k % m.y_pitch - 1;
            double wanted, got = gpudl_bf16_to_f32(y[k]);

            if (at < 0 || at >= m.n) {
                if (y[k] != 0x5a5a)
                    check_fail("column %d of row %d is written to", (int)at, (int)r);
                continue;
            }
            wanted = scaled(gpudl_bf16_to_f32(x[r * m.x_pitch + at]), check_get(scale, at), check_get(shift, at), relu);
            if (isnan(wanted) ? !isnan(got) : !(fabs(got - wanted) <= 0x1p-8 * fabs(wanted) + BOUND_F32))
                check_fail("row %d, column %d: %g, expected %g", (int)r, (int)at, got, wanted);
        }
    }
    if (kernels == NULL)
        g_test_skip("this processor does not multiply bfloat16");
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/join/copy", test_copy);
    g_test_add_func("/join/f32", test_f32);
    g_test_add_func("/join/bf16", test_bf16);
    return g_test_run();
}
