/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A matrix times a vector, of every instruction set that has it, against sums in float64. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "dense.h"
#include "kernels/half.h"
#include "kernels/matvec.h"
#include "kernels/ref_common.h"

#define GUARD 0x5a

typedef struct {
    const GpudlMatvecKernels *kernels;
    GpudlDType type;
} Subject;

static gsize element(GpudlDType type)
{
    return type == GPUDL_DTYPE_BF16 ? 2 : 4;
}

/* Element i of x or y, which are aligned to no more than one. */
static float get(GpudlDType type, const guint8 *at, gint64 i)
{
    return type == GPUDL_DTYPE_BF16 ? gpudl_bf16_to_f32(((const guint16 *)(const void *)at)[i])
                                    : ((const float *)(const void *)at)[i];
}

static void put(GpudlDType type, guint8 *at, gint64 i, float value)
{
    if (type == GPUDL_DTYPE_BF16)
        ((guint16 *)(void *)at)[i] = gpudl_f32_to_bf16(value);
    else
        ((float *)(void *)at)[i] = value;
}

static float rounded(GpudlDType type, float value)
{
    return type == GPUDL_DTYPE_BF16 ? gpudl_bf16_to_f32(gpudl_f32_to_bf16(value)) : value;
}

/* Runs on copies of x that end where the memory does, and y between guards; y is of the caller. */
static guint8 *run(const Subject *subject, const GpudlMatvec *d, const float *x, const float *w, gboolean by_rows,
                   float factor, const float *bias, int way, float beta)
{
    const gsize bytes = gpudl_matvec_weights_size(d), size = element(d->type), y_size = element(d->y_type);
    guint8 *packed = aligned_alloc(64, bytes), *vector = g_malloc((gsize)d->k * size);
    guint8 *y = g_malloc((gsize)(d->n + 2) * y_size);

    g_assert_true(gpudl_matvec_supported(d));
    g_assert_cmpuint(bytes % 64, ==, 0);
    memset(packed, 0xff, bytes); /* NaN */
    gpudl_matvec_pack_weights(d, w, by_rows, factor, packed);
    gpudl_matvec_pack_biases(d, bias, way, beta, packed);
    for (gint64 i = 0; i < d->k; i++)
        put(d->type, vector, i, x[i]);
    memset(y, GUARD, (gsize)(d->n + 2) * y_size);
    subject->kernels->run(d, vector, packed, y + y_size);
    for (gsize i = 0; i < y_size; i++)
        if (y[i] != GUARD || y[(gsize)(d->n + 1) * y_size + i] != GUARD)
            check_fail("wrote beside y");
    free(packed);
    g_free(vector);
    return y;
}

static void check_random(const Subject *subject, guint number)
{
    GpudlMatvec d = {.type = subject->type,
                     .y_type = number % 2 ? GPUDL_DTYPE_F32 : subject->type,
                     .act = check_dense_acts[number % CHECK_DENSE_ACTS]};
    const gboolean by_rows = number % 3 != 0;
    g_autoptr(CheckTensor) x = NULL, w = NULL, bias = NULL;
    g_autofree guint8 *y = NULL;
    const float *values, *weights;
    const int way = check_int(0, 3) != 0;
    float factor, beta;

    check_case(number, "%s", subject->kernels->name);
    d.n = (int32_t)check_int(1, check_int(0, 3) ? 40 : 300);
    d.k = (int32_t)check_int(1, check_int(0, 3) ? 70 : 700);
    factor = check_int(0, 1) ? 1 : .75f;
    beta = check_int(0, 1) ? 1 : -1.5f;
    check_note(": %d of %d, act %d, by rows %d, factors %g and %g, biases %d apart", d.n, d.k, d.act.kind, by_rows,
               factor, beta, way);
    x = check_floats(CHECK_SHAPE(d.k), -1, 1);
    w = check_floats(CHECK_SHAPE(d.n, d.k), -1, 1);
    bias = check_int(0, 2) ? check_floats(CHECK_SHAPE(d.n), -2, 2) : NULL;
    values = x->view.data;
    weights = w->view.data;
    y = run(subject, &d, values, weights, by_rows, factor, bias != NULL ? bias->view.data : NULL, way, beta);
    for (gint64 i = 0; i < d.n; i++) {
        double sum = bias != NULL ? (double)(beta * (float)check_get(bias, way * i)) : 0, expected, slack;
        const float got = get(d.y_type, y + element(d.y_type), i);

        for (gint64 k = 0; k < d.k; k++)
            sum += (double)rounded(d.type, factor * weights[by_rows ? i * d.k + k : k * d.n + i]) *
                   (double)rounded(d.type, values[k]);
        expected = gpudl_activate(&d.act, sum);
        slack = check_dense_bound(d.k + 1, &d.act) + (d.y_type == GPUDL_DTYPE_BF16 ? fabs(expected) * 0x1p-8 : 0);
        if (!(fabs(got - expected) <= slack))
            check_fail("element %d: found %g, expected %g within %g", (int)i, got, expected, slack);
    }
}

static void test_random(gconstpointer data)
{
    for (guint i = 0; i < 600; i++)
        check_random(data, i);
}

/* NaN and infinities of x are in every sum, those of a bias in its own; behind the last element nothing is seen. */
static void test_not_finite(gconstpointer data)
{
    const Subject *subject = data;
    const GpudlMatvec d = {.type = subject->type, .y_type = GPUDL_DTYPE_F32, .n = 21, .k = 45};
    float x[45], w[21 * 45], bias[21] = {0};

    for (gint i = 0; i < 45; i++)
        x[i] = 1;
    for (gint i = 0; i < 21 * 45; i++)
        w[i] = .5f;
    for (gint i = 0; i < 3; i++) {
        g_autofree guint8 *y = NULL;

        check_case((guint)i, "%s", subject->kernels->name);
        x[44] = i == 0 ? NAN : i == 1 ? INFINITY : 1;
        bias[20] = i == 2 ? -INFINITY : 0;
        y = run(subject, &d, x, w, TRUE, 1, bias, 1, 1);
        for (gint k = 0; k < 21; k++) {
            const float got = get(GPUDL_DTYPE_F32, y + 4, k);

            if (i == 0 ? !isnan(got) : i == 1 ? got != INFINITY : got != (k == 20 ? -INFINITY : 22.5f))
                check_fail("element %d: found %g", k, got);
        }
    }
}

/* A NaN among the weights is in its row's sum, whatever its payload: rounding it must not make another number of it. */
static void test_nan_among_weights(gconstpointer data)
{
    static const guint32 payloads[] = {0x7f800001, 0x7fffffff, 0xffffffff, 0xff800001, 0x7fc00000};
    const Subject *subject = data;
    const GpudlMatvec d = {.type = subject->type, .y_type = GPUDL_DTYPE_F32, .n = 5, .k = 3};
    const float x[3] = {1, 1, 1};

    for (guint i = 0; i < G_N_ELEMENTS(payloads); i++) {
        float w[5 * 3] = {0};
        g_autofree guint8 *y = NULL;

        check_case(i, "%s", subject->kernels->name);
        memcpy(&w[3 * 3 + 1], &payloads[i], sizeof *w);
        y = run(subject, &d, x, w, TRUE, 1, NULL, 1, 1);
        for (gint k = 0; k < 5; k++) {
            const float got = get(GPUDL_DTYPE_F32, y + 4, k);

            if (k == 3 ? !isnan(got) : got != 0)
                check_fail("element %d: found %g", k, got);
        }
    }
}

static void test_refused(void)
{
    const GpudlMatvec good = {.type = GPUDL_DTYPE_BF16, .y_type = GPUDL_DTYPE_BF16, .n = 1, .k = 1};
    GpudlMatvec d;

    g_assert_true(gpudl_matvec_supported(&good));
#define REFUSED(field, value)                                                                                          \
    d = good;                                                                                                          \
    d.field = value;                                                                                                   \
    g_assert_false(gpudl_matvec_supported(&d))
    REFUSED(type, GPUDL_DTYPE_F32); /* whose y would be bfloat16 */
    REFUSED(type, GPUDL_DTYPE_F16);
    REFUSED(y_type, GPUDL_DTYPE_F16);
    REFUSED(n, 0);
    REFUSED(n, (1 << 28) + 1);
    REFUSED(k, 0);
    REFUSED(k, (1 << 28) + 1);
    REFUSED(act.kind, GPUDL_ACT_TANH);
    for (int simd = 0; simd <= GPUDL_SIMD_LAST; simd++)
        g_assert_null(gpudl_matvec_kernels((GpudlSimd)simd, GPUDL_DTYPE_F16));
}

int main(int argc, char **argv)
{
    static const struct {
        const gchar *name;
        GpudlSimd simd;
        GpudlDType type;
    } subjects[] = {{"avx2", GPUDL_SIMD_AVX2, GPUDL_DTYPE_F32},
                    {"avx512", GPUDL_SIMD_AVX512, GPUDL_DTYPE_F32},
                    {"avx512-bf16", GPUDL_SIMD_AVX512_BF16, GPUDL_DTYPE_BF16}};
    static Subject here[G_N_ELEMENTS(subjects)];

    check_init(&argc, &argv);
    g_assert_null(gpudl_matvec_kernels(GPUDL_SIMD_GENERIC, GPUDL_DTYPE_F32));
    g_assert_null(gpudl_matvec_kernels(GPUDL_SIMD_AVX512, GPUDL_DTYPE_BF16));
    g_test_add_func("/matvec/refused", test_refused);
    for (guint i = 0; i < G_N_ELEMENTS(subjects); i++) {
        g_autofree gchar *random = g_strdup_printf("/matvec/random/%s", subjects[i].name);
        g_autofree gchar *not_finite = g_strdup_printf("/matvec/not-finite/%s", subjects[i].name);
        g_autofree gchar *nan = g_strdup_printf("/matvec/nan-among-weights/%s", subjects[i].name);

        here[i] = (Subject){gpudl_matvec_kernels(subjects[i].simd, subjects[i].type), subjects[i].type};
        if (here[i].kernels == NULL)
            continue; /* this processor has it not */
        g_test_add_data_func(random, &here[i], test_random);
        g_test_add_data_func(not_finite, &here[i], test_not_finite);
        g_test_add_data_func(nan, &here[i], test_nan_among_weights);
    }
    return g_test_run();
}
