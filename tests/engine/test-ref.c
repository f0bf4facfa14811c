/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The reference: single operations, whole graphs, and the backend "ref" over plans. */
#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/graph/ops.h"
#include "engine/ref/ref.h"

#define SHAPE(...) ((GpudlShape){.rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .dims = {__VA_ARGS__}})

static GpudlTensorView f32(GpudlShape shape, float *values)
{
    return (GpudlTensorView){GPUDL_DTYPE_F32, shape, values};
}

static GBytes *bytes_f32(const float *values, gsize n)
{
    return g_bytes_new(values, n * sizeof(float));
}

static void assert_floats(const float *got, const float *expected, gsize n)
{
    for (gsize i = 0; i < n; i++)
        if (!(fabsf(got[i] - expected[i]) <= 1e-6f * (1 + fabsf(expected[i]))))
            g_error("value %" G_GSIZE_FORMAT ": found %g, expected %g", i, got[i], expected[i]);
}

/* ---- single operations ------------------------------------------------------------------------------------------- */

static void test_eval_conv(void)
{
    float x[] = {1, 2, 3, 4, 5, 6, 7, 8, 9}, w[] = {1, 0, 0, -1}, bias[] = {3}, y[4];
    GpudlTensorView views[] = {f32(SHAPE(1, 1, 3, 3), x), f32(SHAPE(1, 1, 2, 2), w), f32(SHAPE(1), bias)};
    const GpudlTensorView *in[] = {&views[0], &views[1], &views[2]};
    GpudlTensorView out = f32(SHAPE(1, 1, 2, 2), y);
    GpudlAttrs attrs = {.window = {.n_spatial = 2,
                                   .kernel = {1, 2, 2},
                                   .stride = {1, 1, 1},
                                   .dilation = {1, 1, 1},
                                   .group = 1,
                                   .act = {GPUDL_ACT_LEAKY_RELU, 0.5f, 0}}};
    g_autoptr(GError) error = NULL;

    /* each sum is -4; with bias -1; leaky -0.5 */
    g_assert_true(gpudl_ref_eval(GPUDL_OP_CONV, "c", &attrs, in, 3, &out, 1, &error));
    g_assert_no_error(error);
    assert_floats(y, (float[]){-0.5f, -0.5f, -0.5f, -0.5f}, 4);
}

/** Every operator has a kernel that its row reaches: none answers "no reference kernel". */
static void test_eval_covers_table(void)
{
    for (int op = GPUDL_OP_NONE + 1; op <= GPUDL_OP_LAST; op++) {
        g_autoptr(GError) error = NULL;
        GpudlAttrs attrs = {0};

        g_assert_false(gpudl_ref_eval((GpudlOp)op, "n", &attrs, NULL, 0, NULL, 0, &error));
        g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
        g_assert_nonnull(strstr(error->message, gpudl_op_info((GpudlOp)op)->name));
    }
}

static void test_eval_errors(void)
{
    float x[4] = {1, 2, 3, 4}, y[4];
    int64_t index[1] = {7};
    int32_t zero[1] = {0}, one[1] = {1}, quotient[1];
    GpudlTensorView fx = f32(SHAPE(4), x), fy = f32(SHAPE(4), y), fy3 = f32(SHAPE(3), y), fy1 = f32(SHAPE(1), y);
    GpudlTensorView i64 = {GPUDL_DTYPE_I64, SHAPE(1), index};
    GpudlTensorView i0 = {GPUDL_DTYPE_I32, SHAPE(1), zero}, i1 = {GPUDL_DTYPE_I32, SHAPE(1), one},
                    iq = {GPUDL_DTYPE_I32, SHAPE(1), quotient};
    GpudlAttrs attrs = {0};
    const struct {
        GpudlOp op;
        const GpudlTensorView *a, *b, *y;
        gint code;
        const gchar *text;
    } cases[] = {
        {GPUDL_OP_ADD, &fx, &i64, &fy, GPUDL_ERROR_UNSUPPORTED, "float32 4, int64 1 -> float32 4"},
        {GPUDL_OP_ADD, &fx, &fx, &fy3, GPUDL_ERROR_FORMAT, "shapes"},
        {GPUDL_OP_ADD, &fx, NULL, &fy, GPUDL_ERROR_FORMAT, "input 1 is absent"},
        {GPUDL_OP_GATHER, &fx, &i64, &fy1, GPUDL_ERROR_FORMAT, "outside"},
        {GPUDL_OP_DIV, &i1, &i0, &iq, GPUDL_ERROR_FORMAT, "division by zero"},
        {GPUDL_OP_NONE, &fx, &fx, &fy, GPUDL_ERROR_UNSUPPORTED, "no reference kernel"},
        {(GpudlOp)(GPUDL_OP_LAST + 1), &fx, &fx, &fy, GPUDL_ERROR_UNSUPPORTED, "no reference kernel"},
    };

    for (gsize i = 0; i < G_N_ELEMENTS(cases); i++) {
        const GpudlTensorView *in[] = {cases[i].a, cases[i].b};
        g_autoptr(GError) error = NULL;

        g_assert_false(gpudl_ref_eval(cases[i].op, "culprit", &attrs, in, 2, cases[i].y, 1, &error));
        g_assert_error(error, GPUDL_ERROR, cases[i].code);
        g_assert_nonnull(strstr(error->message, "culprit"));
        if (!strstr(error->message, cases[i].text))
            g_error("case %" G_GSIZE_FORMAT ": \"%s\" does not say \"%s\"", i, error->message, cases[i].text);
    }
}

/* ---- graphs ------------------------------------------------------------------------------------------------------ */

/** y = relu(x + b) and z = split(y): x [n][4]; outputs y, the second half of the split, and x itself. */
static GpudlGraph *make_graph(void)
{
    GpudlGraph *graph = gpudl_graph_new();
    GpudlShape shape = SHAPE(1, 4);
    GpudlTensor *x = gpudl_graph_add_input(graph, "x", GPUDL_DTYPE_F32, &shape);
    GpudlTensor *b = gpudl_graph_add_constant_f32(graph, "b", (float[]){-1, -2, -3, -4}, (gint64[]){4}, 1);
    GpudlNode *sum = gpudl_graph_add_node(graph, GPUDL_OP_ADD, "sum", (GpudlTensor *[]){x, b}, 2, NULL, 1);
    GpudlNode *relu = gpudl_graph_add_node(graph, GPUDL_OP_ACTIVATION, "relu", sum->outputs, 1, NULL, 1);
    GpudlNode *split = gpudl_graph_add_node(graph, GPUDL_OP_SPLIT, "split", relu->outputs, 1, NULL, 2);

    relu->attrs.unary.act.kind = GPUDL_ACT_RELU;
    split->attrs.axis.axis = 1;
    split->attrs.axis.n_sizes = 2;
    split->attrs.axis.sizes[0] = 1;
    split->attrs.axis.sizes[1] = 3;
    gpudl_graph_add_output(graph, relu->outputs[0]);
    gpudl_graph_add_output(graph, split->outputs[1]);
    gpudl_graph_add_output(graph, x);
    return graph;
}

static void test_run(void)
{
    g_autoptr(GpudlGraph) graph = make_graph();
    const float values[] = {2, 1, 5, 4, 0, 3, 3, 9};
    g_autoptr(GBytes) input = bytes_f32(values, 8);
    g_autoptr(GPtrArray) outputs = NULL;
    g_autoptr(GError) error = NULL;

    g_assert_true(gpudl_graph_sort(graph, &error));
    g_assert_true(gpudl_graph_infer(graph, 2, &error));
    outputs = gpudl_ref_run(graph, &input, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(outputs->len, ==, 3);
    g_assert_cmpuint(g_bytes_get_size(g_ptr_array_index(outputs, 0)), ==, 32);
    g_assert_cmpuint(g_bytes_get_size(g_ptr_array_index(outputs, 1)), ==, 24);
    assert_floats(g_bytes_get_data(g_ptr_array_index(outputs, 0), NULL), (float[]){1, 0, 2, 0, 0, 1, 0, 5}, 8);
    assert_floats(g_bytes_get_data(g_ptr_array_index(outputs, 1), NULL), (float[]){0, 2, 0, 1, 0, 5}, 6);
    assert_floats(g_bytes_get_data(g_ptr_array_index(outputs, 2), NULL), values, 8);
}

static void test_run_errors(void)
{
    g_autoptr(GpudlGraph) graph = make_graph();
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GBytes) input = bytes_f32((float[]){2, 1, 5, 4}, 4), small = bytes_f32((float[]){2}, 1);
    g_autoptr(GError) error = NULL;

    g_assert_true(gpudl_graph_sort(graph, &error));
    g_assert_true(gpudl_graph_infer(graph, 1, &error));
    g_assert_null(gpudl_ref_run(graph, &small, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT);
    g_assert_nonnull(strstr(error->message, "4 bytes given, expected 16"));
    g_clear_error(&error);

    g_cancellable_cancel(cancellable);
    g_assert_null(gpudl_ref_run(graph, &input, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_clear_error(&error);

    /* backwards: the first node finds no input */
    for (guint i = 0, j = graph->nodes->len - 1; i < j; i++, j--) {
        gpointer swap = graph->nodes->pdata[i];

        graph->nodes->pdata[i] = graph->nodes->pdata[j];
        graph->nodes->pdata[j] = swap;
    }
    g_assert_null(gpudl_ref_run(graph, &input, NULL, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT);
    g_assert_nonnull(strstr(error->message, "not sorted"));
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ref/eval/conv", test_eval_conv);
    g_test_add_func("/ref/eval/covers-table", test_eval_covers_table);
    g_test_add_func("/ref/eval/errors", test_eval_errors);
    g_test_add_func("/ref/run/values", test_run);
    g_test_add_func("/ref/run/errors", test_run_errors);
    return g_test_run();
}
