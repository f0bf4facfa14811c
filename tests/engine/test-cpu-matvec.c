/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Fully connected layers of one frame by our own kernel: where it is used, what it answers, what it takes. */
#include <math.h>
#include <string.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/ref/ref.h"

typedef struct {
    gint64 k, n;
    gboolean by_rows;
    gfloat alpha, beta;
    const gchar *bias; /* shape, one value being for all; NULL: none */
    GpudlAct act;
} Layer;

/* One of each way of saying it, and what the kernel has no activation for. */
static const Layer layers[] = {
    {64, 16, TRUE, 1, 1, "16", {GPUDL_ACT_NONE, 0, 0}},
    {33, 5, FALSE, 1, 1, NULL, {GPUDL_ACT_RELU, 0, 0}},
    {100, 47, TRUE, .5f, 2, "1x47", {GPUDL_ACT_CLIP, -1, 1}},
    {7, 130, FALSE, -2, .5f, "1", {GPUDL_ACT_HARD_SWISH, 0, 0}},
    {1, 1, TRUE, 1, 1, "1", {GPUDL_ACT_SILU, 0, 0}},
    {300, 20, FALSE, 1, 1, "20", {GPUDL_ACT_TANH, 0, 0}},
};

static GpudlTensor *add_layer(Builder *b, const Layer *layer, GpudlTensor *x)
{
    g_autofree gchar *shape =
        g_strdup_printf("%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT, layer->by_rows ? layer->n : layer->k,
                        layer->by_rows ? layer->k : layer->n);
    GpudlTensor *bias = layer->bias != NULL ? builder_random(b, layer->bias, -1, 1) : NULL;
    GpudlTensor *inputs[] = {x, builder_random(b, shape, -1, 1), bias};
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_GEMM, "gemm", inputs, bias != NULL ? 3 : 2, NULL, 1);

    node->attrs.gemm.trans_b = layer->by_rows;
    node->attrs.gemm.alpha = layer->alpha;
    node->attrs.gemm.beta = layer->beta;
    node->attrs.gemm.act = layer->act;
    return node->outputs[0];
}

/* In a form that GPUDL_CPU_FORM has. What it takes is what was foreseen. */
static CpuHost *open_net(Builder *b, const gchar *form)
{
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_autoptr(GError) error = NULL;
    GpudlOpenForecast forecast;
    CpuHost *host;

    b->graph->symbolic_batch = TRUE;
    gpudl_graph_infer(b->graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_new(b->graph);
    g_setenv("GPUDL_CPU_FORM", form, TRUE);
    cpu_host_foresee(host, &params, &forecast);
    cpu_host_start(host, &params);
    g_unsetenv("GPUDL_CPU_FORM");
    if (host->status != GPUDL_STATUS_OK)
        g_error("open: %s", host->fault.message);
    g_assert_cmpuint(forecast.weight_bytes, ==, host->info.weight_bytes);
    g_assert_cmpuint(forecast.work_bytes, ==, host->info.work_bytes);
    return host;
}

/* For processors without AVX2 there is none. */
static gboolean are_here(CpuHost *host)
{
    return strstr(host->info.device_name, ", AVX-512,") != NULL || strstr(host->info.device_name, ", AVX2,") != NULL ||
           strstr(host->info.device_name, ", AMX,") != NULL;
}

static guint count_steps(CpuHost *host, gint64 batch, const gchar *by)
{
    const GpudlProfileRow *rows;
    guint32 n;
    guint count = 0;

    if (host->backend->profile(host->engine, 0, batch, 1, &rows, &n, &host->fault) != GPUDL_STATUS_OK)
        g_error("profile: %s", host->fault.message);
    for (guint i = 0; i < n; i++)
        count += g_str_has_prefix(rows[i].implementation, by);
    return count;
}

/* Both orders of the weights, scaled, with every bias and activation; of two frames oneDNN's. */
static void check_values(CpuHost *host, Builder *b, gint64 batch, gint64 k)
{
    const double bound = cpu_host_precision() == GPUDL_PRECISION_BF16 ? 2e-2 : 1e-5;
    g_autoptr(GError) error = NULL;
    g_autofree float *values = g_new(float, batch *k), *got = NULL, *other = NULL;
    g_autoptr(GPtrArray) expected = NULL;
    g_autoptr(GBytes) input = NULL;
    double low = INFINITY, high = -INFINITY;
    const float *wanted;
    gsize bytes;

    for (gint64 i = 0; i < batch * k; i++)
        values[i] = (float)g_rand_double_range(b->rand, -1, 1);
    input = g_bytes_new(values, (gsize)(batch * k) * sizeof *values);
    gpudl_graph_infer(b->graph, batch, &error);
    g_assert_no_error(error);
    expected = gpudl_ref_run(b->graph, &input, NULL, &error);
    g_assert_no_error(error);
    wanted = g_bytes_get_data(expected->pdata[0], &bytes);
    got = g_malloc0(bytes);
    other = expected->len > 1 ? g_malloc0(g_bytes_get_size(expected->pdata[1])) : NULL;
    if (host->backend->run_tensors(host->engine, 0, batch, (const void *const[]){values}, (void *const[]){got, other},
                                   &host->fault) != GPUDL_STATUS_OK)
        g_error("run: %s", host->fault.message);
    for (gsize i = 0; i < bytes / sizeof(float); i++) {
        low = MIN(low, wanted[i]);
        high = MAX(high, wanted[i]);
    }
    for (gsize i = 0; i < bytes / sizeof(float); i++)
        if (!(fabs((double)got[i] - (double)wanted[i]) <= bound * MAX(high - low, 1)))
            g_error("batch %d, value %d: found %g, reference %g", (gint)batch, (gint)i, got[i], wanted[i]);
}

static void test_layers(void)
{
    for (guint i = 0; i < G_N_ELEMENTS(layers); i++)
        for (guint behind = 0; behind < 2; behind++) {
            const Layer *layer = &layers[i];
            /* behind which a result is not the network's last, and may be rounded */
            const Layer last = {layer->n, 9, i % 2, 1, 1, "9", {GPUDL_ACT_NONE, 0, 0}};
            g_auto(Builder) b = builder_new();
            g_autofree gchar *shape = g_strdup_printf("1x%" G_GINT64_FORMAT "x1x1", layer->k);
            g_autoptr(CpuHost) host = NULL;
            GpudlTensor *y;

            g_rand_set_seed(b.rand, (guint32)g_test_rand_int());
            y = add_layer(&b, layer, builder_reshape(&b, builder_input(&b, shape), "0x-1"));
            builder_output(&b, behind ? add_layer(&b, &last, y) : y);
            host = open_net(&b, "own");
            g_test_message("layer %u, %s", i, host->info.device_name);
            g_assert_cmpuint(count_steps(host, 1, "matvec:"), ==,
                             are_here(host) ? behind + (layer->act.kind != GPUDL_ACT_TANH) : 0);
            check_values(host, &b, 1, layer->k);
            g_assert_cmpuint(count_steps(host, 2, "matvec:"), ==, 0);
            check_values(host, &b, 2, layer->k);
            check_values(host, &b, 1, layer->k);
        }
}

/* Unless it is measured, oneDNN does it. */
static void test_first_choice(void)
{
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;

    builder_output(&b, add_layer(&b, &layers[0], builder_reshape(&b, builder_input(&b, "1x64x1x1"), "0x-1")));
    host = open_net(&b, "first");
    g_assert_cmpuint(count_steps(host, 1, "matvec:"), ==, 0);
    check_values(host, &b, 1, layers[0].k);
}

/* Weights that count times something are brought into oneDNN's layout once, not for each frame. */
static void test_scaled_weights(void)
{
    guint counts[2];

    for (guint i = 0; i < 2; i++) {
        const Layer layer = {640, 192, i == 0, i == 0 ? 1 : .5f, 1, "192", {GPUDL_ACT_NONE, 0, 0}};
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;

        builder_output(&b, add_layer(&b, &layer, builder_reshape(&b, builder_input(&b, "1x640x1x1"), "0x-1")));
        host = open_net(&b, "own");
        counts[i] = count_steps(host, 2, "reorder");
        check_values(host, &b, 2, layer.k);
    }
    g_assert_cmpuint(counts[1], ==, counts[0]);
}

/* A picture is written in one order: where a convolution wants its channels interleaved, and somebody else reads it as
 * it is, both find what they want. */
static void test_picture_that_others_read(void)
{
    const Layer layer = {3 * 6 * 5, 7, TRUE, 1, 1, "7", {GPUDL_ACT_NONE, 0, 0}};
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;
    GpudlTensor *x = builder_input(&b, "1x3x6x5");

    builder_output(&b, add_layer(&b, &layer, builder_reshape(&b, x, "0x-1")));
    builder_output(&b, builder_conv(&b, builder_conv(&b, x, 3, 16, 3, TRUE), 16, 8, 3, TRUE));
    host = open_net(&b, "own");
    g_assert_cmpuint(count_steps(host, 1, "matvec:"), ==, are_here(host));
    check_values(host, &b, 1, layer.k);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        g_print("1..0 # SKIP this processor does not multiply bfloat16\n");
        return 0;
    }
    g_test_add_func("/cpu-matvec/layers", test_layers);
    g_test_add_func("/cpu-matvec/first-choice", test_first_choice);
    g_test_add_func("/cpu-matvec/scaled-weights", test_scaled_weights);
    g_test_add_func("/cpu-matvec/picture-that-others-read", test_picture_that_others_read);
    return g_test_run();
}
