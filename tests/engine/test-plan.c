/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Placing by lifetime, and plans per batch. */
#include <string.h>
#include <time.h>

#include "engine/gpudl.h"
#include "engine/plan.h"

/* Checks all pairs, which come in the order of first. Returns the bytes that are needed at least. */
static guint64 check_placed(guint n, const guint64 *sizes, const gint32 *first, const gint32 *last,
                            const guint64 *offsets, guint64 total, gint32 n_nodes)
{
    g_autofree guint64 *live = g_new0(guint64, (gsize)n_nodes + 2);
    guint64 most = 0;

    for (guint i = 0; i < n; i++) {
        g_assert_cmpuint(offsets[i] % 64, ==, 0);
        g_assert_cmpuint(offsets[i] + sizes[i], <=, total);
        for (gint32 t = first[i]; t <= last[i]; t++)
            live[t + 1] += (sizes[i] + 63) / 64 * 64;
        for (guint j = i + 1; j < n && first[j] <= last[i]; j++)
            if (sizes[i] && sizes[j])
                g_assert_true(offsets[i] + sizes[i] <= offsets[j] || offsets[j] + sizes[j] <= offsets[i]);
    }
    for (gint32 t = -1; t <= n_nodes; t++)
        most = MAX(most, live[t + 1]);
    return most;
}

/* Seconds of processor that the test has used: others on this machine do not count. */
static double processor(void)
{
    return (double)clock() / CLOCKS_PER_SEC;
}

/* Fewer under valgrind, which takes fifty times as long. */
static guint as_many_as(guint n)
{
    return g_getenv("GPUDL_TEST_VALGRIND") ? n / 16 : n;
}

/* The most tensors that a graph may have, in the shapes that are worst for one who places them. */
static void test_very_many_are_placed_soon(void)
{
    const guint n_blocks = as_many_as(262144);
    const gint32 n_nodes = (gint32)n_blocks / 4;
    g_autofree guint64 *sizes = g_new(guint64, n_blocks), *offsets = g_new(guint64, n_blocks);
    g_autofree gint32 *first = g_new(gint32, n_blocks), *last = g_new(gint32, n_blocks);
    g_autoptr(GRand) rand = g_rand_new_with_seed(3);
    const double begin = processor();
    guint64 total, least;

    for (guint i = 0; i < n_blocks; i++) {
        first[i] = (gint32)(i / 4) - 1;
        last[i] = first[i] + g_rand_int_range(rand, 0, 20);
        last[i] = MIN(last[i], n_nodes);
        sizes[i] = (guint64)g_rand_int_range(rand, 0, 100000);
    }
    total = gpudl_place(n_blocks, sizes, first, last, 64, offsets);
    least = check_placed(n_blocks, sizes, first, last, offsets, total, n_nodes);
    g_test_message("random: %.2f of the least", (double)total / least);
    g_assert_cmpuint(total, <=, least * 11 / 10);

    for (guint i = 0; i < n_blocks; i++) {
        first[i] = (gint32)i - 1;
        last[i] = (gint32)i;
        sizes[i] = 602112;
    }
    total = gpudl_place(n_blocks, sizes, first, last, 64, offsets);
    g_assert_cmpuint(total, ==, check_placed(n_blocks, sizes, first, last, offsets, total, n_blocks));

    for (guint i = 0; i < n_blocks; i++) {
        last[i] = n_blocks;
        sizes[i] = 64;
    }
    g_assert_cmpuint(gpudl_place(n_blocks, sizes, first, last, 64, offsets), ==, 64 * (guint64)n_blocks);
    g_assert_cmpfloat(processor() - begin, <, 10); /* it took hours by pairs */
}

/* The number of blocks decides nothing about how well they are placed. */
static void test_many_are_placed_as_well_as_few(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);

    for (guint n = 500; n <= 32000; n *= 4) {
        g_autofree guint64 *sizes = g_new(guint64, n), *offsets = g_new(guint64, n);
        g_autofree gint32 *first = g_new(gint32, n), *last = g_new(gint32, n);
        guint64 total, least;

        for (guint i = 0; i < n; i++) {
            sizes[i] = (guint64)g_rand_int_range(rand, 0, 100000);
            first[i] = (gint32)(i / 3) - 1;
            last[i] = first[i] + g_rand_int_range(rand, 0, 8);
        }
        total = gpudl_place(n, sizes, first, last, 64, offsets);
        least = check_placed(n, sizes, first, last, offsets, total, (gint32)n);
        g_test_message("%u blocks: %.3f of the least", n, (double)total / least);
        g_assert_cmpuint(total, <=, least * 23 / 20);
    }
}

/* So dense that looking at all that is alive would take minutes: the end is not far, and nothing overlaps. */
static void test_dense_ones_are_placed_soon(void)
{
    enum { N_NODES = 40 };
    const guint n_blocks = as_many_as(60000);
    g_autofree guint64 *sizes = g_new(guint64, n_blocks), *offsets = g_new(guint64, n_blocks);
    g_autofree gint32 *first = g_new(gint32, n_blocks), *last = g_new(gint32, n_blocks);
    g_autoptr(GRand) rand = g_rand_new_with_seed(6);
    const double begin = processor();
    guint64 total, ends[N_NODES + 1] = {0}, least = 0;

    for (guint i = 0; i < n_blocks; i++) {
        first[i] = g_rand_int_range(rand, 0, N_NODES);
        last[i] = first[i] + g_rand_int_range(rand, 0, 6);
        last[i] = MIN(last[i], N_NODES - 1);
        sizes[i] = 64 * (guint64)g_rand_int_range(rand, 1, 1000);
        for (gint32 t = first[i]; t <= last[i]; t++)
            ends[t] += sizes[i];
    }
    total = gpudl_place(n_blocks, sizes, first, last, 64, offsets);
    g_assert_cmpfloat(processor() - begin, <, 5);
    for (guint t = 0; t < N_NODES; t++)
        least = MAX(least, ends[t]);
    g_test_message("%.3f of the least in %.2f s", (double)total / least, processor() - begin);
    g_assert_cmpuint(total, <=, least * 2);
    for (guint i = 0; i < n_blocks; i += 97)
        for (guint j = 0; j < n_blocks; j++)
            if (j != i && last[i] >= first[j] && last[j] >= first[i])
                g_assert_true(offsets[i] + sizes[i] <= offsets[j] || offsets[j] + sizes[j] <= offsets[i]);
}

static void test_nothing_alive_overlaps(void)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);

    for (guint round = 0; round < 200; round++) {
        enum { MAX_N = 60 };
        guint n = (guint)g_rand_int_range(rand, 1, MAX_N);
        guint64 sizes[MAX_N], offsets[MAX_N], total, least;
        gint32 first[MAX_N], last[MAX_N];

        for (guint i = 0; i < n; i++) {
            sizes[i] = (guint64)g_rand_int_range(rand, 0, 5000);
            first[i] = (gint32)(40 * i / n) - 1;
            last[i] = first[i] + g_rand_int_range(rand, 0, 10);
        }
        total = gpudl_place(n, sizes, first, last, 64, offsets);
        least = check_placed(n, sizes, first, last, offsets, total, 50);
        g_assert_cmpuint(total, >=, least);
        g_assert_cmpuint(total, <=, least * 3 / 2);
    }
}

static void test_a_chain_needs_two_blocks(void)
{
    guint64 sizes[10], offsets[10];
    gint32 first[10], last[10];

    for (gint32 i = 0; i < 10; i++) {
        sizes[i] = 640;
        first[i] = i - 1;
        last[i] = i;
    }
    g_assert_cmpuint(gpudl_place(10, sizes, first, last, 64, offsets), ==, 2 * 640);
}

static void test_overflow_is_told(void)
{
    guint64 sizes[2] = {G_MAXUINT64 - 3, 8}, offsets[2];
    gint32 first[2] = {0, 0}, last[2] = {0, 0};

    g_assert_true(gpudl_place(2, sizes, first, last, 64, offsets) == G_MAXUINT64);
}

static GpudlGraph *make_graph(void)
{
    GpudlGraph *graph = gpudl_graph_new();
    guint8 *unaligned = g_malloc(4 * sizeof(float) + 4);
    float values[4] = {1, 2, 3, 4};
    g_autoptr(GBytes) whole = g_bytes_new_take(unaligned, 4 * sizeof(float) + 4);
    g_autoptr(GBytes) part = g_bytes_new_from_bytes(whole, 4, 4 * sizeof(float));
    GpudlTensor *x = gpudl_graph_add_input(graph, "x", GPUDL_DTYPE_F32, &(GpudlShape){2, {1, 4}});
    GpudlTensor *c, *in[2];
    GpudlNode *add, *relu;

    memcpy(unaligned + 4, values, sizeof values);
    c = gpudl_graph_add_constant(graph, "c", GPUDL_DTYPE_F32, &(GpudlShape){1, {4}}, part, NULL);
    in[0] = x;
    in[1] = c;
    add = gpudl_graph_add_node(graph, GPUDL_OP_ADD, "add", in, 2, NULL, 1);
    relu = gpudl_graph_add_node(graph, GPUDL_OP_ACTIVATION, "relu", add->outputs, 1, NULL, 1);
    relu->attrs.unary.act.kind = GPUDL_ACT_RELU;
    gpudl_graph_add_output(graph, relu->outputs[0]);
    g_assert_true(gpudl_graph_sort(graph, NULL));
    g_assert_true(gpudl_graph_infer(graph, 1, NULL));
    return graph;
}

static void test_plan_tells_lifetimes_and_aligns_constants(void)
{
    g_autoptr(GpudlGraph) graph = make_graph();
    g_autoptr(GpudlPlanner) planner = gpudl_planner_new(graph, "id");
    const GpudlPlan *plan = gpudl_planner_get(planner, 1, NULL);
    const GpudlPlanTensor *x, *sum, *out, *c;

    g_assert_nonnull(plan);
    g_assert_cmpuint(plan->n_nodes, ==, 2);
    g_assert_cmpstr(plan->content, ==, "id");
    x = &plan->tensors[plan->inputs[0]];
    c = &plan->tensors[plan->nodes[0].inputs[1]];
    sum = &plan->tensors[plan->nodes[0].outputs[0]];
    out = &plan->tensors[plan->outputs[0]];
    g_assert_cmpint(x->kind, ==, GPUDL_PLAN_INPUT);
    g_assert_cmpint(x->first_node, ==, -1);
    g_assert_cmpint(x->last_node, ==, 0);
    g_assert_cmpint(sum->first_node, ==, 0);
    g_assert_cmpint(sum->last_node, ==, 1);
    g_assert_cmpint(sum->n_uses, ==, 1);
    g_assert_cmpint(out->last_node, ==, 2);
    g_assert_cmpuint(out->bytes, ==, 16);
    g_assert_cmpint(c->kind, ==, GPUDL_PLAN_CONSTANT);
    g_assert_cmpuint((guintptr)c->data % 64, ==, 0);
    g_assert_cmpfloat(((const float *)c->data)[3], ==, 4);
}

static void test_other_batches_need_the_proof(void)
{
    g_autoptr(GpudlGraph) graph = make_graph();
    g_autoptr(GpudlPlanner) unproven = gpudl_planner_new(graph, ""), proven = NULL;
    g_autoptr(GError) error = NULL;
    const GpudlPlan *one, *eight;

    g_assert_null(gpudl_planner_get(unproven, 8, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    graph->symbolic_batch = TRUE;
    proven = gpudl_planner_new(graph, "");
    eight = gpudl_planner_get(proven, 8, NULL);
    one = gpudl_planner_get(proven, 1, NULL);
    g_assert_cmpint(eight->tensors[eight->outputs[0]].shape.dims[0], ==, 8);
    g_assert_cmpint(one->tensors[one->outputs[0]].shape.dims[0], ==, 1);
    g_assert_true(gpudl_planner_get(proven, 8, NULL) == eight);
    for (gint64 batch = -1; batch <= 0; batch++) {
        g_clear_error(&error);
        g_assert_null(gpudl_planner_get(proven, batch, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    }
    g_clear_error(&error);
    g_assert_null(gpudl_planner_get(proven, G_GINT64_CONSTANT(1) << 40, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
    g_assert_true(eight->tensors[eight->nodes[0].inputs[1]].data == one->tensors[one->nodes[0].inputs[1]].data);
}

/* Plans that are out follow what can be read; small constants always can. */
static void test_large_constants_come_and_go(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autofree float *values = g_new0(float, 2048);
    GpudlTensor *x = gpudl_graph_add_input(graph, "x", GPUDL_DTYPE_F32, &(GpudlShape){2, {1, 2048}});
    GpudlTensor *in[2] = {x, gpudl_graph_add_constant_f32(graph, "large", values, (gint64[]){2048}, 1)};
    GpudlNode *add = gpudl_graph_add_node(graph, GPUDL_OP_ADD, "a", in, 2, NULL, 1);
    g_autoptr(GpudlPlanner) planner = NULL;
    const GpudlPlanTensor *large, *small;
    const GpudlPlan *plan;
    const void *data;

    in[0] = add->outputs[0];
    in[1] = gpudl_graph_add_constant_f32(graph, "small", values, (gint64[]){1}, 1);
    add = gpudl_graph_add_node(graph, GPUDL_OP_ADD, "b", in, 2, NULL, 1);
    gpudl_graph_add_output(graph, add->outputs[0]);
    g_assert_true(gpudl_graph_sort(graph, NULL) && gpudl_graph_infer(graph, 1, NULL));
    planner = gpudl_planner_new(graph, "id");
    plan = gpudl_planner_get(planner, 1, NULL);
    large = &plan->tensors[plan->nodes[0].inputs[1]];
    small = &plan->tensors[plan->nodes[1].inputs[1]];
    data = large->data;
    g_assert_nonnull(data);
    gpudl_planner_set_held(planner, FALSE);
    g_assert_null(large->data);
    g_assert_nonnull(small->data);
    gpudl_planner_set_held(planner, TRUE);
    g_assert_true(large->data == data);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/plan/place/nothing-alive-overlaps", test_nothing_alive_overlaps);
    g_test_add_func("/plan/place/very-many-are-placed-soon", test_very_many_are_placed_soon);
    g_test_add_func("/plan/place/many-as-well-as-few", test_many_are_placed_as_well_as_few);
    g_test_add_func("/plan/place/dense-ones-are-placed-soon", test_dense_ones_are_placed_soon);
    g_test_add_func("/plan/place/a-chain-needs-two-blocks", test_a_chain_needs_two_blocks);
    g_test_add_func("/plan/place/overflow-is-told", test_overflow_is_told);
    g_test_add_func("/plan/large-constants-come-and-go", test_large_constants_come_and_go);
    g_test_add_func("/plan/lifetimes-and-alignment", test_plan_tells_lifetimes_and_aligns_constants);
    g_test_add_func("/plan/other-batches-need-the-proof", test_other_batches_need_the_proof);
    return g_test_run();
}
