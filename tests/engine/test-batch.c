/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The symbolic batch: what is proven is held against the reference at batch 3, what is refused says which node. */
#include <math.h>
#include <string.h>

#include "builder.h"
#include "engine/gpudl.h"
#include "engine/passes/passes.h"
#include "engine/ref/ref.h"

/* Frames of the input one by one and all together give the same. Independent of the code under test. */
static void check_frames(GpudlGraph *graph, gint64 batch)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(5);
    g_autoptr(GPtrArray) together = NULL;
    g_autoptr(GBytes) all = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree float *values = NULL;
    gint64 each;

    g_assert_true(gpudl_graph_infer(graph, batch, &error));
    each = gpudl_shape_elements(&((GpudlTensor *)graph->inputs->pdata[0])->shape) / batch;
    values = g_new(float, each *batch);
    for (gint64 i = 0; i < each * batch; i++)
        values[i] = (float)g_rand_double_range(rand, -2, 2);
    all = g_bytes_new(values, (gsize)(each * batch) * sizeof(float));
    together = gpudl_ref_run(graph, &all, NULL, &error);
    g_assert_no_error(error);
    g_assert_true(gpudl_graph_infer(graph, 1, &error));
    for (gint64 n = 0; n < batch; n++) {
        g_autoptr(GBytes) one = g_bytes_new(values + n * each, (gsize)each * sizeof(float));
        g_autoptr(GPtrArray) alone = gpudl_ref_run(graph, &one, NULL, &error);

        g_assert_no_error(error);
        for (guint i = 0; i < alone->len; i++) {
            gsize bytes = g_bytes_get_size(alone->pdata[i]);
            const float *x = g_bytes_get_data(alone->pdata[i], NULL);
            const float *y = g_bytes_get_data(together->pdata[i], NULL);

            g_assert_cmpuint(g_bytes_get_size(together->pdata[i]), ==, bytes * (gsize)batch);
            for (gsize k = 0; k < bytes / sizeof(float); k++)
                g_assert_cmpfloat_with_epsilon(x[k], y[(gsize)n * bytes / sizeof(float) + k], 1e-5);
        }
    }
}

static void expect_symbolic(Builder *b)
{
    g_autoptr(GError) error = NULL;

    g_assert_true(gpudl_graph_infer(b->graph, 0, &error));
    g_assert_no_error(error);
    g_assert_true(gpudl_graph_prove_batch(b->graph, NULL, &error));
    g_assert_no_error(error);
    if (!b->graph->symbolic_batch)
        g_error("not symbolic: %s", b->graph->batch_reason);
    g_assert_null(b->graph->batch_reason);
    g_assert_cmpint(b->graph->batch, ==, 1);
    check_frames(b->graph, 3);
    /* and after the rewrites */
    g_assert_true(gpudl_passes_run(b->graph, NULL, &error));
    g_assert_no_error(error);
    check_frames(b->graph, 3);
}

static void expect_fixed(Builder *b, const gchar *reason)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GpudlGraph) before = NULL;
    gint64 exported;

    g_assert_true(gpudl_graph_infer(b->graph, 0, &error));
    g_assert_no_error(error);
    exported = b->graph->batch;
    before = gpudl_graph_copy(b->graph);
    g_assert_true(gpudl_graph_prove_batch(b->graph, NULL, &error));
    g_assert_no_error(error);
    g_assert_false(b->graph->symbolic_batch);
    g_assert_nonnull(b->graph->batch_reason);
    if (strstr(b->graph->batch_reason, reason) == NULL)
        g_error("'%s' is not in '%s'", reason, b->graph->batch_reason);
    /* nothing has changed */
    g_assert_cmpint(b->graph->batch, ==, exported);
    for (guint i = 0; i < before->nodes->len; i++) {
        const GpudlNode *x = before->nodes->pdata[i], *y = b->graph->nodes->pdata[i];

        g_assert_cmpmem(&x->attrs, sizeof(x->attrs), &y->attrs, sizeof(y->attrs));
        g_assert_true(gpudl_shape_equal(&x->outputs[0]->shape, &y->outputs[0]->shape));
    }
}

static GpudlTensor *classifier(Builder *b, GpudlTensor *x, gint64 channels, gint64 classes)
{
    g_autofree gchar *shape = g_strdup_printf("%" G_GINT64_FORMAT "x%" G_GINT64_FORMAT, channels, classes);

    return builder_node(b, GPUDL_OP_MATMUL, x, builder_random(b, shape, -1, 1));
}

/* Pool, literal reshape to 1xC, classifier: what nearly every export ends in. */
static void test_literal_reshape(void)
{
    static const gchar *const forms[] = {"1x-1", "1x4", "0x-1", "-1x4", "0x0"};

    for (guint i = 0; i < G_N_ELEMENTS(forms); i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_conv(&b, builder_input(&b, "1x3x6x6"), 3, 4, 3, TRUE);

        x = builder_pool(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, 1, 1, 0);
        x = classifier(&b, builder_reshape(&b, x, forms[i]), 4, 5);
        x = builder_node(&b, GPUDL_OP_SOFTMAX, x, NULL);
        x->producer->attrs.axis.axis = 1;
        builder_output(&b, x);
        expect_symbolic(&b);
    }
}

/* A model exported with four frames at a time. */
static void test_exported_with_four(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_conv(&b, builder_input(&b, "4x3x6x6"), 3, 4, 3, TRUE), *y;

    y = builder_node(&b, GPUDL_OP_SLICE, x, NULL);
    y->producer->attrs.slice = (GpudlSliceAttrs){4, {0, 1, 0, 0}, {4, 3, G_MAXINT64, G_MAXINT64}, {1, 1, 1, 1}};
    x = builder_reshape(&b, y, "4x-1");
    y = builder_node(&b, GPUDL_OP_EXPAND, builder_random(&b, "1x72", -1, 1), NULL);
    y->producer->attrs.shape = (GpudlShapeAttrs){2, {4, 72}};
    x = builder_node(&b, GPUDL_OP_ADD, x, y);
    builder_output(&b, classifier(&b, x, 72, 5));
    expect_symbolic(&b);
}

/* ShuffleNet's channel shuffle, as literal 5-D reshapes. */
static void test_shuffle(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_conv(&b, builder_input(&b, "1x3x6x6"), 3, 8, 3, TRUE), *y;

    x = builder_reshape(&b, x, "1x2x4x6x6");
    x = builder_transpose(&b, x, "0x2x1x3x4");
    x = builder_reshape(&b, x, "1x8x6x6");
    y = builder_node(&b, GPUDL_OP_SPLIT, x, NULL);
    y->producer->attrs.axis = (GpudlAxisAttrs){.axis = 1, .n_sizes = 1, .sizes = {8}};
    x = builder_node(&b, GPUDL_OP_CONCAT, x, y);
    x->producer->attrs.axis.axis = 1;
    builder_output(&b, x);
    expect_symbolic(&b);
}

/* What the rules cannot tell is run: the batch goes through another dimension and comes back. */
static void test_proven_by_running(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6");

    x = builder_transpose(&b, x, "1x0x2x3");
    x = builder_node(&b, GPUDL_OP_SOFTMAX, x, NULL);
    x->producer->attrs.axis.axis = 0;
    x = builder_transpose(&b, x, "1x0x2x3");
    builder_output(&b, x);
    expect_symbolic(&b);
}

static void test_merged_and_back(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6");

    x = builder_reshape(&b, x, "-1x36"); /* frames x channels rows */
    x = builder_node(&b, GPUDL_OP_SOFTMAX, x, NULL);
    x->producer->attrs.axis.axis = 1;
    x = builder_reshape(&b, x, "-1x4x36");
    builder_output(&b, x);
    expect_symbolic(&b);
}

/* Softmax over the frames: shapes fit, values do not. */
static void test_mixing_frames(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6");

    x = builder_node(&b, GPUDL_OP_SOFTMAX, builder_node(&b, GPUDL_OP_NEG, x, NULL), NULL);
    x->producer->attrs.axis.axis = 0;
    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, x, x->producer->inputs[0]));
    expect_fixed(&b, "node 'Softmax1' mixes frames");
}

/* The mean over all frames, taken from each. */
static void test_mean_over_frames(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y = builder_node(&b, GPUDL_OP_REDUCE_MEAN, x, NULL);

    y->producer->attrs.reduce = (GpudlReduceAttrs){1, {0}, 1};
    builder_output(&b, builder_node(&b, GPUDL_OP_SUB, builder_node(&b, GPUDL_OP_EXP, x, NULL), y));
    expect_fixed(&b, "node 'ReduceMean0' mixes frames");
}

/* Where maxima lie counts from the first frame, which matters where it is read. */
static void test_indices(void)
{
    for (guint read = 0; read < 2; read++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;
        GpudlNode *pool = gpudl_graph_add_node(b.graph, GPUDL_OP_MAX_POOL, "maxima", &x, 1, NULL, 2);

        pool->attrs.window = (GpudlWindowAttrs){
            .n_spatial = 2, .kernel = {1, 2, 2}, .stride = {1, 2, 2}, .dilation = {1, 1, 1}, .group = 1};
        y = builder_node(&b, GPUDL_OP_CAST, pool->outputs[1], NULL);
        y->producer->attrs.cast = (GpudlCastAttrs){.to = GPUDL_DTYPE_F32, .saturate = 1};
        builder_output(&b, read ? builder_node(&b, GPUDL_OP_ADD, pool->outputs[0], y) : pool->outputs[0]);
        if (read)
            expect_fixed(&b, "node 'maxima' mixes frames");
        else
            expect_symbolic(&b);
    }
}

static void test_batch_dropped(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_reshape(&b, builder_input(&b, "1x4x6x6"), "144");

    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, x, NULL));
    expect_fixed(&b, "at batch 2 node 'Reshape0' (Reshape): 2x4x6x6 cannot become 144");
}

static void test_output_without_batch(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_reshape(&b, builder_input(&b, "1x4x6x6"), "2x-1");

    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, x, NULL));
    expect_fixed(&b, "is 2x144 at batch 2, expected 4x72");
}

static void test_output_without_input(void)
{
    g_auto(Builder) b = builder_new();

    builder_input(&b, "1x4");
    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, builder_random(&b, "1x4", 0, 1), NULL));
    expect_fixed(&b, "of node 'Abs0' is 1x4 at batch 2, expected 2x4");
}

static void test_first_frame_only(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "4x6"), *y = builder_node(&b, GPUDL_OP_SLICE, x, NULL);

    y->producer->attrs.slice = (GpudlSliceAttrs){2, {0, 0}, {1, G_MAXINT64}, {1, 1}};
    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, x, y));
    expect_fixed(&b, "node 'Slice0' mixes frames");
}

static void test_four_cannot_be_one(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "4x6");

    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, x, builder_random(&b, "4x6", -1, 1)));
    expect_fixed(&b, "at batch 2 node 'Mul0'");
    g_assert_cmpint(b.graph->batch, ==, 4);
}

static void test_inputs_differ(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "2x6"), *y = builder_input(&b, "1x6");

    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, x, y));
    expect_fixed(&b, "frames");
}

static void test_cancelled(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_node(&b, GPUDL_OP_SOFTMAX, builder_input(&b, "1x6"), NULL);
    g_autoptr(GCancellable) cancellable = g_cancellable_new();
    g_autoptr(GError) error = NULL;

    builder_output(&b, x);
    g_assert_true(gpudl_graph_infer(b.graph, 0, &error));
    g_cancellable_cancel(cancellable);
    g_assert_false(gpudl_graph_prove_batch(b.graph, cancellable, &error));
    g_assert_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED);
    g_assert_false(b.graph->symbolic_batch);
    g_assert_cmpint(b.graph->batch, ==, 1);
}

/* A reshape that does nothing to one frame, and turns round several: it must stay. */
static void test_void_at_one_only(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x1x6");

    x = builder_transpose(&b, builder_node(&b, GPUDL_OP_ABS, x, NULL), "1x0x2");
    x = builder_transpose(&b, builder_node(&b, GPUDL_OP_NEG, x, NULL), "1x0x2");
    x = builder_reshape(&b, builder_node(&b, GPUDL_OP_EXP, x, NULL), "1x-1x6");
    x = builder_transpose(&b, builder_node(&b, GPUDL_OP_NEG, x, NULL), "1x0x2");
    builder_output(&b, x);
    expect_symbolic(&b);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/batch/literal-reshape", test_literal_reshape);
    g_test_add_func("/batch/exported-with-four", test_exported_with_four);
    g_test_add_func("/batch/channel-shuffle", test_shuffle);
    g_test_add_func("/batch/proven-by-running", test_proven_by_running);
    g_test_add_func("/batch/merged-and-back", test_merged_and_back);
    g_test_add_func("/batch/void-at-one-only", test_void_at_one_only);
    g_test_add_func("/batch/fixed/mixing-frames", test_mixing_frames);
    g_test_add_func("/batch/fixed/mean-over-frames", test_mean_over_frames);
    g_test_add_func("/batch/indices", test_indices);
    g_test_add_func("/batch/fixed/batch-dropped", test_batch_dropped);
    g_test_add_func("/batch/fixed/output-without-batch", test_output_without_batch);
    g_test_add_func("/batch/fixed/output-without-input", test_output_without_input);
    g_test_add_func("/batch/fixed/first-frame-only", test_first_frame_only);
    g_test_add_func("/batch/fixed/four-cannot-be-one", test_four_cannot_be_one);
    g_test_add_func("/batch/fixed/inputs-differ", test_inputs_differ);
    g_test_add_func("/batch/cancelled", test_cancelled);
    return g_test_run();
}
