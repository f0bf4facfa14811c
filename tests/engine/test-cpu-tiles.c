/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Dense convolutions in bfloat16 by our own kernels, 3x3 in tiles and 1x1: where they are used, what they answer, NaN
 * and infinities. */
#include <math.h>
#include <string.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/ref/ref.h"

#define BOUND 2e-2 /* of the range, as for other networks in bfloat16 (cpu-nets.c) */

/* With a residual a node that nobody reads, and one like it with the residual. */
static GpudlTensor *conv(Builder *b, GpudlTensor *x, gint64 c, gint64 k, gint kernel, GpudlTensor *residual)
{
    GpudlTensor *y = builder_conv(b, x, c, k, kernel, TRUE);

    if (residual != NULL) {
        GpudlNode *node = y->producer;
        GpudlTensor *inputs[] = {node->inputs[0], node->inputs[1], node->inputs[2], residual};
        GpudlNode *with = gpudl_graph_add_node(b->graph, GPUDL_OP_CONV, "onto", inputs, 4, NULL, 1);

        with->attrs = node->attrs;
        with->attrs.window.act = (GpudlAct){GPUDL_ACT_RELU, 0, 0};
        y = with->outputs[0];
    }
    return y;
}

/* With so many bytes of memory; 0: any. What it takes is what was foreseen. */
static CpuHost *start_net(Builder *b, guint threads, guint64 limit)
{
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = threads, .memory_limit = limit};
    g_autoptr(GError) error = NULL;
    GpudlOpenForecast forecast;
    CpuHost *host;

    gpudl_graph_infer(b->graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_new(b->graph);
    cpu_host_foresee(host, &params, &forecast);
    cpu_host_start(host, &params);
    if (host->status == GPUDL_STATUS_OK) {
        g_assert_cmpuint(forecast.weight_bytes, ==, host->info.weight_bytes);
        g_assert_cmpuint(forecast.work_bytes, ==, host->info.work_bytes);
    }
    return host;
}

static guint count_steps(CpuHost *host, const gchar *kernels)
{
    const GpudlProfileRow *rows;
    guint32 n;
    guint count = 0;

    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &host->fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n; i++)
        count += g_str_has_prefix(rows[i].implementation, kernels);
    return count;
}

/* Both answers for these values of the input, got and wanted; they are freed by the caller. */
static gint64 answers(Builder *b, CpuHost *host, const float *values, gsize n, float **got, float **wanted)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) input = g_bytes_new(values, n * sizeof *values);
    g_autoptr(GPtrArray) expected = gpudl_ref_run(b->graph, &input, NULL, &error);
    gsize bytes;

    g_assert_no_error(error);
    *wanted = g_bytes_unref_to_data(g_bytes_ref(g_ptr_array_index(expected, 0)), &bytes);
    *got = g_malloc0(bytes);
    if (host->backend->run_tensors(host->engine, 0, 1, (const void *const *)&values, (void *const *)got,
                                   &host->fault) != GPUDL_STATUS_OK)
        g_error("run: %s", host->fault.message);
    return (gint64)(bytes / sizeof(float));
}

static float *random_values(Builder *b, gsize n)
{
    float *values = g_new(float, n);

    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(b->rand, -1, 1);
    return values;
}

static void check_close(const float *got, const float *wanted, gint64 n, const gchar *what)
{
    double low = INFINITY, high = -INFINITY, most = 0;

    for (gint64 e = 0; e < n; e++) {
        low = MIN(low, wanted[e]);
        high = MAX(high, wanted[e]);
    }
    for (gint64 e = 0; e < n; e++) {
        most = MAX(most, fabs((double)got[e] - (double)wanted[e]));
        if (!(fabs((double)got[e] - (double)wanted[e]) <= BOUND * (high - low)))
            g_error("%s, value %d: found %g, reference %g, range %g", what, (int)e, got[e], wanted[e], high - low);
    }
    g_test_message("%s: %.2g of the range", what, most / (high - low));
}

/* data: the windows' side; those of 5 are of few channels, and alone. */
static void test_values(gconstpointer data)
{
    const gint kernel = GPOINTER_TO_INT(data);

    for (guint i = 0; i < 24; i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = NULL, *got = NULL, *wanted = NULL;
        g_autofree gchar *shape = NULL;
        gint64 c, k, n;
        gint height, width;
        GpudlTensor *y;

        g_rand_set_seed(b.rand, (guint32)g_test_rand_int());
        c = kernel == 5 ? g_rand_int_range(b.rand, 1, 5) : g_rand_int_range(b.rand, 5, 70);
        k = g_rand_int_range(b.rand, 1, 140);
        height = g_rand_int_range(b.rand, 1, 31);
        width = g_rand_int_range(b.rand, 1, 31);
        shape = g_strdup_printf("1x%" G_GINT64_FORMAT "x%dx%d", c, height, width);
        y = conv(&b, builder_input(&b, shape), c, k, kernel, NULL);
        if (i % 2 && kernel != 5)
            y = conv(&b, y, k, k, kernel, y); /* onto what it reads, too */
        if (i % 3 && kernel != 5)
            y = conv(&b, conv(&b, y, k, 24, kernel, NULL), 24, k, kernel, y); /* onto what nobody else reads */
        /* a product behind them, without which a result would be float32 */
        builder_output(&b, builder_conv(&b, y, k, 20, 1, TRUE));
        host = start_net(&b, 1, 0);
        g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
        if (kernel == 5)
            g_assert_cmpuint(count_steps(host, "stem:"), ==, 1);
        else
            g_assert_cmpuint(count_steps(host, kernel == 3 ? "winograd:" : "pointwise:"), ==,
                             1 + (i % 2 ? 2 : 0) + (i % 3 ? 3 : 0));
        values = random_values(&b, (gsize)(c * height * width));
        n = answers(&b, host, values, (gsize)(c * height * width), &got, &wanted);
        check_close(got, wanted, n, shape);
    }
}

/* Windows that the kernels are for, and those that are oneDNN's: of several strides, dilated, longer than wide, with
 * pads of their own at each side, onto a residual. */
static void test_windows(void)
{
    static const struct {
        gint c, kernel[2], stride[2], dilation[2], pad_begin[2], pad_end[2];
        gboolean onto;
        const gchar *own; /* NULL: none of ours */
    } windows[] = {
        {3, {3, 3}, {2, 2}, {1, 1}, {0, 1}, {1, 0}, FALSE, "stem:"},
        {3, {3, 3}, {2, 1}, {1, 1}, {1, 1}, {1, 1}, FALSE, NULL},
        {3, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, FALSE, NULL},
        {3, {3, 5}, {1, 1}, {1, 1}, {1, 2}, {1, 2}, FALSE, NULL},
        {16, {3, 3}, {1, 1}, {1, 1}, {0, 2}, {1, 0}, FALSE, "winograd:"},
        {16, {3, 3}, {2, 2}, {1, 1}, {1, 1}, {1, 1}, FALSE, NULL},
        {16, {3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, FALSE, NULL},
        {16, {1, 1}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, FALSE, "pointwise:"},
        {16, {1, 1}, {2, 1}, {1, 1}, {0, 0}, {0, 0}, FALSE, NULL},
        {16, {1, 1}, {1, 2}, {1, 1}, {0, 0}, {0, 0}, FALSE, NULL},
        {16, {1, 1}, {3, 3}, {1, 1}, {0, 0}, {0, 0}, FALSE, NULL},
        {16, {3, 3}, {2, 2}, {1, 1}, {0, 0}, {0, 0}, FALSE, NULL},
        {3, {5, 5}, {1, 1}, {1, 1}, {2, 2}, {2, 2}, TRUE, NULL},
    };
    static const gchar *const kernels[] = {"stem:", "winograd:", "pointwise:"};

    for (guint i = 0; i < G_N_ELEMENTS(windows); i++) {
        const gint c = windows[i].c;
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = random_values(&b, 16 * 13 * 11), *got = NULL, *wanted = NULL;
        g_autofree gchar *shape = g_strdup_printf("1x%dx13x11", c), *what = g_strdup_printf("window %u", i);
        g_autofree gchar *w_shape =
            g_strdup_printf("%dx%dx%dx%d", windows[i].onto ? c : 20, c, windows[i].kernel[0], windows[i].kernel[1]);
        g_autofree gchar *bias = g_strdup_printf("%d", windows[i].onto ? c : 20);
        GpudlTensor *x = builder_input(&b, shape);
        GpudlTensor *inputs[] = {x, builder_random(&b, w_shape, -1, 1), builder_random(&b, bias, -1, 1), x};
        GpudlNode *node =
            gpudl_graph_add_node(b.graph, GPUDL_OP_CONV, "window", inputs, windows[i].onto ? 4 : 3, NULL, 1);
        GpudlWindowAttrs *w = &node->attrs.window;
        gint64 n;

        *w = (GpudlWindowAttrs){.n_spatial = 2, .group = 1, .kernel = {1}, .stride = {1}, .dilation = {1}};
        for (gint d = 0; d < 2; d++) {
            w->kernel[1 + d] = windows[i].kernel[d];
            w->stride[1 + d] = windows[i].stride[d];
            w->dilation[1 + d] = windows[i].dilation[d];
            w->pad_begin[1 + d] = windows[i].pad_begin[d];
            w->pad_end[1 + d] = windows[i].pad_end[d];
        }
        /* what is behind it is no convolution of ours: 7x7 of many channels; where those are 3 it is a stem */
        builder_output(&b, builder_conv(&b, node->outputs[0], windows[i].onto ? c : 20, 6, 7, TRUE));
        host = start_net(&b, 1, 0);
        g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
        for (guint k = 0; k < G_N_ELEMENTS(kernels); k++)
            if ((count_steps(host, kernels[k]) > 0) != (g_strcmp0(kernels[k], windows[i].own) == 0) &&
                !(windows[i].onto && k == 0))
                g_error("%s: %u steps by %s", what, count_steps(host, kernels[k]), kernels[k]);
        n = answers(&b, host, values, (gsize)(c * 13 * 11), &got, &wanted);
        check_close(got, wanted, n, what);
    }
}

/* Also where they arise: the reference has infinities and NaN at the same places. */
static void test_nan_and_infinity_stay_where_they_are(void)
{
    const float kinds[] = {NAN, INFINITY, -INFINITY};

    for (guint i = 0; i < 12; i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = random_values(&b, 16 * 12 * 12), *got = NULL, *wanted = NULL;
        gint64 n, numbers = 0;
        GpudlTensor *y = conv(&b, builder_input(&b, "1x16x12x12"), 16, 32, 3, NULL);

        builder_output(&b, builder_conv(&b, y, 32, 5, 1, TRUE));
        host = start_net(&b, 1, 0);
        g_assert_cmpuint(count_steps(host, "winograd:"), ==, 1);
        values[5 * 144 + (4 + i / 3 % 2) * 12 + 3 + i / 6] = kinds[i % 3];
        n = answers(&b, host, values, 16 * 12 * 12, &got, &wanted);
        for (gint64 e = 0; e < n; e++) {
            g_assert_cmpint(isnan(got[e]) != 0, ==, isnan(wanted[e]) != 0);
            g_assert_cmpint(isinf(got[e]) != 0, ==, isinf(wanted[e]) != 0);
            numbers += isfinite(wanted[e]) != 0;
        }
        g_assert_cmpint(numbers, ==, n - 5 * 9);
    }
}

/* An infinity in a float32, or made of one by rounding and by sums. */
static void test_damaged_weights_are_multiplied_directly(void)
{
    const float kinds[] = {INFINITY, NAN, 3.4e38f};

    for (guint i = 0; i < 3 * G_N_ELEMENTS(kinds); i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        const gint64 c = i % 3 == 2 ? 3 : 16;
        GpudlTensor *y =
            conv(&b, builder_input(&b, c == 3 ? "1x3x12x12" : "1x16x12x12"), c, 32, i % 3 == 1 ? 1 : 3, NULL);

        ((float *)g_bytes_get_data(y->producer->inputs[1]->data, NULL))[7] = kinds[i / 3];
        builder_output(&b, builder_conv(&b, y, 32, 5, 1, TRUE));
        host = start_net(&b, 1, 0);
        g_assert_cmpuint(count_steps(host, "winograd:"), ==, 0);
        g_assert_cmpuint(count_steps(host, "pointwise:"), ==, 0);
        g_assert_cmpuint(count_steps(host, "stem:"), ==, 0);
    }
}

/* Transformed weights are larger: where there is no memory for them, they are not made. */
static void test_a_memory_limit_is_kept_to(void)
{
    for (guint threads = 1; threads <= 3; threads += 2) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) any = NULL, enough = NULL, less = NULL;
        GpudlTensor *y = conv(&b, builder_input(&b, "1x16x14x14"), 16, 64, 3, NULL);
        guint64 taken;

        y = conv(&b, y, 64, 64, 3, y);
        builder_output(&b, builder_conv(&b, y, 64, 5, 1, TRUE));
        any = start_net(&b, threads, 0);
        taken = any->info.weight_bytes + any->info.work_bytes;
        g_assert_cmpuint(count_steps(any, "winograd:"), ==, 3);
        enough = start_net(&b, threads, taken);
        g_assert_cmpuint(count_steps(enough, "winograd:"), ==, 3);
        less = start_net(&b, threads, taken - 1);
        g_assert_cmpint(less->status, ==, GPUDL_STATUS_OK);
        g_assert_cmpuint(count_steps(less, "winograd:"), ==, 0);
        g_assert_cmpuint(less->info.weight_bytes, <, any->info.weight_bytes);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        g_print("1..0 # SKIP this processor does not multiply bfloat16\n");
        return 0;
    }
    g_setenv("GPUDL_CPU_FORM", "own", TRUE);
    g_test_add_data_func("/cpu-tiles/values", GINT_TO_POINTER(3), test_values);
    g_test_add_data_func("/cpu-tiles/products", GINT_TO_POINTER(1), test_values);
    g_test_add_data_func("/cpu-tiles/stems", GINT_TO_POINTER(5), test_values);
    g_test_add_func("/cpu-tiles/windows", test_windows);
    g_test_add_func("/cpu-tiles/nan-and-infinity-stay-where-they-are", test_nan_and_infinity_stay_where_they_are);
    g_test_add_func("/cpu-tiles/damaged-weights-are-multiplied-directly", test_damaged_weights_are_multiplied_directly);
    g_test_add_func("/cpu-tiles/a-memory-limit-is-kept-to", test_a_memory_limit_is_kept_to);
    return g_test_run();
}
