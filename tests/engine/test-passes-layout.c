/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Channels last seen as channels first: transposes that go, what is turned on the way, and what stays because nothing
 * would be saved. */
#include <string.h>

#include "builder.h"
#include "engine/passes/passes.h"
#include "kernels/resize.h"

static GpudlTensor *to_last(Builder *b, GpudlTensor *x)
{
    return builder_transpose(b, x, "0x2x3x1");
}

static GpudlTensor *to_first(Builder *b, GpudlTensor *x)
{
    return builder_transpose(b, x, "0x3x1x2");
}

static GpudlTensor *layer_norm(Builder *b, GpudlTensor *x, gint axis, gint n, const gchar *shape)
{
    GpudlTensor *inputs[3] = {x};
    GpudlNode *node;

    for (gint i = 1; shape != NULL && i < 3; i++)
        inputs[i] = builder_random(b, shape, -1, 1);
    node = gpudl_graph_add_node(b->graph, GPUDL_OP_LAYER_NORM, "norm", inputs, shape != NULL ? 3 : 1, NULL, 1);
    node->attrs.norm.axis = axis;
    node->attrs.norm.n_axes = n;
    return node->outputs[0];
}

static GpudlTensor *linear(Builder *b, GpudlTensor *x, const gchar *weights, const gchar *bias)
{
    GpudlTensor *y = builder_node(b, GPUDL_OP_MATMUL, x, builder_random(b, weights, -.5, .5));

    return builder_node(b, GPUDL_OP_ADD, builder_random(b, bias, -1, 1), y);
}

/* Channels last for norm and two products, a scale of channels and the residual behind: three convolutions and a norm.
 */
static void test_convnext(void)
{
    for (guint i = 0; i < 2; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_act(&b, builder_input(&b, "1x6x7x8"), GPUDL_ACT_RELU, 0, 0), *y;
        const GpudlNode *last;

        y = builder_conv(&b, x, 1, 6, 3, TRUE);
        y->producer->attrs.window.group = 6;
        y = layer_norm(&b, to_last(&b, y), 3, 1, "6");
        y = builder_act(&b, linear(&b, y, "6x24", "24"), GPUDL_ACT_GELU, 0, 0);
        y = linear(&b, y, "24x6", "6");
        if (i == 0) /* the scale before or behind the way back */
            y = builder_node(&b, GPUDL_OP_MUL, to_first(&b, y), builder_random(&b, "1x6x1x1", .5, 1));
        else
            y = to_first(&b, builder_node(&b, GPUDL_OP_MUL, builder_random(&b, "6", .5, 1), y));
        builder_output(&b, builder_node(&b, GPUDL_OP_ADD, x, y));
        builder_check(&b, NULL, "Conv:3 LayerNorm:1 Activation:1");
        last = ((GpudlTensor *)b.graph->outputs->pdata[0])->producer;
        g_assert_cmpint(last->op, ==, GPUDL_OP_CONV);
        g_assert_nonnull(last->inputs[3]);
        g_assert_cmpint(graph_first(b.graph, GPUDL_OP_LAYER_NORM)->attrs.norm.axis, ==, 1);
    }
}

/* As TensorFlow's exporter leaves them: pad, bias and activation between transposes, then the mean of all pixels. */
static void test_tensorflow(void)
{
    for (guint keep = 0; keep < 2; keep++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y;

        y = to_last(&b, builder_conv(&b, x, 6, 6, 1, FALSE));
        y = builder_node(&b, GPUDL_OP_ADD, y, builder_random(&b, "6", -1, 1));
        y = builder_act(&b, y, GPUDL_ACT_RELU, 0, 0);
        y = builder_pad(&b, y, "0x0x1x0", "0x1x0x0", 0);
        y = to_last(&b, builder_conv(&b, to_first(&b, y), 6, 5, 3, TRUE));
        y = builder_node(&b, GPUDL_OP_REDUCE_MEAN, y, NULL);
        y->producer->attrs.reduce = (GpudlReduceAttrs){2, {1, 2}, (gint)keep};
        builder_output(&b, keep ? builder_reshape(&b, y, "0x5") : y);
        builder_check(&b, NULL, "Conv:2 GlobalAveragePool:1 Reshape:1");
    }
}

/* ---- one operator between two transposes ---------------------------------------------------------------------------
 */

static GpudlTensor *with(GpudlTensor *y, GpudlAttrs attrs)
{
    y->producer->attrs = attrs;
    return y;
}

/* The operator number i over x, 1 x 7 x 8 x 6; NULL behind the last. Its result has the rank of x. */
static GpudlTensor *between(Builder *b, GpudlTensor *x, guint i)
{
    GpudlTensor *pair[] = {x, x}, *y, *z;
    GpudlNode *node;

    switch (i) {
    case 0:
        return builder_node(b, GPUDL_OP_ABS, x, NULL);
    case 1:
        return builder_node(b, GPUDL_OP_SUB, builder_random(b, "7x8x6", -1, 1), x);
    case 2:
        return builder_node(b, GPUDL_OP_MUL, x, builder_random(b, "8x1", -1, 1));
    case 3:
        return builder_node(b, GPUDL_OP_DIV, x, builder_scalar(b, 3));
    case 4:
        y = builder_node(b, GPUDL_OP_REDUCE_MAX, x, NULL);
        return builder_node(b, GPUDL_OP_SUB, x, with(y, (GpudlAttrs){.reduce = {1, {3}, 1}}));
    case 5:
        y = builder_node(b, GPUDL_OP_REDUCE_SUM, x, NULL);
        return builder_node(b, GPUDL_OP_ADD, with(y, (GpudlAttrs){.reduce = {2, {1, 3}, 1}}), x);
    case 6:
        return layer_norm(b, x, 3, 1, "6");
    case 7:
        return layer_norm(b, x, 1, 3, NULL);
    case 8:
        return layer_norm(b, x, 1, 2, "7x8");
    case 9:
        return with(builder_node(b, GPUDL_OP_SOFTMAX, x, NULL), (GpudlAttrs){.axis = {.axis = 3}});
    case 10:
        return with(builder_node(b, GPUDL_OP_SOFTMAX, x, NULL), (GpudlAttrs){.axis = {.axis = 1}});
    case 11:
        node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, "concat", pair, 2, NULL, 1);
        node->attrs.axis.axis = 3;
        return node->outputs[0];
    case 12:
        node = gpudl_graph_add_node(b->graph, GPUDL_OP_SPLIT, "split", &x, 1, NULL, 2);
        node->attrs.axis = (GpudlAxisAttrs){.axis = 2, .n_sizes = 2, .sizes = {3, 5}};
        y = builder_node(b, GPUDL_OP_REDUCE_MEAN, node->outputs[0], NULL);
        z = node->outputs[1];
        return builder_node(b, GPUDL_OP_MUL, with(y, (GpudlAttrs){.reduce = {1, {2}, 1}}), z);
    case 13:
        y = builder_node(b, GPUDL_OP_SLICE, x, NULL);
        return with(y, (GpudlAttrs){.slice = {4, {0, 1, 2, 3}, {G_MAXINT64, 6, -1, G_MAXINT64}, {1, 1, 2, 1}}});
    case 14:
        return builder_pad(b, x, "0x1x0x2", "0x0x3x1", .5);
    case 15:
        return builder_node(b, GPUDL_OP_MATMUL, x, builder_random(b, "6x4", -1, 1));
    case 16:
        return builder_node(b, GPUDL_OP_PRELU, x, builder_random(b, "6", -1, 1));
    case 17: /* twice as high, three times as wide */
        y = builder_node(b, GPUDL_OP_RESIZE, x, NULL);
        return with(y, (GpudlAttrs){.resize = {.rank = 4, .mode = GPUDL_SAMPLE_LINEAR, .sizes = {0, 14, 24, 0}}});
    case 18:
        y = builder_node(b, GPUDL_OP_RESIZE, x, NULL);
        return with(y, (GpudlAttrs){.resize = {.rank = 4, .sizes = {0, 0, 20, 0}, .scale = {0, 0, 2.5, 0}}});
    default:
        return NULL;
    }
}

static guint moving(const GpudlGraph *graph)
{
    guint n = 0;

    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = graph->nodes->pdata[i];
        gboolean moves = FALSE;

        for (int k = 0; node->op == GPUDL_OP_TRANSPOSE && k < node->attrs.transpose.rank; k++)
            moves |= node->attrs.transpose.perm[k] != k;
        n += moves;
    }
    return n;
}

static void check_between(guint i, gboolean twice)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = between(&b, to_last(&b, x), i);
    g_autofree gchar *left = NULL;

    if (twice)
        y = builder_node(&b, GPUDL_OP_NEG, y, NULL);
    builder_output(&b, to_first(&b, y));
    g_assert_true(gpudl_graph_infer(b.graph, 1, NULL));
    left = graph_histogram(b.graph);
    if (i == 15) {
        g_free(left);
        left = g_strdup(twice ? "Conv:1 Neg:1 Transpose:2" : "Conv:1 Transpose:2");
    }
    builder_check(&b, "layout", left);
    g_assert_cmpuint(moving(b.graph), ==, 0);
}

static void test_operators(void)
{
    g_auto(Builder) b = builder_new();

    for (guint i = 0; between(&b, builder_input(&b, "1x7x8x6"), i) != NULL; i++)
        for (guint twice = 0; twice < 2; twice++)
            check_between(i, twice);
}

/* One reader works in the old order alone, two transposes go for one that comes. */
static void test_border(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = builder_node(&b, GPUDL_OP_ABS, to_last(&b, x), NULL);

    builder_output(&b, to_first(&b, y));
    builder_output(&b, builder_reshape(&b, y, "0x-1"));
    builder_check(&b, NULL, "Abs:1 Reshape:1 Transpose:1");
}

/* What is made in the old order alone comes in through a transpose of its own. */
static void test_other_source(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = to_last(&b, x);
    GpudlTensor *z = builder_reshape(&b, builder_node(&b, GPUDL_OP_ABS, x, NULL), "0x7x8x6");

    builder_output(&b, to_first(&b, builder_node(&b, GPUDL_OP_ADD, y, z)));
    builder_check(&b, NULL, "Abs:1 Add:1 Reshape:1 Transpose:1");
}

/* Nothing is saved: the output itself has to be channels last; what has another order is no picture. */
static void test_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y;

    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, to_last(&b, x), NULL));
    y = builder_node(&b, GPUDL_OP_NEG, to_last(&b, x), NULL);
    builder_output(&b, builder_reshape(&b, y, "0x-1"));
    y = builder_node(&b, GPUDL_OP_FLOOR, builder_transpose(&b, x, "0x2x1x3"), NULL);
    builder_output(&b, builder_reshape(&b, y, "0x-1"));
    builder_check(&b, "layout", "Abs:1 Neg:1 Floor:1 Reshape:2 Transpose:3");
    g_assert_cmpuint(moving(b.graph), ==, 3);
}

/* A mean that drops its dimensions in another order than before, and a reshape of several pixels. */
static void test_exits_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = builder_node(&b, GPUDL_OP_ABS, to_last(&b, x), NULL);

    builder_output(&b, with(builder_node(&b, GPUDL_OP_REDUCE_MEAN, y, NULL), (GpudlAttrs){.reduce = {1, {1}, 0}}));
    builder_check(&b, "layout", "Abs:1 ReduceMean:1 Transpose:1");
    g_assert_cmpuint(moving(b.graph), ==, 1);
}

/* Two stretches with a transpose between them, from which either gains: of all that is moved the least stays, the mean.
 */
static void test_neighbours(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x4x5"), *y;
    gint64 moved = 0;

    y = builder_pad(&b, x, "0x1x0x0", "0x1x0x0", 0);
    y = builder_node(&b, GPUDL_OP_ABS, to_first(&b, y), NULL);
    y = builder_node(&b, GPUDL_OP_REDUCE_MEAN, y, NULL);
    y->producer->attrs.reduce = (GpudlReduceAttrs){1, {1}, 1};
    builder_output(&b, builder_act(&b, to_first(&b, y), GPUDL_ACT_TANH, 0, 0));
    builder_check(&b, NULL, "Activation:1 Abs:1 ReduceMean:1 Transpose:1 Pad:1");
    for (guint i = 0; i < b.graph->nodes->len; i++) {
        const GpudlNode *node = b.graph->nodes->pdata[i];

        moved += node->op == GPUDL_OP_TRANSPOSE ? gpudl_shape_elements(&node->outputs[0]->shape) : 0;
    }
    g_assert_cmpint(moved, ==, 8 * 4);
}

static void run_pass(GpudlGraph *graph, const gchar *name, guint *changed)
{
    const GpudlPassInfo *info = gpudl_passes_list();
    g_autoptr(GError) error = NULL;

    while (strcmp(info->name, name) != 0)
        info++;
    g_assert_true(info->run(graph, changed, &error));
    g_assert_no_error(error);
}

/* As many stretches as a file may have: all go, in a time that grows with their number alone; a constant that all read
 * is not copied for each. */
static void test_many_regions(void)
{
    const guint n = 10000;
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x2x3x2"), *constant = builder_random(&b, "2x1x2", -1, 1);
    GpudlTensor *weights = builder_random(&b, "2x2", -1, 1);
    g_autoptr(GError) error = NULL;
    g_autofree gchar *left = NULL;
    guint changed = 0, constants = 0;

    for (guint i = 0; i < n; i++) {
        x = builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL);
        x = builder_node(&b, GPUDL_OP_ADD, to_last(&b, x), constant);
        x = to_first(&b, builder_node(&b, GPUDL_OP_MATMUL, x, weights));
    }
    builder_output(&b, x);
    g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
    g_test_timer_start();
    run_pass(b.graph, "layout", &changed);
    g_test_message("%u regions in %.1f s", changed, g_test_timer_elapsed());
    g_assert_cmpfloat(g_test_timer_last(), <, 10);
    g_assert_cmpuint(changed, ==, n);
    run_pass(b.graph, "clean", &changed);
    left = graph_histogram(b.graph);
    g_assert_null(strstr(left, "Transpose"));
    for (guint i = 0; i < b.graph->tensors->len; i++)
        constants += gpudl_tensor_is_constant(b.graph->tensors->pdata[i]);
    g_assert_cmpuint(constants, <, 10);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passes/layout/convnext", test_convnext);
    g_test_add_func("/passes/layout/tensorflow", test_tensorflow);
    g_test_add_func("/passes/layout/operators", test_operators);
    g_test_add_func("/passes/layout/border", test_border);
    g_test_add_func("/passes/layout/other-source", test_other_source);
    g_test_add_func("/passes/layout/kept", test_kept);
    g_test_add_func("/passes/layout/exits-kept", test_exits_kept);
    g_test_add_func("/passes/layout/neighbours", test_neighbours);
    g_test_add_func("/passes/layout/many-regions", test_many_regions);
    return g_test_run();
}
