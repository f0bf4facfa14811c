/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Passes that fold and fuse, each alone on little graphs, and all together: what becomes of them, what must be left
 * alone, and that results stay. */
#include <math.h>

#include "builder.h"
#include "engine/limits.h"
#include "engine/passes/passes.h"

/* ---- gemm, pool, pad --------------------------------------------------------------------------------------------- */

static void test_gemm(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x12"), *y;

    y = builder_node(&b, GPUDL_OP_MATMUL, x, builder_random(&b, "12x5", -1, 1));
    y = builder_node(&b, GPUDL_OP_ADD, builder_random(&b, "5", -1, 1), y);
    y = builder_act(&b, y, GPUDL_ACT_RELU, 0, 0);
    y = builder_node(&b, GPUDL_OP_MATMUL, y, builder_random(&b, "5x7", -1, 1));
    y = builder_node(&b, GPUDL_OP_MUL, y, builder_random(&b, "1x7", -1, 1));
    builder_output(&b, y);
    builder_check(&b, NULL, "Gemm:2");
}

static void test_gemm_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x12"), *y;

    /* a stack of matrices; constant on the left; neither constant */
    y = builder_node(&b, GPUDL_OP_MATMUL, x, builder_random(&b, "12x5", -1, 1));
    builder_output(&b, builder_node(&b, GPUDL_OP_MATMUL, y, builder_random(&b, "5x2", -1, 1)));
    y = builder_reshape(&b, x, "6x8");
    builder_output(&b, builder_node(&b, GPUDL_OP_MATMUL, builder_random(&b, "3x6", -1, 1), y));
    builder_output(&b, builder_node(&b, GPUDL_OP_MATMUL, y, builder_reshape(&b, x, "8x6")));
    builder_check(&b, "gemm", "MatMul:4 Reshape:2");
}

static void test_pool(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x5"), *y;

    for (guint i = 0; i < 4; i++) {
        y = builder_node(&b, i % 2 ? GPUDL_OP_REDUCE_MAX : GPUDL_OP_REDUCE_MEAN, x, NULL);
        y->producer->attrs.reduce = (GpudlReduceAttrs){2, {i < 2 ? 2 : 3, i < 2 ? 3 : 2}, i / 2};
        builder_output(&b, y);
    }
    y = builder_pool(&b, GPUDL_OP_AVERAGE_POOL, x, 6, 1, 0);
    y->producer->attrs.window.kernel[2] = 5;
    builder_output(&b, y);
    builder_check(&b, "pool", "GlobalMaxPool:2 GlobalAveragePool:3 Reshape:2");
}

static void test_pool_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;

    y = builder_node(&b, GPUDL_OP_REDUCE_MEAN, x, NULL);
    y->producer->attrs.reduce = (GpudlReduceAttrs){2, {1, 3}, 1};
    builder_output(&b, y);
    y = builder_node(&b, GPUDL_OP_REDUCE_MEAN, x, NULL);
    y->producer->attrs.reduce = (GpudlReduceAttrs){1, {3}, 0};
    builder_output(&b, y);
    y = builder_node(&b, GPUDL_OP_REDUCE_SUM, x, NULL);
    y->producer->attrs.reduce = (GpudlReduceAttrs){2, {2, 3}, 0};
    builder_output(&b, y);
    builder_output(&b, builder_pool(&b, GPUDL_OP_AVERAGE_POOL, x, 6, 1, 1));
    builder_check(&b, "pool", "AveragePool:1 ReduceMean:2 ReduceSum:1");
}

static void test_pad(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x3x9x9"), *y, *z;

    y = builder_conv(&b, builder_pad(&b, x, "0x0x0x1", "0x0x2x1", 0), 3, 4, 3, TRUE);
    builder_output(&b, y);
    z = builder_act(&b, x, GPUDL_ACT_RELU, 0, 0);
    builder_output(&b, builder_pool(&b, GPUDL_OP_MAX_POOL, builder_pad(&b, z, "0x0x0x0", "0x0x1x1", 0), 3, 2, 0));
    builder_output(&b,
                   builder_pool(&b, GPUDL_OP_MAX_POOL, builder_pad(&b, x, "0x0x1x0", "0x0x0x1", -INFINITY), 3, 2, 0));
    builder_output(&b, builder_pool(&b, GPUDL_OP_AVERAGE_POOL, builder_pad(&b, x, "0x0x1x1", "0x0x0x1", 0), 3, 2, 0));
    y = builder_pool(&b, GPUDL_OP_AVERAGE_POOL, builder_pad(&b, x, "0x0x1x1", "0x0x1x1", 0), 4, 2, 1);
    y->producer->attrs.window.count_include_pad = 1;
    builder_output(&b, y);
    builder_check(&b, "pad", "Conv:1 MaxPool:2 AveragePool:2 Activation:1");
}

static void test_pad_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x3x9x9"), *y;

    /* other value; may be negative; cropping; channels; counted and uncounted zeros; too much; read by others */
    builder_output(&b, builder_conv(&b, builder_pad(&b, x, "0x0x1x1", "0x0x1x1", 1), 3, 2, 3, FALSE));
    builder_output(&b, builder_pool(&b, GPUDL_OP_MAX_POOL, builder_pad(&b, x, "0x0x0x0", "0x0x1x1", 0), 3, 2, 0));
    builder_output(&b, builder_conv(&b, builder_pad(&b, x, "0x0x-1x0", "0x0x0x0", 0), 3, 2, 3, FALSE));
    builder_output(&b, builder_conv(&b, builder_pad(&b, x, "0x1x0x0", "0x0x0x0", 0), 4, 2, 3, FALSE));
    builder_output(&b, builder_pool(&b, GPUDL_OP_AVERAGE_POOL, builder_pad(&b, x, "0x0x1x1", "0x0x1x1", 0), 4, 2, 1));
    builder_output(&b, builder_pool(&b, GPUDL_OP_AVERAGE_POOL, builder_pad(&b, x, "0x0x3x3", "0x0x0x0", 0), 3, 2, 0));
    y = builder_pool(&b, GPUDL_OP_AVERAGE_POOL, builder_pad(&b, x, "0x0x1x1", "0x0x1x1", 0), 4, 2, 0);
    y->producer->attrs.window.ceil_mode = 1;
    builder_output(&b, y);
    y = builder_pad(&b, x, "0x0x1x1", "0x0x1x1", 0);
    builder_output(&b, y);
    builder_output(&b, builder_conv(&b, y, 3, 2, 3, FALSE));
    builder_check(&b, "pad", "Conv:4 MaxPool:1 AveragePool:3 Pad:8");
}

/* A MaxPool whose indices are read, and one of integers, stay as they are. */
static void test_max_pool_kept(void)
{
    for (guint i = 0; i < 2; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x3x6x6"), *y;
        GpudlTensor *padded = i == 0 ? builder_pad(&b, x, "0x0x1x0", "0x0x0x1", -INFINITY) : x;
        GpudlNode *pool = gpudl_graph_add_node(b.graph, GPUDL_OP_MAX_POOL, "pool", &padded, 1, NULL, 2);

        pool->attrs.window.n_spatial = 2;
        for (int d = 1; d < GPUDL_MAX_SPATIAL; d++)
            pool->attrs.window.kernel[d] = i == 0 ? 3 : 6;
        builder_output(&b, pool->outputs[0]);
        y = builder_node(&b, GPUDL_OP_CAST, pool->outputs[1], NULL);
        y->producer->attrs.cast.to = GPUDL_DTYPE_F32;
        builder_output(&b, y);
        if (i == 1) {
            y = builder_node(&b, GPUDL_OP_CAST, x, NULL);
            y->producer->attrs.cast.to = GPUDL_DTYPE_I8;
            y = builder_node(&b, GPUDL_OP_CAST, builder_pool(&b, GPUDL_OP_MAX_POOL, y, 6, 1, 0), NULL);
            y->producer->attrs.cast.to = GPUDL_DTYPE_F32;
            builder_output(&b, y);
        }
        builder_check(&b, i == 0 ? "pad" : "pool", i == 0 ? "MaxPool:1 Cast:1 Pad:1" : "MaxPool:2 Cast:3");
    }
}

/* ---- affine ------------------------------------------------------------------------------------------------------ */

static void test_batch_norm(void)
{
    for (guint bias = 0; bias < 2; bias++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x3x7x7"), *y = builder_conv(&b, x, 3, 6, 3, bias != 0);

        y = builder_batch_norm(&b, y, 6);
        builder_output(&b, y);
        builder_check(&b, "affine", "Conv:1");
        g_assert_cmpuint(graph_first(b.graph, GPUDL_OP_CONV)->n_inputs, ==, 3);
    }
}

/* Grouped convolution, then every way to write a scale or a shift behind it. */
static void test_affine_chain(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x7"), *y = builder_conv(&b, x, 1, 6, 3, FALSE);

    y->producer->attrs.window.group = 6;
    y = builder_batch_norm(&b, y, 6);
    y = builder_node(&b, GPUDL_OP_MUL, builder_random(&b, "6x1x1", 0.5, 2), y);
    y = builder_node(&b, GPUDL_OP_ADD, y, builder_random(&b, "1x6x1x1", -1, 1));
    y = builder_node(&b, GPUDL_OP_SUB, builder_scalar(&b, 2), y);
    y = builder_node(&b, GPUDL_OP_SUB, y, builder_random(&b, "1x1x1", -1, 1));
    y = builder_node(&b, GPUDL_OP_DIV, y, builder_random(&b, "6x1x1", 1, 2));
    builder_output(&b, y);
    builder_check(&b, "affine", "Conv:1");
}

static void test_affine_gemm(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x8"), *w = builder_random(&b, "5x8", -1, 1),
                *c = builder_random(&b, "5", -1, 1);
    GpudlTensor *inputs[] = {x, w, c}, *y;
    GpudlNode *gemm = gpudl_graph_add_node(b.graph, GPUDL_OP_GEMM, "fc", inputs, 3, NULL, 1);

    gemm->attrs.gemm.trans_b = 1;
    gemm->attrs.gemm.alpha = 0.5f;
    gemm->attrs.gemm.beta = 2;
    y = builder_batch_norm(&b, gemm->outputs[0], 5);
    y = builder_node(&b, GPUDL_OP_MUL, y, builder_random(&b, "5", 1, 2));
    builder_output(&b, y);
    builder_check(&b, "affine", "Gemm:1");
}

static void test_affine_collapse(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x7"), *y;

    y = builder_node(&b, GPUDL_OP_MUL, x, builder_random(&b, "6x1x1", 0.5, 2));
    y = builder_node(&b, GPUDL_OP_ADD, y, builder_random(&b, "6x1x1", -1, 1));
    y = builder_batch_norm(&b, y, 6);
    y = builder_node(&b, GPUDL_OP_MUL, y, builder_random(&b, "6x1x1", 0.5, 2));
    y = builder_node(&b, GPUDL_OP_ADD, y, builder_random(&b, "6x1x1", -1, 1));
    builder_output(&b, builder_act(&b, y, GPUDL_ACT_RELU, 0, 0));
    builder_check(&b, NULL, "BatchNorm:1 Activation:1");
}

static GpudlTensor *channel(Builder *b, GpudlTensor *x, gint64 index, gboolean reshape)
{
    GpudlShape shape = {reshape ? 0 : 1, {1}};
    g_autoptr(GBytes) data = g_bytes_new(&index, sizeof(index));
    GpudlTensor *i = gpudl_graph_add_constant(b->graph, "i", GPUDL_DTYPE_I64, &shape, data, NULL);
    GpudlTensor *y = builder_node(b, GPUDL_OP_GATHER, x, i);

    y->producer->attrs.axis.axis = 1;
    return reshape ? builder_reshape(b, y, "0x1x6x5") : y;
}

static GpudlTensor *channel_slice(Builder *b, GpudlTensor *x, gint64 start, gint64 end)
{
    GpudlTensor *y = builder_node(b, GPUDL_OP_SLICE, x, NULL);

    y->producer->attrs.slice =
        (GpudlSliceAttrs){4, {0, start, 0, 0}, {G_MAXINT64, end, G_MAXINT64, G_MAXINT64}, {1, 1, 1, 1}};
    return y;
}

static GpudlTensor *concat(Builder *b, GpudlTensor *const *pieces, guint n)
{
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, "concat", pieces, n, NULL, 1);

    node->attrs.axis.axis = 1;
    return node->outputs[0];
}

/* The input transform of torchvision's GoogLeNet, and the same by slices. */
static void test_channels(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x5"), *pieces[3];

    for (guint i = 0; i < 2; i++) {
        pieces[0] = builder_scalar_op(&b, GPUDL_OP_ADD,
                                      builder_scalar_op(&b, GPUDL_OP_MUL, channel(&b, x, 0, i == 0), 0.5), 0.25);
        pieces[1] = builder_scalar_op(&b, GPUDL_OP_MUL, channel(&b, x, -3, i == 0), 3);
        pieces[2] = builder_batch_norm(&b, channel_slice(&b, x, 2, i == 0 ? G_MAXINT64 : 4), 2);
        builder_output(&b, concat(&b, pieces, 3));
    }
    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, x, NULL));
    builder_check(&b, NULL, "BatchNorm:2 Abs:1");
}

static void test_channels_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x5"), *z = builder_input(&b, "1x4x6x5"), *pieces[2];

    /* other order; one missing; of two tensors; one read by others */
    pieces[0] = builder_scalar_op(&b, GPUDL_OP_MUL, channel_slice(&b, x, 2, 4), 2);
    pieces[1] = channel_slice(&b, x, 0, 2);
    builder_output(&b, concat(&b, pieces, 2));
    pieces[0] = builder_scalar_op(&b, GPUDL_OP_MUL, channel_slice(&b, x, 0, 2), 2);
    pieces[1] = channel(&b, x, 2, FALSE);
    builder_output(&b, concat(&b, pieces, 2));
    pieces[0] = builder_scalar_op(&b, GPUDL_OP_MUL, channel_slice(&b, x, 0, 2), 2);
    pieces[1] = channel_slice(&b, z, 2, 4);
    builder_output(&b, concat(&b, pieces, 2));
    pieces[0] = builder_scalar_op(&b, GPUDL_OP_MUL, channel_slice(&b, x, 0, 2), 2);
    pieces[1] = channel_slice(&b, x, 2, 4);
    builder_output(&b, concat(&b, pieces, 2));
    builder_output(&b, pieces[0]);
    builder_check(&b, "channels", "Mul:4 Concat:4 Slice:7 Gather:1");
}

static void test_affine_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x3x6x6"), *y, *z;

    /* behind a ReLU, as in DenseNet */
    y = builder_batch_norm(&b, builder_act(&b, builder_conv(&b, x, 3, 4, 3, TRUE), GPUDL_ACT_RELU, 0, 0), 4);
    builder_output(&b, y);
    /* the convolution is read twice */
    y = builder_conv(&b, x, 3, 4, 3, TRUE);
    builder_output(&b, builder_batch_norm(&b, y, 4));
    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, y, NULL));
    /* the convolution is an output */
    y = builder_conv(&b, x, 3, 4, 3, TRUE);
    builder_output(&b, y);
    builder_output(&b, builder_batch_norm(&b, y, 4));
    /* per column, not per channel; and the divisor is not constant */
    y = builder_conv(&b, x, 3, 4, 3, TRUE);
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, y, builder_random(&b, "1x1x1x6", 1, 2)));
    y = builder_conv(&b, x, 3, 4, 3, TRUE);
    z = builder_node(&b, GPUDL_OP_ADD, builder_node(&b, GPUDL_OP_ABS, y, NULL), builder_scalar(&b, 5));
    builder_output(&b, builder_node(&b, GPUDL_OP_DIV, builder_scalar(&b, 2), z));
    builder_check(&b, "affine", "Conv:5 BatchNorm:3 Activation:1 Abs:2 Add:1 Mul:1 Div:1");
}

/* A variance without a root, a division by zero, a scale beyond float: the node stays as it is. */
static void test_affine_bad_numbers(void)
{
    const float variances[][2] = {{-1, 1}, {NAN, 1}, {0, 1}};
    const gint64 dims[] = {2};

    for (guint i = 0; i < G_N_ELEMENTS(variances) + 2; i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(GError) error = NULL;
        GpudlTensor *y;
        g_autofree gchar *found = NULL;

        y = builder_conv(&b, builder_input(&b, "1x3x6x6"), 3, 2, 3, TRUE);
        if (i < G_N_ELEMENTS(variances)) {
            y = builder_batch_norm(&b, y, 2);
            y->producer->attrs.batch_norm.epsilon = 0;
            y->producer->inputs[4] = gpudl_graph_add_constant_f32(b.graph, "v", variances[i], dims, 1);
        } else {
            y = builder_scalar_op(&b, GPUDL_OP_DIV, y, i == G_N_ELEMENTS(variances) ? 0 : 1e-39);
        }
        builder_output(&b, y);
        g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
        g_assert_true(gpudl_passes_run(b.graph, NULL, &error));
        found = graph_histogram(b.graph);
        g_assert_cmpstr(found, ==, i < G_N_ELEMENTS(variances) ? "Conv:1 BatchNorm:1" : "Conv:1 Div:1");
    }
}

/* Each weight is multiplied in double and rounded once, whether its tensor is small or large. */
static void test_affine_rounds_once(void)
{
    static const gint kernels[] = {1, 9};

    for (guint i = 0; i < G_N_ELEMENTS(kernels); i++) {
        g_auto(Builder) b = builder_new();
        g_autoptr(GError) error = NULL;
        g_autoptr(GBytes) before = NULL, scales = NULL; /* the passes let go of them */
        GpudlTensor *factors, *y;
        const float *w, *s, *found;
        const GpudlNode *conv;
        gsize n, each;

        y = builder_conv(&b, builder_input(&b, "1x16x12x12"), 16, 24, kernels[i], FALSE);
        before = g_bytes_ref(y->producer->inputs[1]->data);
        factors = builder_random(&b, "24x1x1", -3, 3);
        builder_output(&b, builder_node(&b, GPUDL_OP_MUL, y, factors));
        g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
        scales = g_bytes_ref(factors->data);
        s = g_bytes_get_data(scales, NULL);
        g_assert_true(gpudl_passes_run(b.graph, NULL, &error));
        g_assert_cmpuint(b.graph->nodes->len, ==, 1);
        conv = b.graph->nodes->pdata[0];
        w = g_bytes_get_data(before, &n);
        g_assert_cmpuint(g_bytes_get_size(conv->inputs[1]->data), ==, n);
        found = g_bytes_get_data(conv->inputs[1]->data, NULL);
        n /= sizeof(float);
        each = n / 24;
        for (gsize k = 0; k < n; k++)
            g_assert_cmpfloat(found[k], ==, (float)((double)w[k] * (double)s[k / each]));
    }
}

/* ---- residual, fuse-act ------------------------------------------------------------------------------------------ */

static void test_residual(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y = x;

    for (guint i = 0; i < 3; i++) {
        GpudlTensor *z = builder_act(&b, builder_conv(&b, y, 4, 4, 3, TRUE), GPUDL_ACT_RELU, 0, 0);

        z = builder_conv(&b, z, 4, 4, 3, i != 1);
        z = i == 2 ? builder_node(&b, GPUDL_OP_ADD, y, z) : builder_node(&b, GPUDL_OP_ADD, z, y);
        y = builder_act(&b, z, GPUDL_ACT_RELU, 0, 0);
    }
    builder_output(&b, y);
    builder_check(&b, NULL, "Conv:6");
    for (guint i = 0; i < 6; i++) {
        GpudlNode *node = b.graph->nodes->pdata[i];

        g_assert_cmpint(node->attrs.window.act.kind, ==, GPUDL_ACT_RELU);
        g_assert_true((node->n_inputs == 4) == (i % 2 == 1));
    }
}

static void test_residual_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y, *z;

    /* the convolution has an activation; broadcast; a constant; a product; a third sum; read twice; plus itself */
    y = builder_conv(&b, x, 4, 4, 3, TRUE);
    y->producer->attrs.window.act.kind = GPUDL_ACT_RELU;
    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, y, x));
    z = builder_pool(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, 1, 1, 0);
    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, builder_conv(&b, x, 4, 4, 3, TRUE), z));
    builder_output(
        &b, builder_node(&b, GPUDL_OP_ADD, builder_conv(&b, x, 4, 4, 3, TRUE), builder_random(&b, "1x4x6x6", -1, 1)));
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, builder_conv(&b, x, 4, 4, 3, TRUE), x));
    y = builder_node(&b, GPUDL_OP_ADD, builder_conv(&b, x, 4, 4, 3, TRUE), x); /* this one may */
    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, y, x));                  /* no second residual */
    y = builder_conv(&b, x, 4, 4, 3, TRUE);
    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, y, x));
    builder_output(&b, y);
    y = builder_conv(&b, x, 4, 4, 3, TRUE);
    builder_output(&b, builder_node(&b, GPUDL_OP_ADD, y, y));
    builder_check(&b, "residual", "Conv:7 GlobalAveragePool:1 Add:6 Mul:1");
}

static void test_fuse_act(void)
{
    static const GpudlActKind kinds[] = {GPUDL_ACT_RELU,       GPUDL_ACT_CLIP, GPUDL_ACT_LEAKY_RELU,
                                         GPUDL_ACT_SIGMOID,    GPUDL_ACT_SILU, GPUDL_ACT_HARD_SIGMOID,
                                         GPUDL_ACT_HARD_SWISH, GPUDL_ACT_TANH};

    for (guint i = 0; i < G_N_ELEMENTS(kinds); i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;
        const float alpha = 0.2f, beta = 0.8f;
        GpudlTensor *inputs[] = {NULL, builder_random(&b, "144x32", -1, 1)};

        y = builder_act(&b, builder_conv(&b, x, 4, 4, 3, TRUE), kinds[i], alpha, beta);
        y = builder_act(&b, builder_node(&b, GPUDL_OP_MUL, y, x), kinds[i], alpha, beta);
        y = builder_act(&b, builder_node(&b, GPUDL_OP_ADD, y, x), kinds[i], alpha, beta);
        y = builder_act(&b, builder_node(&b, GPUDL_OP_SUB, y, x), kinds[i], alpha, beta);
        inputs[0] = builder_reshape(&b, y, "0x-1");
        y = gpudl_graph_add_node(b.graph, GPUDL_OP_GEMM, "fc", inputs, 2, NULL, 1)->outputs[0];
        y = builder_scalar_op(&b, GPUDL_OP_MUL, y, 0.1);
        builder_output(&b, builder_act(&b, y, kinds[i], alpha, beta));
        builder_check(&b, "fuse-act", "Conv:1 Gemm:1 Add:1 Sub:1 Mul:2 Reshape:1");
        g_assert_cmpint(graph_first(b.graph, GPUDL_OP_CONV)->attrs.window.act.kind, ==, kinds[i]);
        g_assert_cmpfloat(graph_first(b.graph, GPUDL_OP_SUB)->attrs.binary.act.alpha, ==, alpha);
    }
}

static void test_fuse_act_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;

    y = builder_conv(&b, x, 4, 4, 3, TRUE); /* read twice */
    builder_output(&b, builder_act(&b, y, GPUDL_ACT_RELU, 0, 0));
    builder_output(&b, builder_act(&b, y, GPUDL_ACT_TANH, 0, 0));
    y = builder_conv(&b, x, 4, 4, 3, TRUE); /* an output */
    builder_output(&b, y);
    builder_output(&b, builder_act(&b, y, GPUDL_ACT_RELU, 0, 0));
    y = builder_conv(&b, x, 4, 4, 3, TRUE); /* two that do not make one */
    y = builder_act(&b, builder_act(&b, y, GPUDL_ACT_TANH, 0, 0), GPUDL_ACT_RELU, 0, 0);
    builder_output(&b, y);
    builder_output(&b, builder_act(&b, builder_node(&b, GPUDL_OP_MAX, x, y), GPUDL_ACT_TANH, 0, 0));
    builder_check(&b, "fuse-act", "Conv:3 Activation:5 Max:1");
}

/* ---- all together ------------------------------------------------------------------------------------------------ */

/* A squeeze-and-excite block of MobileNetV3, as exported: hard sigmoid in parts, means over space, batch norms. */
static void test_whole(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x8x8"), *y, *z;
    guint n_constants = 0;

    y = builder_batch_norm(&b, builder_conv(&b, x, 4, 8, 1, FALSE), 8);
    y = builder_scalar_op(&b, GPUDL_OP_DIV, builder_node(&b, GPUDL_OP_MUL, y, builder_clip6(&b, y)), 6);
    z = builder_node(&b, GPUDL_OP_REDUCE_MEAN, y, NULL);
    z->producer->attrs.reduce = (GpudlReduceAttrs){2, {2, 3}, 1};
    z = builder_act(&b, builder_conv(&b, z, 8, 4, 1, TRUE), GPUDL_ACT_RELU, 0, 0);
    z = builder_scalar_op(&b, GPUDL_OP_DIV, builder_clip6(&b, builder_conv(&b, z, 4, 8, 1, TRUE)), 6);
    y = builder_node(&b, GPUDL_OP_MUL, z, y);
    y = builder_batch_norm(&b, builder_conv(&b, y, 8, 4, 1, FALSE), 4);
    y = builder_node(&b, GPUDL_OP_ADD, x, y);
    builder_output(&b, y);
    builder_check(&b, NULL, "Conv:4 GlobalAveragePool:1 Mul:1");
    /* what folding has replaced takes no memory any more */
    for (guint i = 0; i < b.graph->tensors->len; i++)
        n_constants += gpudl_tensor_is_constant(b.graph->tensors->pdata[i]);
    g_assert_cmpuint(n_constants, ==, 8);
}

/* As many nodes as a graph may have, in a row: each pass walks it a few times, not once from every node, and does not
 * recurse. */
static void test_longest_chains(void)
{
    /* valgrind takes fifty times as long, and a node that is read after its time is found in a shorter one */
    const guint most = g_getenv("GPUDL_TEST_VALGRIND") ? GPUDL_LIMIT_NODES / 16 : GPUDL_LIMIT_NODES;

    for (guint form = 0; form < 6; form++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x2x2x3"), *y = x;
        g_autoptr(GError) error = NULL;
        gint64 start;

        for (guint i = 0; i < most - (form == 5 ? 1 : 0); i++) {
            if (form == 0) {
                y = builder_node(&b, GPUDL_OP_IDENTITY, y, NULL);
            } else if (form == 1) {
                y = builder_scalar_op(&b, i % 2 ? GPUDL_OP_MUL : GPUDL_OP_ADD, y, i % 2 ? 1.001 : -0.001);
            } else if (form == 2) {
                y = builder_act(&b, y, GPUDL_ACT_CLIP, -1, 1);
            } else if (form == 3) {
                y = builder_transpose(&b, y, "0x1x3x2");
            } else if (form == 4) {
                y = builder_node(&b, GPUDL_OP_ABS, y, NULL);
                builder_output(&b, builder_node(&b, GPUDL_OP_IDENTITY, y, NULL));
                i++;
            } else {
                y = builder_node(&b, GPUDL_OP_NEG, i == 0 ? builder_random(&b, "1x2x2x3", -1, 1) : y, NULL);
            }
        }
        builder_output(&b, form == 5 ? builder_node(&b, GPUDL_OP_ADD, x, y) : y);
        g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
        start = g_get_monotonic_time();
        g_assert_true(gpudl_graph_prove_batch(b.graph, NULL, &error));
        g_assert_true(gpudl_passes_run(b.graph, NULL, &error));
        g_assert_no_error(error);
        g_test_message("chain %u: %u nodes left, %.2f s", form, b.graph->nodes->len,
                       (double)(g_get_monotonic_time() - start) / 1e6);
        g_assert_cmpuint(b.graph->nodes->len, <=, form == 4 ? most / 2 + 1 : 1);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passes/gemm/makes", test_gemm);
    g_test_add_func("/passes/gemm/keeps", test_gemm_kept);
    g_test_add_func("/passes/pool/makes", test_pool);
    g_test_add_func("/passes/pool/keeps", test_pool_kept);
    g_test_add_func("/passes/pad/folds", test_pad);
    g_test_add_func("/passes/pad/keeps", test_pad_kept);
    g_test_add_func("/passes/pool/keeps-max-pool", test_max_pool_kept);
    g_test_add_func("/passes/affine/batch-norm", test_batch_norm);
    g_test_add_func("/passes/affine/chain", test_affine_chain);
    g_test_add_func("/passes/affine/gemm", test_affine_gemm);
    g_test_add_func("/passes/affine/collapse", test_affine_collapse);
    g_test_add_func("/passes/channels/joins", test_channels);
    g_test_add_func("/passes/channels/keeps", test_channels_kept);
    g_test_add_func("/passes/affine/keeps", test_affine_kept);
    g_test_add_func("/passes/affine/bad-numbers", test_affine_bad_numbers);
    g_test_add_func("/passes/affine/rounds-once", test_affine_rounds_once);
    g_test_add_func("/passes/residual/fuses", test_residual);
    g_test_add_func("/passes/residual/keeps", test_residual_kept);
    g_test_add_func("/passes/fuse-act/fuses", test_fuse_act);
    g_test_add_func("/passes/fuse-act/keeps", test_fuse_act_kept);
    g_test_add_func("/passes/whole", test_whole);
    g_test_add_func("/passes/longest-chains", test_longest_chains);
    return g_test_run();
}
