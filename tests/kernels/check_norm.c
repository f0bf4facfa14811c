/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Layer and group norms: the references against cases by hand and a plain formulation, the vector kernels against it,
 * too. */
#include <math.h>
#include <string.h>

#include "check.h"
#include "kernels/norm.h"

/* Mean and variance by a sum over all elements that belong to the same set as element i. */
typedef gint64 SetOf(const GpudlShape *shape, gint64 i, gint32 a, gint32 b);

/* Dimensions a .. a + b - 1 are one. */
static gint64 set_of_layer(const GpudlShape *shape, gint64 i, gint32 a, gint32 b)
{
    gint64 at[GPUDL_MAX_RANK];

    check_unravel(shape, i, at);
    for (gint32 k = a; k < a + b; k++)
        at[k] = 0;
    return check_ravel(shape, at);
}

/* a groups of channels. */
static gint64 set_of_group(const GpudlShape *shape, gint64 i, gint32 a, gint32 b)
{
    gint64 at[GPUDL_MAX_RANK];

    check_unravel(shape, i, at);
    return at[0] * a + at[1] / (shape->dims[1] / a);
}

static void standardise(const CheckTensor *x, SetOf *set_of, gint32 a, gint32 b, double epsilon, double *y)
{
    const gint64 n = check_elements(x);
    g_autofree double *sum = g_new0(double, n + 1), *squares = g_new0(double, n + 1), *count = g_new0(double, n + 1);

    for (gint64 i = 0; i < n; i++) {
        const gint64 set = set_of(&x->view.shape, i, a, b);

        sum[set] += check_get(x, i);
        count[set]++;
    }
    for (gint64 i = 0; i < n; i++) {
        const gint64 set = set_of(&x->view.shape, i, a, b);

        squares[set] += pow(check_get(x, i) - sum[set] / count[set], 2);
    }
    for (gint64 i = 0; i < n; i++) {
        const gint64 set = set_of(&x->view.shape, i, a, b);

        y[i] = (check_get(x, i) - sum[set] / count[set]) / sqrt(squares[set] / count[set] + epsilon);
    }
}

static void test_by_hand(void)
{
    /* 1 3: mean 2, variance 1; 2 2: variance 0, epsilon 1/4 */
    const double x[] = {1, 3, 2, 2, -1, 5}, layer[] = {-2, 12, 0, 10, -2, 12}, scale[] = {2, 2}, bias[] = {0, 10};
    g_autoptr(CheckTensor) in = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 3, 2), x);
    g_autoptr(CheckTensor) s = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2), scale);
    g_autoptr(CheckTensor) t = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(2), bias);
    g_autoptr(CheckTensor) out = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 3, 2));
    g_autoptr(CheckTensor) two = check_tensor_of(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 2, 2), (double[]){1, 3, 7, 9});
    g_autoptr(CheckTensor) out2 = check_tensor(GPUDL_DTYPE_F32, CHECK_SHAPE(1, 2, 2));

    check_case(0, "by hand");
    check_status(gpudl_layer_norm_ref(&in->view, &s->view, &t->view, 2, 1, 0.f, &out->view, NULL), GPUDL_KERNEL_OK);
    g_assert_cmpfloat(check_get(out, 0), ==, layer[0]);
    g_assert_cmpfloat(check_get(out, 1), ==, layer[1]);
    check_status(gpudl_layer_norm_ref(&in->view, &s->view, &t->view, 2, 1, .25f, &out->view, NULL), GPUDL_KERNEL_OK);
    g_assert_cmpfloat(check_get(out, 2), ==, layer[2]);
    g_assert_cmpfloat(check_get(out, 3), ==, layer[3]);
    /* two groups of a channel, scale and bias of the channel */
    check_status(gpudl_group_norm_ref(&two->view, &s->view, &t->view, 2, 0.f, &out2->view, NULL), GPUDL_KERNEL_OK);
    check_close(out2, (double[]){-2, 2, 8, 12}, 0);
    /* one group: mean 5, variance 10 */
    check_status(gpudl_group_norm_ref(&two->view, NULL, NULL, 1, 6.f, &out2->view, NULL), GPUDL_KERNEL_OK);
    check_close(out2, (double[]){-1, -.5, .5, 1}, 0);
    check_status(gpudl_group_norm_ref(&in->view, NULL, NULL, 2, 0.f, &out->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_group_norm_ref(&two->view, &in->view, NULL, 2, 0.f, &out2->view, NULL), GPUDL_KERNEL_SHAPE);
    check_status(gpudl_layer_norm_ref(&in->view, NULL, NULL, 2, 2, 0.f, &out->view, NULL), GPUDL_KERNEL_SHAPE);
}

static void test_layer(void)
{
    for (guint i = 0; i < 300; i++) {
        const GpudlDType dtype = check_float_type();
        const GpudlShape shape = check_shape(2, 5, 7);
        const gint32 axis = (gint32)check_int(1, shape.rank - 1), n = (gint32)check_int(1, shape.rank - axis);
        GpudlShape each = {.rank = n};
        g_autoptr(CheckTensor) x = NULL, scale = NULL, bias = NULL, y = NULL;
        g_autofree double *expected = NULL;

        check_case(i, "layer norm axis %d, %d of them", axis, n);
        for (gint32 k = 0; k < n; k++)
            each.dims[k] = shape.dims[axis + k];
        x = check_tensor_random(dtype, shape, -3, 5);
        scale = check_int(0, 2) > 0 ? check_tensor_random(GPUDL_DTYPE_F32, each, -2, 2) : NULL;
        bias = check_int(0, 2) > 0 ? check_tensor_random(GPUDL_DTYPE_F32, each, -2, 2) : NULL;
        y = check_tensor(dtype, shape);
        expected = g_new(double, check_elements(x));
        standardise(x, set_of_layer, axis, n, (double).01f, expected);
        for (gint64 k = 0; k < check_elements(x); k++) {
            gint64 at[GPUDL_MAX_RANK], p = 0;

            check_unravel(&shape, k, at);
            for (gint32 d = 0; d < n; d++)
                p = p * each.dims[d] + at[axis + d];
            expected[k] =
                expected[k] * (scale != NULL ? check_get(scale, p) : 1) + (bias != NULL ? check_get(bias, p) : 0);
        }
        check_status(gpudl_layer_norm_ref(&x->view, scale != NULL ? &scale->view : NULL,
                                          bias != NULL ? &bias->view : NULL, axis, n, .01f, &y->view, NULL),
                     GPUDL_KERNEL_OK);
        check_close(y, expected, 1e-12);
    }
}

static void group_expected(const CheckTensor *x, gint32 groups, const CheckTensor *scale, const CheckTensor *bias,
                           double *expected)
{
    standardise(x, set_of_group, groups, 0, (double).01f, expected);
    for (gint64 k = 0; k < check_elements(x); k++) {
        gint64 at[GPUDL_MAX_RANK];

        check_unravel(&x->view.shape, k, at);
        expected[k] =
            expected[k] * (scale != NULL ? check_get(scale, at[1]) : 1) + (bias != NULL ? check_get(bias, at[1]) : 0);
    }
}

static void test_group(void)
{
    for (guint i = 0; i < 300; i++) {
        const GpudlDType dtype = check_float_type();
        const gint32 groups = (gint32)check_int(1, 4);
        GpudlShape shape = check_shape(2, 5, 7);
        g_autoptr(CheckTensor) x = NULL, scale = NULL, bias = NULL, y = NULL;
        g_autofree double *expected = NULL;

        check_case(i, "group norm, %d groups", groups);
        shape.dims[1] = groups * check_int(1, 4);
        x = check_tensor_random(dtype, shape, -3, 5);
        scale = check_int(0, 2) > 0 ? check_tensor_random(GPUDL_DTYPE_F32, CHECK_SHAPE(shape.dims[1]), -2, 2) : NULL;
        bias = check_int(0, 2) > 0 ? check_tensor_random(GPUDL_DTYPE_F32, CHECK_SHAPE(shape.dims[1]), -2, 2) : NULL;
        y = check_tensor(dtype, shape);
        expected = g_new(double, check_elements(x));
        group_expected(x, groups, scale, bias, expected);
        check_status(gpudl_group_norm_ref(&x->view, scale != NULL ? &scale->view : NULL,
                                          bias != NULL ? &bias->view : NULL, groups, .01f, &y->view, NULL),
                     GPUDL_KERNEL_OK);
        check_close(y, expected, 1e-12);
    }
}

/* float32 sums of up to 4096 values in 32 lanes, values of a few units, a factor of at most 10 by epsilon: some 1e-5.
 */
#define VECTOR_BOUND 3e-5

static const float *floats(const CheckTensor *tensor)
{
    return tensor != NULL ? tensor->view.data : NULL;
}

/* Every set of instructions that is there: rows, planes, channels last. */
static void test_vectors(void)
{
    for (guint i = 0; i < 200; i++) {
        const GpudlNormKernels *kernels = gpudl_norm_kernels((GpudlNormIsa)(i % (GPUDL_NORM_LAST + 1)));
        const gint32 groups = (gint32)check_int(1, 3);
        const gint64 n = check_int(1, 3), plane = check_int(1, 40), c = groups * (i % 5 ? check_int(1, 40) : 1500);
        g_autoptr(CheckTensor) x = NULL, last = NULL, scale = NULL, bias = NULL, y = NULL;
        g_autofree double *expected = g_new(double, n *c *plane);

        if (kernels == NULL)
            continue;
        check_case(i, "%s: %d groups of %d channels, plane %d", kernels->name, groups, (int)(c / groups), (int)plane);
        x = check_floats(CHECK_SHAPE(n, c, plane), -3, 5);
        scale = check_int(0, 2) > 0 ? check_floats(CHECK_SHAPE(c), -2, 2) : NULL;
        bias = check_int(0, 2) > 0 ? check_floats(CHECK_SHAPE(c), -2, 2) : NULL;
        y = check_floats(CHECK_SHAPE(n, c, plane), 0, 0);
        last = check_floats(CHECK_SHAPE(n, plane, c), 0, 0);
        group_expected(x, groups, scale, bias, expected);
        kernels->planar(floats(x), floats(scale), floats(bias), n, c, plane, groups, .01f, y->view.data);
        check_close(y, expected, VECTOR_BOUND);
        for (gint64 k = 0; k < n * c * plane; k++)
            check_set(last, k / plane / c * c * plane + k % plane * c + k / plane % c, check_get(x, k));
        /* in place */
        kernels->interleaved(floats(last), floats(scale), floats(bias), n, c, plane, groups, .01f, last->view.data);
        for (gint64 k = 0; k < n * c * plane; k++)
            check_set(y, k, check_get(last, k / plane / c * c * plane + k % plane * c + k / plane % c));
        check_close(y, expected, VECTOR_BOUND);
        {
            g_autoptr(CheckTensor) rows = check_floats(CHECK_SHAPE(n, c), -3, 5);
            g_autoptr(CheckTensor) got = check_floats(CHECK_SHAPE(n, c), 0, 0);

            standardise(rows, set_of_layer, 1, 1, (double).01f, expected);
            for (gint64 k = 0; k < n * c; k++)
                expected[k] = expected[k] * (scale != NULL ? check_get(scale, k % c) : 1) +
                              (bias != NULL ? check_get(bias, k % c) : 0);
            kernels->rows(floats(rows), floats(scale), floats(bias), n, c, .01f, got->view.data);
            check_close(got, expected, VECTOR_BOUND);
        }
    }
}

/* A NaN makes NaN of what it is normalised with, and of nothing else. */
static void test_nan(void)
{
    for (int isa = 0; isa <= GPUDL_NORM_LAST; isa++) {
        const GpudlNormKernels *kernels = gpudl_norm_kernels((GpudlNormIsa)isa);
        float x[2][40];

        if (kernels == NULL)
            continue;
        for (int i = 0; i < 80; i++)
            x[i / 40][i % 40] = (float)i;
        x[1][33] = NAN;
        kernels->rows(x[0], NULL, NULL, 2, 40, 0.f, x[0]);
        for (int i = 0; i < 40; i++) {
            g_assert_false(isnan(x[0][i]));
            g_assert_true(isnan(x[1][i]));
        }
    }
}

int main(int argc, char **argv)
{
    check_init(&argc, &argv);
    g_test_add_func("/norm/by-hand", test_by_hand);
    g_test_add_func("/norm/layer", test_layer);
    g_test_add_func("/norm/group", test_group);
    g_test_add_func("/norm/vectors", test_vectors);
    g_test_add_func("/norm/nan", test_nan);
    return g_test_run();
}
