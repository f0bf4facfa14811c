/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* 3x3 convolutions by Winograd's transforms: where they are used, what they answer, NaN and infinities. */
#include <math.h>
#include <string.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/ref/ref.h"

#define BOUND 1e-4 /* of the range, as for other float32 sums (cpu-nets.c) */

#define LAYER_K 16 /* channels of a layer's result: as many as the transforms take, for the reference is slow */
/* Of the range: some ten times what was measured, and a tenth of what whole networks may differ by. */
#define LAYER_BOUND 1e-5

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
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE,
                                    .threads = threads,
                                    .precision = GPUDL_PRECISION_FP32,
                                    .memory_limit = limit};
    g_autoptr(GError) error = NULL;
    GpudlOpenForecast forecast;
    CpuHost *host;

    gpudl_graph_infer(b->graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_new(b->graph);
    cpu_host_foresee(host, &params, &forecast);
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    cpu_host_start(host, &params);
    if (host->status == GPUDL_STATUS_OK) {
        g_assert_cmpuint(forecast.weight_bytes, ==, host->info.weight_bytes);
        g_assert_cmpuint(forecast.work_bytes, ==, host->info.work_bytes);
    }
    return host;
}

static CpuHost *open_net(Builder *b)
{
    CpuHost *host = start_net(b, 1, 0);

    if (host->status != GPUDL_STATUS_OK)
        g_error("open: %s", host->fault.message);
    return host;
}

/* oneDNN 3.x has them not, and 2.x for AVX-512 alone. */
static gboolean are_here(CpuHost *host)
{
    return strstr(host->info.device_name, "oneDNN 2.") != NULL && strstr(host->info.device_name, ", AVX-512,") != NULL;
}

/* What a network's convolutions would be measured for: nothing where layouts are those of the transforms. */
static guint count_choices(Builder *b)
{
    const GpudlOpenParams params = {
        .activation = GPUDL_ACTIVATION_NONE, .threads = 1, .precision = GPUDL_PRECISION_FP32};
    g_autoptr(CpuHost) host = cpu_host_new(b->graph);
    GpudlOpenForecast forecast;

    host->tunes = TRUE;
    g_assert_cmpint(cpu_host_foresee(host, &params, &forecast), ==, GPUDL_STATUS_OK);
    return forecast.n_choices;
}

static guint count_steps(CpuHost *host, const gchar *part)
{
    const GpudlProfileRow *rows;
    guint32 n;
    guint count = 0;

    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &host->fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n; i++)
        count += strstr(rows[i].implementation, part) != NULL;
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

static void test_values(void)
{
    for (guint i = 0; i < 40; i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = NULL, *got = NULL, *wanted = NULL;
        g_autofree gchar *shape = NULL;
        GpudlTensor *x, *y;
        double low = INFINITY, high = -INFINITY;
        gint64 c, k, n;
        gint height, width;

        g_rand_set_seed(b.rand, (guint32)g_test_rand_int());
        c = 16 * g_rand_int_range(b.rand, 1, 9);
        k = 16 * g_rand_int_range(b.rand, 1, 9);
        height = g_rand_int_range(b.rand, 4, 31);
        width = g_rand_int_range(b.rand, 4, 31);
        shape = g_strdup_printf("1x%" G_GINT64_FORMAT "x%dx%d", c, height, width);
        x = builder_input(&b, shape);
        y = conv(&b, x, c, k, 3, NULL);
        if (i % 2)
            y = conv(&b, y, k, k, 3, y); /* onto what it reads, too */
        if (i % 4 > 1)
            y = conv(&b, conv(&b, y, k, 24, 1, NULL), 24, 32, 3, NULL); /* by way of other layouts */
        builder_output(&b, y);
        host = open_net(&b);
        g_assert_cmpint(count_steps(host, "wino") > 0, ==, are_here(host));
        values = random_values(&b, (gsize)(c * height * width));
        n = answers(&b, host, values, (gsize)(c * height * width), &got, &wanted);
        for (gint64 e = 0; e < n; e++) {
            low = MIN(low, wanted[e]);
            high = MAX(high, wanted[e]);
        }
        for (gint64 e = 0; e < n; e++)
            if (!(fabs(got[e] - wanted[e]) <= BOUND * (high - low)))
                g_error("%s to %d, form %u, value %d: found %g, reference %g, range %g", shape, (int)k, i % 4, (int)e,
                        got[e], wanted[e], high - low);
    }
}

/* Sums as long as those of well-known networks, of values of both signs and of what a ReLU leaves, at the sizes of
 * picture that they have there: of tiles of 2x2 and of 4x4. */
static void test_layers(void)
{
    static const struct {
        gint channels, side;
    } layers[] = {{64, 56}, {128, 28}, {256, 14}, {512, 7}, {1024, 14}};

    for (guint i = 0; i < 2 * G_N_ELEMENTS(layers); i++) {
        const gint c = layers[i / 2].channels, side = layers[i / 2].side;
        const gsize n = (gsize)(c * side * side);
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = NULL, *got = NULL, *wanted = NULL;
        g_autofree gchar *shape = g_strdup_printf("1x%dx%dx%d", c, side, side);
        double low = INFINITY, high = -INFINITY, most = 0;
        gint64 n_values;

        g_rand_set_seed(b.rand, (guint32)g_test_rand_int());
        builder_output(&b, conv(&b, builder_input(&b, shape), c, LAYER_K, 3, NULL));
        host = open_net(&b);
        values = random_values(&b, n);
        for (gsize e = 0; e < n && i % 2; e++)
            values[e] = MAX(values[e], 0.f);
        n_values = answers(&b, host, values, n, &got, &wanted);
        for (gint64 e = 0; e < n_values; e++) {
            low = MIN(low, wanted[e]);
            high = MAX(high, wanted[e]);
            most = MAX(most, fabs((double)got[e] - (double)wanted[e]));
        }
        g_test_message("%s%s: %.2g of the range", shape, i % 2 ? ", ReLU" : "", most / (high - low));
        g_assert_cmpfloat(most, <=, LAYER_BOUND * (high - low));
    }
}

/* The range of n values; the largest difference of two lists as a part of it. */
static double part_off(const float *got, const float *wanted, gint64 n)
{
    double low = INFINITY, high = -INFINITY, most = 0;

    for (gint64 e = 0; e < n; e++) {
        low = MIN(low, wanted[e]);
        high = MAX(high, wanted[e]);
        most = !(fabs((double)got[e] - (double)wanted[e]) <= most) ? fabs((double)got[e] - (double)wanted[e]) : most;
    }
    return most / (high - low);
}

/* Blocks of channels, which the transforms want around a convolution, are no use to groups that fill none: oneDNN has
 * but general code for such groups then. */
static void test_groups_that_fill_no_block(void)
{
    static const gint groups[][3] = {{8, 10, 40}, {4, 20, 80}, {2, 40, 160}, {4, 12, 4},
                                     {16, 1, 2},  {16, 3, 3},  {2, 24, 8}};

    for (guint i = 0; i < 2 * G_N_ELEMENTS(groups); i++) {
        const gint n = groups[i / 2][0], c = n * groups[i / 2][1], k = n * groups[i / 2][2];
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = random_values(&b, 16 * 12 * 12), *got = NULL, *wanted = NULL;
        GpudlTensor *x = builder_input(&b, "1x16x12x12"), *y;
        gint64 n_values;

        x = conv(&b, conv(&b, x, 16, 16, 3, NULL), 16, c, 1, NULL);
        y = builder_conv(&b, x, c / n, k, 3, TRUE);
        y->producer->attrs.window.group = n;
        y->producer->attrs.window.act = (GpudlAct){i % 2 ? GPUDL_ACT_RELU : GPUDL_ACT_NONE, 0, 0};
        builder_output(&b, conv(&b, y, k, 16, 3, NULL));
        host = open_net(&b);
        g_test_message("%d groups, %d to %d channels", n, c, k);
        g_assert_cmpuint(count_steps(host, "ref"), ==, 0);
        n_values = answers(&b, host, values, 16 * 12 * 12, &got, &wanted);
        g_assert_cmpfloat(part_off(got, wanted, n_values), <=, BOUND);
    }
}

/* The transforms are for one window alone. oneDNN refuses some of the others itself: what shows then is that layouts
 * are the transforms' all the same, and that nothing is measured. */
static void test_other_windows_are_not_theirs(void)
{
    static const struct {
        gint kernel[2], stride[2], dilation[2], pad_begin[2], pad_end[2];
        gboolean theirs;
    } windows[] = {
        {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, TRUE},  {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {0, 1}, FALSE},
        {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 0}, FALSE}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {2, 1}, FALSE},
        {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 2}, FALSE}, {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {0, 0}, FALSE},
        {{3, 3}, {1, 1}, {1, 1}, {1, 1}, {2, 2}, FALSE}, {{3, 3}, {1, 1}, {1, 1}, {0, 1}, {1, 1}, FALSE},
        {{3, 3}, {1, 1}, {1, 1}, {1, 0}, {1, 1}, FALSE}, {{3, 3}, {1, 1}, {1, 1}, {2, 1}, {1, 1}, FALSE},
        {{3, 3}, {1, 1}, {1, 1}, {1, 2}, {1, 1}, FALSE}, {{3, 3}, {1, 1}, {1, 1}, {0, 0}, {1, 1}, FALSE},
        {{3, 3}, {1, 1}, {1, 1}, {0, 0}, {2, 2}, FALSE}, {{3, 3}, {1, 1}, {1, 1}, {2, 2}, {0, 0}, FALSE},
        {{3, 3}, {1, 1}, {1, 1}, {0, 0}, {0, 0}, FALSE}, {{3, 3}, {1, 1}, {2, 1}, {1, 1}, {1, 1}, FALSE},
        {{3, 3}, {1, 1}, {1, 2}, {1, 1}, {1, 1}, FALSE}, {{3, 3}, {1, 1}, {2, 2}, {1, 1}, {1, 1}, FALSE},
        {{3, 3}, {1, 1}, {2, 2}, {2, 2}, {2, 2}, FALSE}, {{3, 3}, {2, 1}, {1, 1}, {1, 1}, {1, 1}, FALSE},
        {{3, 3}, {1, 2}, {1, 1}, {1, 1}, {1, 1}, FALSE}, {{5, 3}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, FALSE},
        {{3, 5}, {1, 1}, {1, 1}, {1, 1}, {1, 1}, FALSE},
    };
    static const gint sizes[][2] = {{13, 11}, {12, 16}, {9, 14}};

    for (guint i = 0; i < G_N_ELEMENTS(windows) * G_N_ELEMENTS(sizes); i++) {
        const guint at = i / G_N_ELEMENTS(sizes);
        const gint height = sizes[i % G_N_ELEMENTS(sizes)][0], width = sizes[i % G_N_ELEMENTS(sizes)][1];
        const gsize n_values = (gsize)(32 * height * width);
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = random_values(&b, n_values), *got = NULL, *wanted = NULL;
        g_autofree gchar *shape = g_strdup_printf("1x32x%dx%d", height, width);
        g_autofree gchar *w_shape = g_strdup_printf("32x32x%dx%d", windows[at].kernel[0], windows[at].kernel[1]);
        GpudlTensor *inputs[] = {builder_input(&b, shape), builder_random(&b, w_shape, -1, 1),
                                 builder_random(&b, "32", -1, 1)};
        GpudlNode *node = gpudl_graph_add_node(b.graph, GPUDL_OP_CONV, "window", inputs, 3, NULL, 1);
        GpudlWindowAttrs *w = &node->attrs.window;
        gboolean used;
        gint64 n;

        *w = (GpudlWindowAttrs){.n_spatial = 2, .group = 1, .kernel = {1}, .stride = {1}, .dilation = {1}};
        for (gint d = 0; d < 2; d++) {
            w->kernel[1 + d] = windows[at].kernel[d];
            w->stride[1 + d] = windows[at].stride[d];
            w->dilation[1 + d] = windows[at].dilation[d];
            w->pad_begin[1 + d] = windows[at].pad_begin[d];
            w->pad_end[1 + d] = windows[at].pad_end[d];
        }
        builder_output(&b, node->outputs[0]);
        host = open_net(&b);
        used = windows[at].theirs && are_here(host);
        g_test_message("window %u, %s", at, shape);
        g_assert_cmpint(count_steps(host, "wino") > 0, ==, used);
        g_assert_cmpint(count_choices(&b) > 0, ==, !used);
        n = answers(&b, host, values, n_values, &got, &wanted);
        g_assert_cmpfloat(part_off(got, wanted, n), <=, BOUND);
    }
}

/* A transform would carry them to neighbours that do not see them. */
static void test_nan_and_infinity_stay_where_they_are(void)
{
    const float kinds[] = {NAN, INFINITY, -INFINITY};

    for (guint i = 0; i < 3; i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = random_values(&b, 16 * 12 * 12), *got = NULL, *wanted = NULL;
        gint64 n, numbers = 0;

        builder_output(&b, conv(&b, builder_input(&b, "1x16x12x12"), 16, 32, 3, NULL));
        host = open_net(&b);
        values[5 * 144 + 4 * 12 + 3] = kinds[i];
        n = answers(&b, host, values, 16 * 12 * 12, &got, &wanted);
        for (gint64 e = 0; e < n; e++) {
            g_assert_cmpint(isnan(got[e]) != 0, ==, isnan(wanted[e]) != 0);
            g_assert_cmpint(isinf(got[e]) != 0, ==, isinf(wanted[e]) != 0);
            numbers += isfinite(wanted[e]) != 0;
        }
        g_assert_cmpint(numbers, ==, n - 32 * 9);
    }
}

/* NaN, infinities, and what becomes one in a transform. What sees them is as in the reference, where no padding is
 * multiplied by them; other channels are numbers. */
static void test_damaged_weights_are_multiplied_directly(void)
{
    const float kinds[] = {NAN, INFINITY, -INFINITY, 3e38f};

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree float *values = random_values(&b, 16 * 12 * 12), *got = NULL, *wanted = NULL;
        GpudlTensor *y = conv(&b, builder_input(&b, "1x16x12x12"), 16, 32, 3, NULL);
        gint64 n;

        ((float *)g_bytes_get_data(y->producer->inputs[1]->data, NULL))[7] = kinds[i];
        builder_output(&b, y);
        host = open_net(&b);
        g_assert_cmpuint(count_steps(host, "wino"), ==, 0);
        n = answers(&b, host, values, 16 * 12 * 12, &got, &wanted);
        for (gint64 e = 0; e < n; e++) {
            if (e >= 144 && !isfinite(got[e]))
                g_error("%g: channel %d, found %g", kinds[i], (int)(e / 144), got[e]);
            if (e < 144 && e / 12 < 11 &&
                ((isnan(got[e]) != 0) != (isnan(wanted[e]) != 0) || (isinf(got[e]) != 0) != (isinf(wanted[e]) != 0)))
                g_error("%g: row %d, column %d, found %g, reference %g", kinds[i], (int)(e / 12), (int)(e % 12), got[e],
                        wanted[e]);
        }
    }
}

static guint64 taken(const CpuHost *host)
{
    return host->info.weight_bytes + host->info.work_bytes;
}

/* Transformed weights are larger: where there is no memory for them, they are not made. */
static void test_a_memory_limit_is_kept_to(void)
{
    for (guint threads = 1; threads <= 3; threads += 2) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) any = NULL, enough = NULL, less = NULL, least = NULL, none = NULL;
        GpudlTensor *x = conv(&b, builder_input(&b, "1x16x14x14"), 16, 64, 3, NULL);

        builder_output(&b, conv(&b, x, 64, 64, 3, x));
        any = start_net(&b, threads, 0);
        if (!are_here(any)) {
            g_test_skip("no Winograd's transforms here");
            return;
        }
        enough = start_net(&b, threads, taken(any));
        g_assert_cmpint(enough->status, ==, GPUDL_STATUS_OK);
        g_assert_cmpuint(count_steps(enough, "wino"), ==, count_steps(any, "wino"));
        less = start_net(&b, threads, taken(any) - 1);
        g_assert_cmpint(less->status, ==, GPUDL_STATUS_OK);
        g_assert_cmpuint(count_steps(less, "wino"), ==, 0);
        g_assert_cmpuint(less->info.weight_bytes, <, any->info.weight_bytes);
        least = start_net(&b, threads, taken(less));
        g_assert_cmpint(least->status, ==, GPUDL_STATUS_OK);
        none = start_net(&b, threads, taken(less) - 1);
        g_assert_cmpint(none->status, ==, GPUDL_STATUS_NO_MEMORY);
    }
}

/* Of the weights 64x64x3x3 and 16x64x3x3 there is one form, the transformed one, whose size is that of 4x4 or 6x6. */
static void test_weights_are_there_once(void)
{
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;
    const guint64 pairs = 16 * 64 + 64 * 64;

    builder_output(&b, conv(&b, conv(&b, builder_input(&b, "1x16x14x14"), 16, 64, 3, NULL), 64, 64, 3, NULL));
    host = open_net(&b);
    if (are_here(host))
        g_assert_cmpuint(host->info.weight_bytes, <=, pairs * 36 * sizeof(float) + 2 * 64 * sizeof(float) + 256);
    else
        g_assert_cmpuint(host->info.weight_bytes, <=, pairs * 9 * sizeof(float) + 2 * 64 * sizeof(float) + 256);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/cpu-winograd/values", test_values);
    g_test_add_func("/cpu-winograd/layers", test_layers);
    g_test_add_func("/cpu-winograd/groups-that-fill-no-block", test_groups_that_fill_no_block);
    g_test_add_func("/cpu-winograd/other-windows-are-not-theirs", test_other_windows_are_not_theirs);
    g_test_add_func("/cpu-winograd/nan-and-infinity-stay-where-they-are", test_nan_and_infinity_stay_where_they_are);
    g_test_add_func("/cpu-winograd/damaged-weights-are-multiplied-directly",
                    test_damaged_weights_are_multiplied_directly);
    g_test_add_func("/cpu-winograd/a-memory-limit-is-kept-to", test_a_memory_limit_is_kept_to);
    g_test_add_func("/cpu-winograd/weights-are-there-once", test_weights_are_there_once);
    return g_test_run();
}
