/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Means and sums of many numbers on the CPU module against the reference's, which are made in double. */
#include <float.h>
#include <math.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/ref/ref.h"

/* What a chain of n positive numbers rounds off at random, as a part of their sum: the k-th addition half an epsilon of
 * k / n of it at most. Chains of twelve thousand, as of 112 x 112, round off seven times as much. */
#define LONGEST 256
#define BOUND (FLT_EPSILON / 2 * sqrt(LONGEST / 3.))

static const struct {
    const gchar *name, *shape, *reshaped; /* NULL: as it is */
    GpudlOp op;
    GpudlReduceAttrs over;
    gboolean blocks; /* behind a convolution, as that leaves it */
} cases[] = {
    {"global-pool", "1x16x112x112", NULL, GPUDL_OP_GLOBAL_AVERAGE_POOL, {0}, FALSE},
    {"global-pool-behind-a-convolution", "1x16x112x112", NULL, GPUDL_OP_GLOBAL_AVERAGE_POOL, {0}, TRUE},
    {"global-pool-of-odd-sides", "1x3x67x149", NULL, GPUDL_OP_GLOBAL_AVERAGE_POOL, {0}, FALSE},
    {"global-pool-of-one-row", "1x16x1x6400", NULL, GPUDL_OP_GLOBAL_AVERAGE_POOL, {0}, FALSE},
    {"global-pool-of-one-dimension", "1x5x80x80", "0x5x6400", GPUDL_OP_GLOBAL_AVERAGE_POOL, {0}, FALSE},
    {"mean-of-pixels", "1x17x112x112", NULL, GPUDL_OP_REDUCE_MEAN, {2, {2, 3}, 0}, TRUE},
    {"sum-of-pixels", "1x16x112x112", NULL, GPUDL_OP_REDUCE_SUM, {2, {2, 3}, 1}, FALSE},
    {"mean-of-tokens", "1x1x112x1792", "0x12544x16", GPUDL_OP_REDUCE_MEAN, {1, {1}, 1}, FALSE},
    {"mean-of-rows", "1x1x112x1792", "0x16x12544", GPUDL_OP_REDUCE_MEAN, {1, {2}, 0}, FALSE},
    {"sum-of-all", "1x16x64x64", NULL, GPUDL_OP_REDUCE_SUM, {3, {1, 2, 3}, 0}, FALSE},
};

/* Each channel as it is, in the layout that a convolution gives. */
static GpudlTensor *pass_on(Builder *b, GpudlTensor *x)
{
    const gint64 c = x->shape.dims[1];
    GpudlTensor *y = builder_conv(b, x, 1, c, 1, FALSE);

    for (gint64 i = 0; i < c; i++)
        ((float *)g_bytes_get_data(y->producer->inputs[1]->data, NULL))[i] = 1.f;
    y->producer->attrs.window.group = (gint)c;
    return y;
}

static void test_are_near_those_in_double(gconstpointer data)
{
    const guint which = GPOINTER_TO_UINT(data);
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .precision = GPUDL_PRECISION_FP32, .threads = 1};
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, cases[which].shape), *y;
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;

    y = cases[which].blocks             ? pass_on(&b, x)
        : cases[which].reshaped != NULL ? builder_reshape(&b, x, cases[which].reshaped)
                                        : x;
    y = builder_node(&b, cases[which].op, y, NULL);
    if (cases[which].op != GPUDL_OP_GLOBAL_AVERAGE_POOL)
        y->producer->attrs.reduce = cases[which].over;
    builder_output(&b, y);
    b.graph->symbolic_batch = TRUE;
    gpudl_graph_infer(b.graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_open(b.graph, &params);
    if (host->status != GPUDL_STATUS_OK)
        g_error("open: %s", host->fault.message);
    for (gint64 batch = 1; batch <= 2; batch++) {
        g_autoptr(GPtrArray) expected = NULL;
        g_autoptr(GBytes) input = NULL;
        g_autofree float *got = NULL;
        const float *wanted;
        float *values;
        gint64 n;

        gpudl_graph_infer(b.graph, batch, &error);
        g_assert_no_error(error);
        n = gpudl_shape_elements(&x->shape);
        values = g_new(float, n);
        for (gint64 i = 0; i < n; i++)
            values[i] = (float)g_rand_double_range(b.rand, 0.5, 1.5);
        input = g_bytes_new_take(values, (gsize)n * sizeof *values);
        expected = gpudl_ref_run(b.graph, &input, NULL, &error);
        g_assert_no_error(error);
        wanted = g_bytes_get_data(expected->pdata[0], NULL);
        n = gpudl_shape_elements(&y->shape);
        got = g_new(float, n);
        if (host->backend->run_tensors(host->engine, 0, batch, (const void *const *)&values, (void *const *)&got,
                                       &host->fault) != GPUDL_STATUS_OK)
            g_error("run: %s", host->fault.message);
        for (gint64 i = 0; i < n; i++) {
            if (fabs((double)got[i] - (double)wanted[i]) <= BOUND * fabs((double)wanted[i]))
                continue;
            g_test_message("batch %d, value %d: found %.9g, expected %.9g, off by %.2g of it, allowed are %.2g",
                           (int)batch, (int)i, got[i], wanted[i], fabs((double)got[i] / (double)wanted[i] - 1), BOUND);
            g_test_fail();
            return;
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree gchar *name = g_strdup_printf("/cpu-means/are-near-those-in-double/%s", cases[i].name);

        g_test_add_data_func(name, GUINT_TO_POINTER(i), test_are_near_those_in_double);
    }
    return g_test_run();
}
