/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* NaN and infinities through every operator that the CPU module has of its own: it answers as the reference does. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "engine/graph/ops.h"
#include "engine/ref/ref.h"
#include "tests/engine/builder.h"
#include "tests/engine/cpu-host.h"

#define SIDE 6
#define N (channels * SIDE * SIDE)

static guint channels; /* 16, or 17: blocks have padding */

/* What is sprinkled over the input, each at some places. */
static const struct {
    const gchar *name;
    float values[3];
    guint n;
} kinds[] = {
    {"NaN", {NAN}, 1},
    {"infinity", {INFINITY}, 1},
    {"-infinity", {-INFINITY}, 1},
    {"all", {NAN, INFINITY, -INFINITY}, 3},
};

static GpudlTensor *with_attrs(Builder *b, GpudlOp op, GpudlTensor *x, GpudlTensor *y, const GpudlAttrs *attrs)
{
    GpudlTensor *result = builder_node(b, op, x, y);

    if (attrs != NULL)
        result->producer->attrs = *attrs;
    return result;
}

static GpudlTensor *act(Builder *b, GpudlTensor *x, GpudlActKind kind)
{
    const float alpha = kind == GPUDL_ACT_CLIP ? -0.25f : kind == GPUDL_ACT_HARD_SIGMOID ? 0.2f : 0.125f;

    return builder_act(b, x, kind, alpha, kind == GPUDL_ACT_CLIP ? 6.f : 0.5f);
}

/* Each channel as it is, by a convolution: in what layout oneDNN likes. */
static GpudlTensor *pass_on(Builder *b, GpudlTensor *x)
{
    GpudlTensor *y = builder_conv(b, x, 1, channels, 1, FALSE);

    for (guint i = 0; i < channels; i++)
        ((float *)g_bytes_get_data(y->producer->inputs[1]->data, NULL))[i] = 1.f;
    y->producer->attrs.window.group = channels;
    return y;
}

/* The network number i over x, named in *name; NULL behind the last. */
static GpudlTensor *network(Builder *b, GpudlTensor *x, guint i, gchar **name)
{
    static const GpudlOp unary[] = {GPUDL_OP_ELU, GPUDL_OP_ABS, GPUDL_OP_NEG,
                                    GPUDL_OP_EXP, GPUDL_OP_LOG, GPUDL_OP_SQRT};
    static const GpudlOp binary[] = {GPUDL_OP_ADD, GPUDL_OP_SUB, GPUDL_OP_MUL,
                                     GPUDL_OP_DIV, GPUDL_OP_MIN, GPUDL_OP_MAX};
    static const GpudlOp pools[] = {GPUDL_OP_MAX_POOL, GPUDL_OP_AVERAGE_POOL};
    static const GpudlOp whole[] = {GPUDL_OP_GLOBAL_MAX_POOL, GPUDL_OP_GLOBAL_AVERAGE_POOL, GPUDL_OP_REDUCE_MEAN,
                                    GPUDL_OP_REDUCE_MAX,      GPUDL_OP_REDUCE_MIN,          GPUDL_OP_REDUCE_SUM};
    static const GpudlOp softmaxes[] = {GPUDL_OP_SOFTMAX, GPUDL_OP_LOG_SOFTMAX};
    const GpudlAttrs along_channels = {.axis = {.axis = 1}},
                     over_pixels = {.reduce = {.n_axes = 2, .axes = {2, 3}, .keepdims = 1}},
                     lrn = {.lrn = {.size = 3, .alpha = 1e-2f, .beta = 0.75f, .bias = 1.f}};

    if (i < GPUDL_ACT_LAST) {
        *name = g_strdup_printf("activation %u", i + 1);
        return act(b, x, (GpudlActKind)(i + 1));
    }
    i -= GPUDL_ACT_LAST;
    if (i < GPUDL_ACT_LAST) {
        GpudlTensor *y = builder_conv(b, x, channels, channels, 3, TRUE);

        *name = g_strdup_printf("convolution with activation %u", i + 1);
        y->producer->attrs.window.act = act(b, x, (GpudlActKind)(i + 1))->producer->attrs.unary.act;
        return y;
    }
    i -= GPUDL_ACT_LAST;
    if (i < GPUDL_ACT_LAST) {
        GpudlTensor *flat = builder_reshape(b, x, "0x-1");
        GpudlTensor *y =
            builder_node(b, GPUDL_OP_GEMM, flat, builder_random(b, channels == 16 ? "576x8" : "612x8", -1, 1));

        *name = g_strdup_printf("Gemm with activation %u", i + 1);
        y->producer->attrs.gemm =
            (GpudlGemmAttrs){.alpha = 1, .beta = 1, .act = act(b, x, (GpudlActKind)(i + 1))->producer->attrs.unary.act};
        return y;
    }
    i -= GPUDL_ACT_LAST;
    if (i < GPUDL_ACT_LAST) {
        GpudlTensor *y =
            builder_node(b, GPUDL_OP_ADD, x, builder_random(b, channels == 16 ? "1x16x1x1" : "1x17x1x1", -1, 1));

        *name = g_strdup_printf("addition with activation %u", i + 1);
        y->producer->attrs.binary.act = act(b, x, (GpudlActKind)(i + 1))->producer->attrs.unary.act;
        return y;
    }
    i -= GPUDL_ACT_LAST;
    if (i < G_N_ELEMENTS(unary)) {
        *name = g_strdup(gpudl_op_info(unary[i])->name);
        return with_attrs(b, unary[i], x, NULL,
                          &(GpudlAttrs){.unary.act.alpha = unary[i] == GPUDL_OP_ELU ? 0.5f : 0.f});
    }
    i -= G_N_ELEMENTS(unary);
    if (i < 2 * G_N_ELEMENTS(binary)) {
        *name = g_strdup_printf("%s of %s", gpudl_op_info(binary[i / 2])->name, i % 2 ? "itself" : "a constant");
        return builder_node(b, binary[i / 2], x,
                            i % 2 ? x : builder_random(b, channels == 16 ? "1x16x1x1" : "1x17x1x1", 0.5, 1));
    }
    i -= 2 * G_N_ELEMENTS(binary);
    if (i < G_N_ELEMENTS(pools)) {
        *name = g_strdup(gpudl_op_info(pools[i])->name);
        return builder_pool(b, pools[i], x, 3, 2, 1);
    }
    i -= G_N_ELEMENTS(pools);
    if (i < G_N_ELEMENTS(whole)) {
        *name = g_strdup(gpudl_op_info(whole[i])->name);
        return with_attrs(b, whole[i], x, NULL, i < 2 ? NULL : &over_pixels);
    }
    i -= G_N_ELEMENTS(whole);
    if (i < G_N_ELEMENTS(softmaxes)) {
        *name = g_strdup(gpudl_op_info(softmaxes[i])->name);
        return with_attrs(b, softmaxes[i], x, NULL, &along_channels);
    }
    i -= G_N_ELEMENTS(softmaxes);
    *name = g_strdup_printf("rest %u", i);
    switch (i) {
    case 0:
        return with_attrs(b, GPUDL_OP_LRN, x, NULL, &lrn);
    case 1:
        return builder_batch_norm(b, x, channels);
    case 2:
        return act(b, builder_batch_norm(b, x, channels), GPUDL_ACT_RELU);
    case 3:
        return builder_node(b, GPUDL_OP_MATMUL, x, x);
    case 4:
    case 5:
        return with_attrs(b, softmaxes[i - 4], builder_reshape(b, x, "0x-1"), NULL, &along_channels);
    case 6: /* of products of their own */
        return with_attrs(b, GPUDL_OP_SOFTMAX, builder_node(b, GPUDL_OP_MATMUL, x, x), NULL,
                          &(GpudlAttrs){.axis.axis = 3});
    case 7: /* dropped before a division, which makes NaN of its own beside the tensor */
        return builder_node(b, GPUDL_OP_DIV, act(b, x, GPUDL_ACT_RELU),
                            builder_random(b, channels == 16 ? "1x16x1x1" : "1x17x1x1", 0.5, 1));
    case 8: /* of each pixel's channels, of rows, of all */
    case 9:
    case 10:
        return with_attrs(b, i < 10 ? GPUDL_OP_LAYER_NORM : GPUDL_OP_GROUP_NORM, x, NULL,
                          &(GpudlAttrs){.norm = {i == 8 ? 1 : 3, 1, 1, 1e-3f}});
    default:
        return NULL;
    }
}

static gboolean is_same(float a, float b, double bound)
{
    return isnan(b) ? isnan(a) : isinf(b) ? a == b : fabs((double)a - (double)b) <= bound;
}

/* The first value that differs, or -1. */
static gint64 compare(const float *got, const float *expected, gsize n)
{
    const double bound = cpu_host_precision() == GPUDL_PRECISION_BF16 ? 2e-2 : 1e-4; /* see cpu-nets.c */
    double most = 1;

    for (gsize i = 0; i < n; i++)
        if (isfinite(expected[i]))
            most = MAX(most, fabs((double)expected[i]));
    for (gsize i = 0; i < n; i++)
        if (!is_same(got[i], expected[i], bound * most))
            return (gint64)i;
    return -1;
}

/* oneDNN's GELU by tanh makes the cube of its input in float32, which is infinite above some 1e12. */
static guint cubes_what_is_large(const GpudlGraph *graph)
{
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];
        const GpudlAct *act = node->op == GPUDL_OP_CONV         ? &node->attrs.window.act
                              : node->op == GPUDL_OP_GEMM       ? &node->attrs.gemm.act
                              : node->op == GPUDL_OP_ADD        ? &node->attrs.binary.act
                              : node->op == GPUDL_OP_ACTIVATION ? &node->attrs.unary.act
                                                                : NULL;

        if (act != NULL && act->kind == GPUDL_ACT_GELU_TANH)
            return 1;
    }
    return 0;
}

/* On what has no NaN the program that everything else runs on is all there is: one plan was asked for. Values of all
 * sizes, as far as the reference makes numbers of them: exponentials that are 0 and infinite within an activation too.
 */
static void check_usual(const gchar *what, const GpudlGraph *graph, CpuHost *host, GRand *rand)
{
    static const double ranges[][2] = {{0.1, 1}, {-1, 1}, {-30, 30}, {-1000, 1000}, {-1e-40, 1e-40}, {-1e15, 1e15}};
    const GpudlTensor *output = graph->outputs->pdata[0];
    const gint64 n = gpudl_shape_elements(&output->shape);
    g_autofree float *got = g_new(float, n);

    for (guint range = 0; range < G_N_ELEMENTS(ranges) - cubes_what_is_large(graph); range++) {
        float *values = g_new(float, N);
        g_autoptr(GBytes) input = g_bytes_new_take(values, N * sizeof *values);
        g_autoptr(GPtrArray) expected = NULL;
        g_autoptr(GError) error = NULL;
        gboolean finite = TRUE;

        for (guint i = 0; i < N; i++)
            values[i] = (float)g_rand_double_range(rand, ranges[range][0], ranges[range][1]);
        expected = gpudl_ref_run(graph, &input, NULL, &error);
        g_assert_no_error(error);
        for (gint64 i = 0; i < n; i++)
            finite = finite && isfinite(((const float *)g_bytes_get_data(expected->pdata[0], NULL))[i]);
        if (!finite)
            continue;
        if (host->backend->run_tensors(host->engine, 0, 1, (const void *const *)&values, (void *const *)&got,
                                       &host->fault) != GPUDL_STATUS_OK)
            g_error("run: %s", host->fault.message);
        if (g_atomic_int_get(&host->plans) == 1)
            continue;
        g_test_message("%s: values of %g to %g were run twice without need", what, ranges[range][0], ranges[range][1]);
        g_test_fail();
        return;
    }
}

static void check(const gchar *what, const GpudlGraph *graph, guint kind, GRand *rand)
{
    GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_autoptr(CpuHost) host = cpu_host_open(graph, &params);
    g_autoptr(GPtrArray) expected = NULL;
    g_autoptr(GBytes) input = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree float *got = NULL;
    float *values = g_new(float, N);
    const float *wanted;
    gint64 wrong;
    gsize n;

    if (host->status != GPUDL_STATUS_OK)
        g_error("open: %s", host->fault.message);
    check_usual(what, graph, host, rand);
    for (guint i = 0; i < N; i++)
        values[i] = (float)g_rand_double_range(rand, -1, 1);
    for (guint i = 0; i < 5; i++)
        values[g_rand_int_range(rand, 0, N)] = kinds[kind].values[i % kinds[kind].n];
    input = g_bytes_new_take(values, N * sizeof *values);
    expected = gpudl_ref_run(graph, &input, NULL, &error);
    g_assert_no_error(error);
    wanted = g_bytes_get_data(expected->pdata[0], &n);
    n /= sizeof *wanted;
    got = g_new(float, n);
    if (host->backend->run_tensors(host->engine, 0, 1, (const void *const *)&values, (void *const *)&got,
                                   &host->fault) != GPUDL_STATUS_OK)
        g_error("run: %s", host->fault.message);
    wrong = compare(got, wanted, n);
    if (wrong < 0)
        return;
    g_test_message("%s, %s: value %" G_GINT64_FORMAT " of %" G_GSIZE_FORMAT ": found %g, reference %g", what,
                   kinds[kind].name, wrong, n, (double)got[wrong], (double)wanted[wrong]);
    g_test_fail();
}

static void test_numbers_are_the_references(gconstpointer data)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(g_test_rand_int());

    channels = GPOINTER_TO_UINT(data);

    for (guint i = 0;; i++) {
        for (guint blocked = 0; blocked < 2; blocked++) {
            g_auto(Builder) b = builder_new();
            g_autofree gchar *name = NULL, *what = NULL;
            g_autoptr(GError) error = NULL;
            GpudlTensor *x = builder_input(&b, channels == 16 ? "1x16x6x6" : "1x17x6x6"), *y;

            if (blocked)
                x = pass_on(&b, x);
            y = network(&b, x, i, &name);
            if (y == NULL)
                return;
            what = g_strconcat(name, blocked ? " behind a convolution" : "", NULL);
            builder_output(&b, y);
            gpudl_graph_remove_dead(b.graph);
            if (!gpudl_graph_sort(b.graph, &error) || !gpudl_graph_infer(b.graph, 1, &error))
                g_error("%s: %s", what, error->message);
            for (guint kind = 0; kind < G_N_ELEMENTS(kinds); kind++)
                check(what, b.graph, kind, rand);
        }
    }
}

/* Roots of which every other one is left out; one value has none. How often a run of that is warned of, and whether
 * that is in the output. */
static gint warnings_of_roots(gboolean by_jobs, guint negative)
{
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;
    float values[16 * SIDE * SIDE], got[16 * 3 * 3], *const outputs[] = {got};
    const GpudlJob job = {.values = values, .outputs = outputs};
    GpudlTensor *roots = builder_node(&b, GPUDL_OP_SQRT, builder_input(&b, "1x16x6x6"), NULL);

    builder_output(&b, builder_reshape(&b, builder_pool(&b, GPUDL_OP_AVERAGE_POOL, roots, 1, 2, 0), "0x-1"));
    if (!gpudl_graph_sort(b.graph, &error) || !gpudl_graph_infer(b.graph, 1, &error))
        g_error("%s", error->message);
    host = cpu_host_open(b.graph, &params);
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    for (guint i = 0; i < G_N_ELEMENTS(values); i++)
        values[i] = i == negative ? -1 : 0.25f;
    for (guint n = 0; n < 60; n++) {
        const GpudlStatus status = by_jobs
                                       ? host->backend->submit(host->engine, 0, &job, 1, &host->fault)
                                       : host->backend->run_tensors(host->engine, 0, 1, (const void *const[]){values},
                                                                    (void *const[]){got}, &host->fault);

        g_assert_cmpint(status, ==, GPUDL_STATUS_OK);
        g_assert_true(isnan(got[0]) == (negative == 0));
        g_assert_cmpfloat(got[1], ==, 0.5f);
    }
    return g_atomic_int_get(&host->warnings);
}

static void test_networks_that_run_twice_in_vain_are_told_once(void)
{
    for (guint by_jobs = 0; by_jobs < 2; by_jobs++) {
        g_assert_cmpint(warnings_of_roots(by_jobs, 1), ==, 1);
        g_assert_cmpint(warnings_of_roots(by_jobs, 0), ==, 0);
        g_assert_cmpint(warnings_of_roots(by_jobs, G_MAXUINT), ==, 0);
    }
}

/* What says only that a file is gone would leave open what for. */
static void test_an_error_says_what_the_second_run_is_for(void)
{
    const GpudlOpenParams params = {.activation = GPUDL_ACTIVATION_NONE, .threads = 1};
    g_auto(Builder) b = builder_new();
    g_autoptr(CpuHost) host = NULL;
    g_autoptr(GError) error = NULL;
    float values[16 * SIDE * SIDE] = {NAN}, got[16 * SIDE * SIDE];

    channels = 16;
    builder_output(&b, act(&b, builder_input(&b, "1x16x6x6"), GPUDL_ACT_RELU));
    if (!gpudl_graph_sort(b.graph, &error) || !gpudl_graph_infer(b.graph, 1, &error))
        g_error("%s", error->message);
    host = cpu_host_open(b.graph, &params);
    g_assert_cmpint(host->status, ==, GPUDL_STATUS_OK);
    host->no_constants = TRUE;
    g_assert_cmpint(host->backend->run_tensors(host->engine, 0, 1, (const void *const[]){values}, (void *const[]){got},
                                               &host->fault),
                    ==, GPUDL_STATUS_FAILED);
    g_assert_nonnull(strstr(host->fault.message, "NaN was met"));
    g_assert_nonnull(strstr(host->fault.message, "the model's file is gone"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        printf("1..0 # SKIP bfloat16 is not this machine's\n");
        return 0;
    }
    g_test_add_data_func("/cpu-numbers/are-the-references", GUINT_TO_POINTER(16), test_numbers_are_the_references);
    g_test_add_data_func("/cpu-numbers/are-the-references-where-blocks-have-padding", GUINT_TO_POINTER(17),
                         test_numbers_are_the_references);
    g_test_add_func("/cpu-numbers/networks-that-run-twice-in-vain-are-told-once",
                    test_networks_that_run_twice_in_vain_are_told_once);
    g_test_add_func("/cpu-numbers/an-error-says-what-the-second-run-is-for",
                    test_an_error_says_what_the_second_run_is_for);
    return g_test_run();
}
