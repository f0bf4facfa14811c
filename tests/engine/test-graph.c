/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <glib.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/graph/graph.h"
#include "engine/graph/ops.h"
#include "engine/limits.h"

static GpudlTensor *input(GpudlGraph *graph, gint64 n, gint64 c)
{
    GpudlShape shape = {2, {n, c}};

    return gpudl_graph_add_input(graph, "in", GPUDL_DTYPE_F32, &shape);
}

static GpudlNode *unary(GpudlGraph *graph, GpudlOp op, const gchar *name, GpudlTensor *x)
{
    return gpudl_graph_add_node(graph, op, name, &x, 1, NULL, 1);
}

static GpudlNode *binary(GpudlGraph *graph, GpudlOp op, const gchar *name, GpudlTensor *a, GpudlTensor *b)
{
    GpudlTensor *inputs[] = {a, b};

    return gpudl_graph_add_node(graph, op, name, inputs, 2, NULL, 1);
}

static void test_constants(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autoptr(GBytes) data = g_bytes_new_static("12345678", 8);
    g_autoptr(GError) error = NULL;
    GpudlShape two = {1, {2}}, three = {1, {3}}, negative = {1, {-2}}, deep = {7, {0}}, empty = {2, {0, 5}};
    GpudlShape overflow = {3, {G_MAXINT64, G_MAXINT64, 2}};
    g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);
    const float values[] = {1, 2, 3, 4, 5, 6};
    const gint64 dims[] = {2, 3};
    GpudlTensor *t;

    t = gpudl_graph_add_constant(graph, "c", GPUDL_DTYPE_F32, &two, data, &error);
    g_assert_no_error(error);
    g_assert_true(gpudl_tensor_is_constant(t));
    g_assert_true(t->data == data);
    g_assert_true(
        gpudl_tensor_is_constant(gpudl_graph_add_constant(graph, "empty", GPUDL_DTYPE_I64, &empty, nothing, &error)));
    g_assert_null(gpudl_graph_add_constant(graph, "c", GPUDL_DTYPE_F32, &three, data, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "8 bytes do not fit 3 elements of float32"));
    g_clear_error(&error);
    g_assert_null(gpudl_graph_add_constant(graph, "c", GPUDL_DTYPE_F32, &negative, data, &error));
    g_clear_error(&error);
    g_assert_null(gpudl_graph_add_constant(graph, "c", GPUDL_DTYPE_F32, &deep, data, &error));
    g_clear_error(&error);
    g_assert_null(gpudl_graph_add_constant(graph, "c", GPUDL_DTYPE_F32, &overflow, data, &error));
    g_clear_error(&error);
    g_assert_null(gpudl_graph_add_constant(graph, "c", GPUDL_DTYPE_NONE, &two, data, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    t = gpudl_graph_add_constant_f32(graph, "f", values, dims, 2);
    g_assert_cmpmem(g_bytes_get_data(t->data, NULL), g_bytes_get_size(t->data), values, sizeof(values));
}

static void test_defaults(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    GpudlTensor *x = input(graph, 1, 2);
    const gchar *names[] = {"first", NULL};
    GpudlNode *conv = unary(graph, GPUDL_OP_CONV, "conv", x), *gemm = unary(graph, GPUDL_OP_GEMM, NULL, x), *split;

    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        g_assert_cmpint(conv->attrs.window.kernel[i], ==, 1);
        g_assert_cmpint(conv->attrs.window.stride[i], ==, 1);
        g_assert_cmpint(conv->attrs.window.dilation[i], ==, 1);
        g_assert_cmpint(conv->attrs.window.pad_begin[i], ==, 0);
    }
    g_assert_cmpint(conv->attrs.window.group, ==, 1);
    g_assert_cmpfloat(gemm->attrs.gemm.alpha, ==, 1);
    g_assert_cmpfloat(gemm->attrs.gemm.beta, ==, 1);
    g_assert_cmpstr(gemm->name, ==, "");
    g_assert_cmpstr(conv->outputs[0]->name, ==, "conv:0");
    split = gpudl_graph_add_node(graph, GPUDL_OP_SPLIT, "s", &x, 1, names, 2);
    g_assert_cmpstr(split->outputs[0]->name, ==, "first");
    g_assert_cmpstr(split->outputs[1]->name, ==, "s:1");
    g_assert_cmpuint(split->outputs[1]->output_index, ==, 1);
    g_assert_true(split->outputs[1]->producer == split);
}

static void test_sort(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autoptr(GError) error = NULL;
    GpudlTensor *x = input(graph, 1, 2);
    GpudlNode *c = binary(graph, GPUDL_OP_ADD, "c", x, x), *b = unary(graph, GPUDL_OP_EXP, "b", x),
              *a = unary(graph, GPUDL_OP_ABS, "a", x), *d = unary(graph, GPUDL_OP_SQRT, "d", x);

    /* c reads a and b, which stand behind it */
    c->inputs[0] = a->outputs[0];
    c->inputs[1] = b->outputs[0];
    gpudl_graph_add_output(graph, c->outputs[0]);
    gpudl_graph_add_output(graph, d->outputs[0]);
    g_assert_false(gpudl_graph_infer(graph, 0, &error));
    g_assert_nonnull(strstr(error->message, "not computed by any node before"));
    g_clear_error(&error);
    g_assert_true(gpudl_graph_sort(graph, &error));
    g_assert_true(graph->nodes->pdata[0] == a && graph->nodes->pdata[1] == b && graph->nodes->pdata[2] == c &&
                  graph->nodes->pdata[3] == d);
    g_assert_true(gpudl_graph_infer(graph, 0, &error));
    /* sorted stays as it is */
    g_assert_true(gpudl_graph_sort(graph, &error));
    g_assert_true(graph->nodes->pdata[0] == a && graph->nodes->pdata[3] == d);

    a->inputs[0] = c->outputs[0];
    g_assert_false(gpudl_graph_sort(graph, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "depends on the node's own output"));
}

static void test_long_chain(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autoptr(GError) error = NULL;
    GpudlTensor *x = input(graph, 1, 1);
    GpudlNode *last = NULL;

    /* backwards, as deep as a graph may be: sorting must not recurse */
    for (guint i = 0; i < GPUDL_LIMIT_NODES; i++) {
        GpudlNode *node = unary(graph, GPUDL_OP_ABS, "n", x);

        if (last != NULL)
            last->inputs[0] = node->outputs[0];
        else
            gpudl_graph_add_output(graph, node->outputs[0]);
        last = node;
    }
    g_assert_true(gpudl_graph_sort(graph, &error));
    g_assert_true(gpudl_graph_infer(graph, 3, &error));
    g_assert_no_error(error);
    unary(graph, GPUDL_OP_ABS, "one too many", x);
    g_assert_false(gpudl_graph_infer(graph, 3, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
    g_assert_cmpuint(gpudl_graph_remove_dead(graph), ==, 1);
    g_ptr_array_set_size(graph->outputs, 0);
    g_assert_cmpuint(gpudl_graph_remove_dead(graph), ==, GPUDL_LIMIT_NODES);
}

static void test_batch(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autoptr(GError) error = NULL;
    GpudlTensor *x = input(graph, 4, 6);
    GpudlNode *node = unary(graph, GPUDL_OP_RESHAPE, "r", x);

    node->attrs.shape.rank = 3;
    node->attrs.shape.dims[1] = -1;
    node->attrs.shape.dims[2] = 2;
    gpudl_graph_add_output(graph, node->outputs[0]);
    g_assert_cmpint(graph->batch, ==, 0);
    g_assert_true(gpudl_graph_infer(graph, 0, &error));
    g_assert_cmpint(graph->batch, ==, 4);
    g_assert_true(gpudl_graph_infer(graph, 7, &error));
    g_assert_cmpint(graph->batch, ==, 7);
    g_assert_cmpint(node->outputs[0]->shape.dims[0], ==, 7);
    g_assert_cmpint(node->outputs[0]->shape.dims[1], ==, 3);
    g_assert_false(gpudl_graph_infer(graph, -1, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_clear_error(&error);
    g_assert_false(gpudl_graph_infer(graph, G_MAXINT64, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
}

static void test_bad_graphs(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autoptr(GError) error = NULL;
    GpudlTensor *x = input(graph, 1, 6), *gone;
    GpudlNode *a = unary(graph, GPUDL_OP_ABS, "a", x);

    gone = a->outputs[0];
    gpudl_graph_add_output(graph, gone);
    gpudl_graph_remove_node(graph, a);
    g_assert_cmpuint(graph->nodes->len, ==, 0);
    g_assert_false(gpudl_graph_infer(graph, 0, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "output 'a:0' is not computed"));
    g_clear_error(&error);

    unary(graph, GPUDL_OP_ABS, "b", gone);
    g_assert_true(gpudl_graph_sort(graph, &error));
    g_assert_false(gpudl_graph_infer(graph, 0, &error));
    g_assert_nonnull(strstr(error->message, "node 'b' (Abs): input 0, 'a:0'"));
    g_clear_error(&error);

    x->shape.dims[1] = 0;
    g_assert_false(gpudl_graph_infer(graph, 0, &error));
    g_assert_nonnull(strstr(error->message, "dimension 1 is 0"));
    g_clear_error(&error);
    x->shape.rank = 7;
    g_assert_false(gpudl_graph_infer(graph, 0, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED);
    g_clear_error(&error);
    x->shape.rank = 2;
    x->shape.dims[1] = 6;
    x->dtype = (GpudlDType)77;
    g_assert_false(gpudl_graph_infer(graph, 0, &error));
    g_assert_nonnull(strstr(error->message, "unknown element type 77"));
    g_clear_error(&error);
    x->dtype = GPUDL_DTYPE_F32;
    unary(graph, GPUDL_OP_NONE, "c", x);
    gpudl_graph_remove_dead(graph);
    gpudl_graph_replace_uses(graph, gone, unary(graph, GPUDL_OP_NONE, "none", x)->outputs[0]);
    g_assert_false(gpudl_graph_infer(graph, 0, &error));
    g_assert_nonnull(strstr(error->message, "no operator"));
}

static void test_uses(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    GpudlTensor *x = input(graph, 1, 6);
    GpudlNode *a = unary(graph, GPUDL_OP_ABS, "a", x), *b = unary(graph, GPUDL_OP_EXP, "b", a->outputs[0]), *reader,
              *sum;

    g_assert_cmpuint(gpudl_graph_uses(graph, a->outputs[0], &reader), ==, 1);
    g_assert_true(reader == b);
    g_assert_cmpuint(gpudl_graph_uses(graph, b->outputs[0], &reader), ==, 0);
    g_assert_null(reader);
    gpudl_graph_add_output(graph, b->outputs[0]);
    g_assert_cmpuint(gpudl_graph_uses(graph, b->outputs[0], &reader), ==, 1);
    g_assert_null(reader);
    sum = binary(graph, GPUDL_OP_ADD, "sum", a->outputs[0], a->outputs[0]);
    g_assert_cmpuint(gpudl_graph_uses(graph, a->outputs[0], NULL), ==, 3);
    gpudl_graph_replace_uses(graph, a->outputs[0], x);
    g_assert_true(sum->inputs[0] == x && sum->inputs[1] == x && b->inputs[0] == x);
    gpudl_graph_replace_uses(graph, b->outputs[0], sum->outputs[0]);
    g_assert_true(graph->outputs->pdata[0] == sum->outputs[0]);
    g_assert_cmpuint(gpudl_graph_remove_dead(graph), ==, 2);
    g_assert_cmpuint(graph->nodes->len, ==, 1);
    g_assert_cmpuint(graph->removed->len, ==, 2);
}

static void test_copy(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new(), copy = NULL;
    g_autoptr(GError) error = NULL;
    const float values[6] = {0};
    const gint64 dims[] = {6};
    GpudlTensor *x = input(graph, 2, 6), *used = gpudl_graph_add_constant_f32(graph, "k", values, dims, 1);
    GpudlTensor *inputs[3] = {x, used, NULL};
    GpudlNode *node;

    gpudl_graph_add_constant_f32(graph, "unused", values, dims, 1);
    node = gpudl_graph_add_node(graph, GPUDL_OP_ADD, "sum", inputs, 2, NULL, 1);
    node->attrs.binary.act.kind = GPUDL_ACT_RELU;
    gpudl_graph_add_output(graph, node->outputs[0]);
    g_assert_true(gpudl_graph_infer(graph, 0, &error));
    graph->batch_reason = g_strdup("because");
    copy = gpudl_graph_copy(graph);
    g_assert_cmpuint(copy->tensors->len, ==, 3);
    g_assert_cmpint(copy->batch, ==, 2);
    g_assert_cmpstr(copy->batch_reason, ==, "because");
    node = copy->nodes->pdata[0];
    g_assert_true(node->graph == copy);
    g_assert_cmpint(node->attrs.binary.act.kind, ==, GPUDL_ACT_RELU);
    g_assert_true(node->inputs[1]->data == used->data && node->inputs[1] != used);
    g_assert_true(node->inputs[0] == copy->inputs->pdata[0] && node->outputs[0] == copy->outputs->pdata[0]);
    for (guint i = 0; i < copy->tensors->len; i++)
        g_assert_cmpuint(((GpudlTensor *)copy->tensors->pdata[i])->id, ==, i);
    /* changing the one leaves the other */
    g_assert_true(gpudl_graph_infer(copy, 5, &error));
    g_assert_cmpint(graph->batch, ==, 2);
    g_assert_cmpint(x->shape.dims[0], ==, 2);
}

static void test_sums(void)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autoptr(GError) error = NULL;
    float values[16 * 3 * 9] = {0};
    const gint64 weights[] = {16, 3, 3, 3}, bias[] = {16}, matrix[] = {16, 4};
    GpudlShape shape = {4, {1, 3, 8, 8}};
    GpudlTensor *x = gpudl_graph_add_input(graph, "in", GPUDL_DTYPE_F32, &shape);
    GpudlTensor *conv_inputs[] = {x, gpudl_graph_add_constant_f32(graph, "w", values, weights, 4),
                                  gpudl_graph_add_constant_f32(graph, "b", values, bias, 1)};
    GpudlNode *conv = gpudl_graph_add_node(graph, GPUDL_OP_CONV, "conv", conv_inputs, 3, NULL, 1), *flat, *gemm;

    conv->attrs.window.n_spatial = 2;
    conv->attrs.window.kernel[1] = conv->attrs.window.kernel[2] = 3;
    flat = unary(graph, GPUDL_OP_REDUCE_MEAN, "mean", conv->outputs[0]);
    flat->attrs.reduce.n_axes = 2;
    flat->attrs.reduce.axes[0] = 2;
    flat->attrs.reduce.axes[1] = 3;
    gemm = binary(graph, GPUDL_OP_GEMM, "gemm", flat->outputs[0],
                  gpudl_graph_add_constant_f32(graph, "m", values, matrix, 2));
    gpudl_graph_add_output(graph, gemm->outputs[0]);
    g_assert_true(gpudl_graph_infer(graph, 1, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(gpudl_graph_macs(graph), ==, 16 * 6 * 6 * 27 + 16 * 4);
    g_assert_cmpuint(gpudl_graph_parameters(graph), ==, 16 * 27 + 16 + 64);
    g_assert_true(gpudl_graph_infer(graph, 3, &error));
    g_assert_cmpuint(gpudl_graph_macs(graph), ==, 3 * (16 * 6 * 6 * 27 + 16 * 4));
}

static void test_shape_text(void)
{
    GpudlShape scalar = {0}, image = {4, {1, 3, 224, 224}};
    g_autofree gchar *a = gpudl_shape_to_string(&scalar), *b = gpudl_shape_to_string(&image);

    g_assert_cmpstr(a, ==, "scalar");
    g_assert_cmpstr(b, ==, "1x3x224x224");
}

/* A frame's share is what is bounded, and elements of a batch; a file's own batch is one thing to hold. */
static void test_batch_limit(void)
{
    static const struct {
        gint64 own, batch;
        gboolean fits;
    } cases[] = {{1, 0, TRUE},   {1, 1, TRUE}, {1, 2, TRUE},  {1, 13, TRUE}, {1, 14, TRUE},
                 {1, 15, FALSE}, {2, 0, TRUE}, {3, 0, FALSE}, {3, 1, TRUE},  {3, 3, TRUE}};

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autoptr(GpudlGraph) graph = gpudl_graph_new();
        g_autoptr(GError) error = NULL;

        gpudl_graph_add_output(
            graph, unary(graph, GPUDL_OP_ABS, "half a limit", input(graph, cases[i].own, GPUDL_LIMIT_TENSOR_BYTES / 8))
                       ->outputs[0]);
        if (gpudl_graph_infer(graph, cases[i].batch, &error) != cases[i].fits)
            g_error("case %u: %s", i, error != NULL ? error->message : "fits");
        if (!cases[i].fits) {
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
            g_assert_nonnull(strstr(error->message, "are more than "));
        }
    }
}

/* Of a small type there would be more elements in as many bytes than kernels count. */
static void test_element_limit(void)
{
    const GpudlShape shape = {2, {1, (gint64)1 << 28}};

    for (gint64 batch = 7; batch <= 8; batch++) {
        g_autoptr(GpudlGraph) graph = gpudl_graph_new();
        g_autoptr(GError) error = NULL;

        gpudl_graph_add_output(
            graph, unary(graph, GPUDL_OP_ABS, "bytes", gpudl_graph_add_input(graph, "in", GPUDL_DTYPE_U8, &shape))
                       ->outputs[0]);
        g_assert_cmpint(gpudl_graph_infer(graph, batch, &error), ==, batch == 7);
        if (batch == 8) {
            g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT);
            g_assert_nonnull(strstr(error->message, "2147483647 elements"));
        }
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/graph/constants-must-fit-their-bytes", test_constants);
    g_test_add_func("/graph/node-defaults", test_defaults);
    g_test_add_func("/graph/limit-of-a-batch", test_batch_limit);
    g_test_add_func("/graph/limit-of-elements", test_element_limit);
    g_test_add_func("/graph/sort", test_sort);
    g_test_add_func("/graph/longest-chain", test_long_chain);
    g_test_add_func("/graph/batch", test_batch);
    g_test_add_func("/graph/bad-graphs-are-errors", test_bad_graphs);
    g_test_add_func("/graph/uses", test_uses);
    g_test_add_func("/graph/copy", test_copy);
    g_test_add_func("/graph/sums", test_sums);
    g_test_add_func("/graph/shape-text", test_shape_text);
    return g_test_run();
}
