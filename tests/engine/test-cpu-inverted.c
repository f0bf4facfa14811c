/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Inverted residuals as one step: what is one, what it answers, and that times decide. */
#include <math.h>
#include <string.h>

#include "builder.h"
#include "cpu-host.h"
#include "engine/cache.h"
#include "engine/ref/ref.h"
#include "kernels/inverted.h"

/* ---- networks ---------------------------------------------------------------------------------------------------- */

typedef struct {
    gint64 c, hidden, k;
    gint kernel, stride;
    gboolean expands, bias, onto, swish;
} Form;

static GpudlTensor *filter(Builder *b, GpudlTensor *x, const Form *form)
{
    g_autofree gchar *shape = g_strdup_printf("%" G_GINT64_FORMAT "x1x%dx%d", form->hidden, form->kernel, form->kernel);
    g_autofree gchar *bias = g_strdup_printf("%" G_GINT64_FORMAT, form->hidden);
    GpudlTensor *inputs[] = {x, builder_random(b, shape, -.5, .5), builder_random(b, bias, -.5, .5)};
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONV, "filter", inputs, form->bias ? 3 : 2, NULL, 1);
    GpudlWindowAttrs *w = &node->attrs.window;

    *w = (GpudlWindowAttrs){.n_spatial = 2, .group = (gint)form->hidden};
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        const gboolean used = i >= GPUDL_MAX_SPATIAL - 2;

        w->kernel[i] = used ? form->kernel : 1;
        w->stride[i] = used ? form->stride : 1;
        w->dilation[i] = 1;
        w->pad_begin[i] = w->pad_end[i] = used ? form->kernel / 2 : 0;
    }
    w->act = form->swish ? (GpudlAct){GPUDL_ACT_SILU, 0, 0} : (GpudlAct){GPUDL_ACT_CLIP, 0, 6};
    return node->outputs[0];
}

static GpudlTensor *product(Builder *b, GpudlTensor *x, gint64 c, gint64 k, gboolean bias, GpudlTensor *residual,
                            GpudlAct act)
{
    g_autofree gchar *shape = g_strdup_printf("%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT "x1x1", k, c);
    g_autofree gchar *biases = g_strdup_printf("%" G_GINT64_FORMAT, k);
    GpudlTensor *inputs[] = {x, builder_random(b, shape, -.3, .3),
                             bias || residual != NULL ? builder_random(b, biases, -.5, .5) : NULL, residual};
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONV, "product", inputs,
                                           residual != NULL ? 4 : (inputs[2] != NULL ? 3 : 2), NULL, 1);
    GpudlWindowAttrs *w = &node->attrs.window;

    *w = (GpudlWindowAttrs){.n_spatial = 2, .group = 1, .act = act};
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        w->kernel[i] = w->stride[i] = w->dilation[i] = 1;
    return node->outputs[0];
}

static GpudlTensor *block(Builder *b, GpudlTensor *x, const Form *form)
{
    const GpudlAct act = form->swish ? (GpudlAct){GPUDL_ACT_SILU, 0, 0} : (GpudlAct){GPUDL_ACT_CLIP, 0, 6};
    GpudlTensor *y = form->expands ? product(b, x, form->c, form->hidden, form->bias, NULL, act) : x;

    return product(b, filter(b, y, form), form->hidden, form->k, form->bias, form->onto ? x : NULL,
                   (GpudlAct){GPUDL_ACT_NONE, 0, 0});
}

/* A product behind it, without which its result would be float32. */
static void finish(Builder *b, GpudlTensor *y, gint64 c)
{
    builder_output(b, builder_conv(b, y, c, 8, 1, TRUE));
}

static GpudlTensor *begin(Builder *b, gint64 c, gint height, gint width)
{
    g_autofree gchar *shape = g_strdup_printf("1x%" G_GINT64_FORMAT "x%dx%d", c, height, width);

    return builder_input(b, shape);
}

/* ---- running ----------------------------------------------------------------------------------------------------- */

static CpuHost *start_net(Builder *b, const gchar *form, const GpudlOpenParams *params)
{
    g_autoptr(GError) error = NULL;
    GpudlOpenForecast forecast;
    CpuHost *host;

    gpudl_graph_infer(b->graph, 1, &error);
    g_assert_no_error(error);
    host = cpu_host_new(b->graph);
    host->tunes = TRUE;
    if (form != NULL)
        g_setenv("GPUDL_CPU_FORM", form, TRUE);
    cpu_host_foresee(host, params, &forecast);
    cpu_host_start(host, params);
    g_unsetenv("GPUDL_CPU_FORM");
    g_assert_cmpstr(host->fault.message, ==, "");
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    if (form != NULL) { /* without, other forms than those that were foreseen may be chosen */
        g_assert_cmpuint(forecast.weight_bytes, ==, host->info.weight_bytes);
        g_assert_cmpuint(forecast.work_bytes, ==, host->info.work_bytes);
    }
    return host;
}

static CpuHost *start_strips(Builder *b)
{
    return start_net(b, "strips", &(GpudlOpenParams){.activation = GPUDL_ACTIVATION_NONE, .threads = 1});
}

/* Steps by such a kernel; what a profile says of blocks is of all of their nodes. */
static guint count_steps(CpuHost *host, const gchar *prefix)
{
    const GpudlProfileRow *rows;
    guint32 n;
    guint count = 0;

    g_assert_cmpint(host->backend->profile(host->engine, 0, 1, 1, &rows, &n, &host->fault), ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < n; i++) {
        if (g_str_has_prefix(rows[i].implementation, prefix))
            count++;
        if (g_str_has_prefix(rows[i].implementation, "inverted:")) {
            g_assert_cmpint(rows[i].last_node, >, rows[i].node);
            g_assert_cmpuint(rows[i].bytes, >, 0);
            g_assert_cmpuint(rows[i].flops, >, 0);
        }
    }
    return count;
}

static guint count_blocks(CpuHost *host)
{
    return count_steps(host, "inverted:");
}

/* Off by so much of the range at most, as other networks (test-cpu.c). */
static double bound(void)
{
    return cpu_host_precision() == GPUDL_PRECISION_BF16 ? 2e-2 : 1e-5;
}

static void check_answers(Builder *b, CpuHost *host, gint64 batch, const gchar *what)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GPtrArray) expected = NULL, got = g_ptr_array_new_with_free_func(g_free);
    g_autoptr(GBytes) input = NULL;
    float *values;
    gsize n;

    gpudl_graph_infer(b->graph, batch, &error);
    g_assert_no_error(error);
    n = (gsize)gpudl_shape_elements(&((GpudlTensor *)b->graph->inputs->pdata[0])->shape);
    values = g_new(float, n);
    for (gsize i = 0; i < n; i++)
        values[i] = (float)g_rand_double_range(b->rand, -1, 1);
    input = g_bytes_new_take(values, n * sizeof *values);
    expected = gpudl_ref_run(b->graph, &input, NULL, &error);
    g_assert_no_error(error);
    for (guint i = 0; i < expected->len; i++)
        g_ptr_array_add(got, g_malloc0(g_bytes_get_size(expected->pdata[i])));
    for (int turn = 0; turn < 2; turn++) { /* the second finds the first one's leftovers */
        if (host->backend->run_tensors(host->engine, 0, batch, (const void *const *)&values, (void *const *)got->pdata,
                                       &host->fault) != GPUDL_STATUS_OK)
            g_error("run: %s", host->fault.message);
        for (guint i = 0; i < expected->len; i++) {
            const float *wanted = g_bytes_get_data(expected->pdata[i], NULL), *found = got->pdata[i];
            const gsize elements = g_bytes_get_size(expected->pdata[i]) / sizeof(float);
            double low = INFINITY, high = -INFINITY;

            for (gsize e = 0; e < elements; e++) {
                low = MIN(low, wanted[e]);
                high = MAX(high, wanted[e]);
            }
            for (gsize e = 0; e < elements; e++)
                if (!(fabs((double)found[e] - (double)wanted[e]) <= bound() * (high - low)))
                    g_error("%s, output %u, value %d: found %g, reference %g, range %g", what, i, (int)e, found[e],
                            wanted[e], high - low);
        }
    }
}

/* ---- tests ------------------------------------------------------------------------------------------------------- */

/* Two blocks, the second one onto its input, which somebody else may read as well. */
static void test_values(void)
{
    for (guint i = 0; i < 40; i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree gchar *what = NULL;
        GpudlTensor *x, *y;
        Form first, second;

        g_rand_set_seed(b.rand, (guint32)g_test_rand_int());
        first = (Form){.c = g_rand_int_range(b.rand, 1, 40),
                       .hidden = g_rand_int_range(b.rand, 2, 90),
                       .k = g_rand_int_range(b.rand, 1, 40),
                       .kernel = g_rand_boolean(b.rand) ? 3 : 5,
                       .stride = g_rand_int_range(b.rand, 1, 3),
                       .expands = i % 4 != 0,
                       .bias = g_rand_boolean(b.rand),
                       .swish = g_rand_boolean(b.rand)};
        if (!first.expands)
            first.hidden = first.c = g_rand_int_range(b.rand, 2, 40);
        second = first;
        second.c = second.k = first.k;
        second.expands = TRUE;
        second.stride = 1;
        second.onto = TRUE;
        x = begin(&b, first.c, g_rand_int_range(b.rand, 1, 31), g_rand_int_range(b.rand, 1, 31));
        x = block(&b, x, &first);
        y = block(&b, x, &second);
        finish(&b, y, first.k);
        if (i % 3 == 0)
            finish(&b, x, first.k);
        b.graph->symbolic_batch = TRUE;
        what = g_strdup_printf("case %u", i);
        host = start_strips(&b);
        if (count_blocks(host) != 2)
            g_error("%s: %u blocks, expected 2", what, count_blocks(host));
        check_answers(&b, host, 1, what);
        check_answers(&b, host, 2, what);
    }
}

/* A depthwise block onto its input can't be written over it: what it reads is x itself. */
static void test_without_expansion_onto_its_input(void)
{
    const Form form = {.c = 24, .hidden = 24, .k = 24, .kernel = 3, .stride = 1, .onto = TRUE};
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;

    finish(&b, block(&b, builder_conv(&b, begin(&b, 8, 40, 30), 8, 24, 3, TRUE), &form), 24);
    host = start_strips(&b);
    g_assert_cmpuint(count_blocks(host), ==, 1);
    check_answers(&b, host, 1, "without expansion");
}

/* A block onto its input takes the input's memory, but where somebody reads that afterwards; and whoever does may not
 * write over it either while another one waits. */
static void test_who_reads_the_input(void)
{
    const Form form = {.c = 32, .hidden = 64, .k = 32, .kernel = 3, .stride = 1, .expands = TRUE, .onto = TRUE};
    guint64 work[2];

    for (guint others = 0; others < 2; others++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        GpudlTensor *x = builder_conv(&b, begin(&b, 8, 28, 28), 8, 32, 3, TRUE), *y = block(&b, x, &form);

        if (others) {
            GpudlNode *node = gpudl_graph_add_node(b.graph, GPUDL_OP_ACTIVATION, "act", &x, 1, NULL, 1);

            node->attrs.unary.act = (GpudlAct){GPUDL_ACT_CLIP, -.1f, .1f};
            finish(&b, node->outputs[0], 32);
            finish(&b, x, 32);
        }
        finish(&b, y, 32);
        host = start_strips(&b);
        g_assert_cmpuint(count_blocks(host), ==, 1);
        check_answers(&b, host, 1, "who reads the input");
        work[others] = host->info.work_bytes;
    }
    g_assert_cmpuint(work[1], >=, work[0] + 32 * 28 * 28 * 2);
}

static void test_what_is_no_block(void)
{
    for (guint i = 0; i < 7; i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(CpuHost) host = NULL;
        g_autofree gchar *what = g_strdup_printf("case %u", i);
        Form form = {.c = 16, .hidden = 40, .k = 16, .kernel = i == 0 ? 7 : 3, .stride = 1, .bias = TRUE};
        const GpudlAct act = {i == 1 ? GPUDL_ACT_TANH : GPUDL_ACT_CLIP, 0, 6};
        GpudlTensor *x = begin(&b, 16, 14, 14), *other = product(&b, x, 16, 40, TRUE, NULL, act), *expanded, *y;

        expanded = product(&b, x, 16, 40, TRUE, i == 2 ? other : NULL, act);
        y = filter(&b, expanded, &form);
        if (i == 3) /* somebody else reads what is expanded, and what is filtered */
            finish(&b, expanded, 40);
        if (i == 3 || i == 4)
            finish(&b, y, 40);
        other = product(&b, x, 16, 16, TRUE, NULL, act);
        y = product(&b, y, 40, 16, TRUE, i == 5 ? other : NULL, (GpudlAct){GPUDL_ACT_NONE, 0, 0});
        if (i == 6)
            ((float *)g_bytes_get_data(expanded->producer->inputs[1]->data, NULL))[7] = INFINITY;
        finish(&b, y, 16);
        host = start_strips(&b);
        /* without what expands the other two may be one, and without what projects */
        g_assert_cmpuint(count_blocks(host), ==, i == 0 || i == 3 ? 0 : 1);
        if (i == 0 || i == 3) /* then it goes by a kernel of its own */
            g_assert_cmpuint(count_steps(host, "depthwise:"), ==, 1);
        if (i != 6)
            check_answers(&b, host, 1, what);
    }
}

/* ---- times ------------------------------------------------------------------------------------------------------- */

typedef struct {
    guint blocks, last, strips, reorder; /* ns; 0: there is none */
} Times;

/* Writes the times in place of those that were measured. */
static guint script(const gchar *folder, const Times *times)
{
    g_autofree gchar *inner = g_strdup_printf("%s/cpu-%d", folder, GPUDL_CACHE_FORMAT);
    g_autoptr(GDir) dir = g_dir_open(inner, 0, NULL);
    g_autoptr(GPtrArray) paths = g_ptr_array_new_with_free_func(g_free);
    const gchar *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL)
        g_ptr_array_add(paths, g_build_filename(inner, name, NULL));
    for (guint i = 0; i < paths->len; i++) {
        g_autofree gchar *content = NULL, *text = NULL;
        g_auto(GStrv) lines = NULL;
        gchar message[512] = "";
        GpudlCacheEntry entry = {.form = 0, .ns = 1, .name = "scripted"};
        GpudlCache cache;

        g_assert_true(g_file_get_contents(paths->pdata[i], &content, NULL, NULL));
        lines = g_strsplit(content, "\n", -1);
        if (g_str_has_prefix(lines[2], "inverted "))
            text = times->strips > 0 ? g_strdup_printf("strips %u scripted\n", times->strips)
                                     : g_strdup("none 1 scripted\n");
        else if (g_str_has_prefix(lines[2], "reorder "))
            text = g_strdup_printf("blocks %u scripted\nlast %u scripted\n", times->reorder, times->reorder);
        else
            text = g_strdup_printf("blocks %u scripted\nlast %u scripted\n", times->blocks, times->last);
        entry.plan = text;
        entry.plan_bytes = strlen(text);
        g_assert_true(gpudl_cache_open(&cache, "cpu", folder, NULL, lines[1]));
        if (!gpudl_cache_write(&cache, lines[2], &entry, message, sizeof message))
            g_error("%s", message);
        gpudl_cache_close(&cache);
    }
    return paths->len;
}

/* Three steps of 100 in either layout, between two convolutions of as much. */
static void test_times_decide(void)
{
    static const struct {
        Times times;
        guint blocks;
    } cases[] = {
        {{100, 100, 250, 1}, 1},  {{100, 100, 305, 1}, 1}, /* within the noise of a measurement */
        {{100, 100, 320, 1}, 0},  {{100, 100, 0, 1}, 0},
        {{100, 200, 250, 1}, 1},                           /* all in blocks would be slower, with two reorders for it */
        {{100, 200, 250, 90}, 0},                          /* reorders cost more than it gives */
        {{100, 100, 100, 90}, 1}, {{300, 100, 305, 1}, 1}, /* channels last are the better layout in any case */
        {{300, 100, 320, 1}, 0},
    };
    const Form form = {.c = 16, .hidden = 40, .k = 16, .kernel = 3, .stride = 1, .expands = TRUE, .onto = TRUE};
    g_autofree gchar *folder = g_dir_make_tmp("gpudl-inverted-XXXXXX", NULL);
    GpudlOpenParams params = {
        .activation = GPUDL_ACTIVATION_NONE, .threads = 1, .autotune = GPUDL_AUTOTUNE_FULL, .cache_dir = folder};
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_conv(&b, begin(&b, 24, 14, 14), 24, 16, 5, TRUE);
    g_autoptr(CpuHost) first = NULL;

    x = block(&b, x, &form);
    builder_output(&b, builder_conv(&b, builder_conv(&b, x, 16, 24, 5, TRUE), 24, 8, 5, TRUE));
    first = start_net(&b, NULL, &params);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(CpuHost) host = NULL;

        g_assert_cmpuint(script(folder, &cases[i].times), >=, 5);
        params.autotune = GPUDL_AUTOTUNE_KNOWN;
        host = start_net(&b, NULL, &params);
        if (count_blocks(host) != cases[i].blocks)
            g_error("case %u: found %u blocks, expected %u", i, count_blocks(host), cases[i].blocks);
        check_answers(&b, host, 1, "times");
    }
    cpu_host_remove_cache(folder);
}

int main(int argc, char **argv)
{
    const GpudlDType type = cpu_host_precision() == GPUDL_PRECISION_BF16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;

    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can() || (gpudl_inverted_kernels(GPUDL_SIMD_AVX512, type) == NULL &&
                            gpudl_inverted_kernels(GPUDL_SIMD_AVX512_BF16, type) == NULL)) {
        g_print("1..0 # SKIP this processor has no instructions for it\n");
        return 0;
    }
    g_test_add_func("/cpu-inverted/values", test_values);
    g_test_add_func("/cpu-inverted/without-expansion-onto-its-input", test_without_expansion_onto_its_input);
    g_test_add_func("/cpu-inverted/who-reads-the-input", test_who_reads_the_input);
    g_test_add_func("/cpu-inverted/what-is-no-block", test_what_is_no_block);
    g_test_add_func("/cpu-inverted/times-decide", test_times_decide);
    return g_test_run();
}
