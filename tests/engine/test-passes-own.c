/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Constants whose memory is the graph's own are rewritten where they lie, and only those that nobody else reads. */
#include <string.h>

#include "builder.h"
#include "engine/passes/passes.h"

typedef void (*Make)(Builder *b);

static Builder made(Make make, gboolean own)
{
    Builder b = builder_new();

    make(&b);
    g_assert_true(gpudl_graph_infer(b.graph, 1, NULL));
    for (guint i = 0; own && i < b.graph->tensors->len; i++)
        ((GpudlTensor *)b.graph->tensors->pdata[i])->own = TRUE;
    return b;
}

static gconstpointer values_of(const GpudlTensor *tensor)
{
    return tensor->data != NULL ? g_bytes_get_data(tensor->data, NULL) : NULL;
}

static void run(Builder *b)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(gpudl_passes_run(b->graph, NULL, &error));
    g_assert_no_error(error);
}

/* Rewritten in place it is what it is in memory of its own, to the bit; n_stay weights of convolutions lie where they
 * lay. */
static void check(Make make, guint n_stay)
{
    g_auto(Builder) raw = made(make, FALSE), plain = made(make, FALSE), own = made(make, TRUE);
    g_autoptr(GHashTable) before = g_hash_table_new(NULL, NULL);
    guint stay = 0;

    for (guint i = 0; i < own.graph->tensors->len; i++)
        g_hash_table_add(before, (gpointer)values_of(own.graph->tensors->pdata[i]));
    run(&plain);
    run(&own);
    g_assert_cmpuint(plain.graph->tensors->len, ==, own.graph->tensors->len);
    for (guint i = 0; i < plain.graph->tensors->len; i++) {
        const GpudlTensor *x = plain.graph->tensors->pdata[i], *y = own.graph->tensors->pdata[i];

        g_assert_cmpstr(x->name, ==, y->name);
        g_assert_true(gpudl_shape_equal(&x->shape, &y->shape));
        g_assert_true((x->data == NULL) == (y->data == NULL));
        g_assert_true(x->data == NULL || g_bytes_equal(x->data, y->data));
    }
    for (guint i = 0; i < own.graph->nodes->len; i++) {
        const GpudlNode *node = own.graph->nodes->pdata[i];

        stay += node->op == GPUDL_OP_CONV && g_hash_table_contains(before, values_of(node->inputs[1]));
    }
    g_assert_cmpuint(stay, ==, n_stay);
    g_assert_cmpfloat(graph_difference(raw.graph, own.graph, 3), <=, 1e-5);
}

static GpudlTensor *to_last(Builder *b, GpudlTensor *x)
{
    return builder_transpose(b, x, "0x2x3x1");
}

static GpudlTensor *to_first(Builder *b, GpudlTensor *x)
{
    return builder_transpose(b, x, "0x3x1x2");
}

/* Products of channels last are transposed, and the last one is scaled after that. */
static void make_products(Builder *b)
{
    GpudlTensor *x = builder_input(b, "1x19x5x6"), *y;

    y = builder_node(b, GPUDL_OP_MATMUL, to_last(b, builder_conv(b, x, 19, 19, 3, TRUE)),
                     builder_random(b, "19x33", -.5, .5));
    y = builder_node(b, GPUDL_OP_MATMUL, builder_act(b, y, GPUDL_ACT_RELU, 0, 0), builder_random(b, "33x19", -.5, .5));
    y = builder_node(b, GPUDL_OP_MUL, builder_random(b, "19", .5, 1), y);
    builder_output(b, builder_node(b, GPUDL_OP_ADD, x, to_first(b, y)));
}

static void test_products(void)
{
    check(make_products, 3);
}

/* Weights of two products are turned once, in memory of their own: here, both may be read; and so are those scaled for
 * one of two convolutions. */
static void make_shared(Builder *b)
{
    GpudlTensor *x = builder_act(b, builder_input(b, "1x19x5x6"), GPUDL_ACT_RELU, 0, 0), *y, *w;
    GpudlTensor *square = builder_random(b, "19x19", -.5, .5);

    y = builder_node(b, GPUDL_OP_MATMUL, to_last(b, x), square);
    y = to_first(b, builder_node(b, GPUDL_OP_MATMUL, builder_act(b, y, GPUDL_ACT_RELU, 0, 0), square));
    w = builder_conv(b, y, 19, 19, 3, TRUE);
    y = builder_conv(b, builder_act(b, w, GPUDL_ACT_RELU, 0, 0), 19, 19, 3, TRUE);
    y->producer->inputs[1] = w->producer->inputs[1];
    builder_output(b, builder_batch_norm(b, y, 19));
}

static void test_shared(void)
{
    check(make_shared, 1);
}

static void make_norms(Builder *b)
{
    GpudlTensor *y = builder_batch_norm(b, builder_conv(b, builder_input(b, "1x3x8x8"), 3, 8, 3, TRUE), 8);

    builder_output(b, builder_batch_norm(b, builder_conv(b, y, 8, 5, 3, FALSE), 5));
}

static void test_norms(void)
{
    check(make_norms, 2);
}

/* What can't be scaled stays what it was: a weight, or the bias, would not be finite. */
static void make_overflow(Builder *b)
{
    for (guint i = 0; i < 2; i++) {
        GpudlTensor *x = builder_conv(b, builder_input(b, "1x2x4x4"), 2, 3, 1, TRUE), *y;
        float *values = (float *)g_bytes_get_data(x->producer->inputs[1 + i]->data, NULL);

        values[i == 0 ? 5 : 2] = 3e38f; /* the last row's: those before it would be scaled by then */
        y = builder_node(b, GPUDL_OP_MUL, builder_random(b, "1x3x1x1", 8, 9), x);
        builder_output(b, builder_act(b, y, GPUDL_ACT_CLIP, -1, 1));
    }
}

static void test_overflow(void)
{
    check(make_overflow, 2);
}

/* Of a graph that was copied nothing is its own any more. */
static void test_copied(void)
{
    g_auto(Builder) raw = made(make_products, FALSE), own = made(make_products, TRUE);
    g_autoptr(GpudlGraph) copy = gpudl_graph_copy(own.graph);

    run(&own);
    g_assert_cmpfloat(graph_difference(raw.graph, copy, 3), ==, 0);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passes/own/products", test_products);
    g_test_add_func("/passes/own/shared", test_shared);
    g_test_add_func("/passes/own/norms", test_norms);
    g_test_add_func("/passes/own/overflow", test_overflow);
    g_test_add_func("/passes/own/copied", test_copied);
    return g_test_run();
}
