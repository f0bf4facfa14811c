/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Passes that clean up and recognise, each alone on little graphs: what becomes of them, what must be left alone, and
 * that results stay. */
#include <math.h>
#include <string.h>

#include "builder.h"
#include "engine/gpudl.h"
#include "engine/passes/passes.h"
#include "engine/ref/ref.h"
#include "kernels/half.h"

/* ---- clean, move --------------------------------------------------------------------------------------------------
 */

static void test_clean(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y, *dead;

    dead = builder_node(&b, GPUDL_OP_EXP, x, NULL);
    builder_node(&b, GPUDL_OP_ABS, dead, NULL);
    y = builder_node(&b, GPUDL_OP_IDENTITY, builder_node(&b, GPUDL_OP_IDENTITY, x, NULL), NULL);
    y = builder_node(&b, GPUDL_OP_ABS, y, NULL);
    y = builder_reshape(&b, y, "0x4x6x-1");
    y = builder_transpose(&b, y, "0x1x2x3");
    y = builder_pad(&b, y, "0x0x0x0", "0x0x0x0", 7);
    y = builder_pool(&b, GPUDL_OP_AVERAGE_POOL, builder_pool(&b, GPUDL_OP_MAX_POOL, y, 1, 1, 0), 1, 1, 0);
    y = builder_node(&b, GPUDL_OP_CONCAT, y, NULL);
    y = builder_node(&b, GPUDL_OP_ADD, y, builder_scalar(&b, 0));
    y = builder_node(&b, GPUDL_OP_MUL, builder_scalar(&b, 1), y);
    y = builder_node(&b, GPUDL_OP_DIV, y, builder_scalar(&b, 1));
    y = builder_node(&b, GPUDL_OP_CAST, y, NULL);
    y->producer->attrs.cast.to = GPUDL_DTYPE_F32;
    builder_output(&b, y);
    builder_check(&b, "clean", "Abs:1");
}

static void test_clean_keeps(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;

    y = builder_reshape(&b, x, "0x6x4x-1");
    y = builder_node(&b, GPUDL_OP_SUB, builder_scalar(&b, 0), y);
    y = builder_node(&b, GPUDL_OP_DIV, builder_scalar(&b, 1), y);
    y = builder_node(&b, GPUDL_OP_ADD, y, builder_random(&b, "1x1x1x1x1", 0, 0)); /* one rank more */
    y = builder_node(&b, GPUDL_OP_SLICE, y, NULL);
    y->producer->attrs.slice.rank = 5;
    for (int i = 0; i < 5; i++) {
        y->producer->attrs.slice.start[i] = i == 4 ? -1 : 0;
        y->producer->attrs.slice.end[i] = i == 4 ? G_MININT64 : G_MAXINT64;
        y->producer->attrs.slice.step[i] = i == 4 ? -1 : 1;
    }
    builder_output(&b, y);
    builder_check(&b, "clean", "Add:1 Sub:1 Div:1 Reshape:1 Slice:1");
}

/* Pools whose windows are of more elements than one, not one for each, or around the picture. */
static void test_clean_keeps_pools(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *y = builder_pool(&b, GPUDL_OP_AVERAGE_POOL, builder_input(&b, "1x4x6x6"), 3, 1, 1);

    y = builder_pool(&b, GPUDL_OP_MAX_POOL, y, 1, 2, 0);
    y = builder_pool(&b, GPUDL_OP_MAX_POOL, builder_pool(&b, GPUDL_OP_MAX_POOL, y, 2, 1, 1), 1, 1, 0);
    builder_output(&b, y);
    builder_check(&b, "clean", "MaxPool:2 AveragePool:1");
}

/* An output keeps its name; the graph's input itself cannot become an output, nor one output another. */
static void test_clean_outputs(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x2x3x3"), *y;

    y = builder_node(&b, GPUDL_OP_ABS, x, NULL);
    builder_output(&b, builder_node(&b, GPUDL_OP_IDENTITY, x, NULL));
    builder_output(&b, builder_node(&b, GPUDL_OP_IDENTITY, y, NULL));
    builder_output(&b, builder_node(&b, GPUDL_OP_IDENTITY, y, NULL));
    builder_output(&b, builder_node(&b, GPUDL_OP_NEG, y, NULL));
    builder_check(&b, "clean", "Abs:1 Neg:1 Identity:2");
}

static void test_move(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x5x6"), *y = x;

    y = builder_transpose(&b, y, "0x2x3x1");
    y = builder_transpose(&b, y, "0x3x1x2");
    y = builder_node(&b, GPUDL_OP_ABS, y, NULL);
    y = builder_transpose(&b, y, "0x2x3x1");
    y = builder_transpose(&b, y, "0x2x1x3");
    y = builder_reshape(&b, y, "0x2x-1");
    y = builder_reshape(&b, y, "0x0x3x20");
    builder_output(&b, y);
    builder_check(&b, NULL, "Abs:1 Reshape:1 Transpose:1");
}

static void test_move_keeps(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x5x6"), *y;

    y = builder_transpose(&b, x, "0x2x3x1");
    builder_output(&b, y);
    builder_output(&b, builder_transpose(&b, y, "0x3x1x2"));
    y = builder_reshape(&b, x, "0x-1x6");
    builder_output(&b, builder_reshape(&b, y, "-1x0x2x3")); /* two -1 would meet */
    builder_check(&b, "move", "Reshape:2 Transpose:2");
}

/* ---- widen, fold ------------------------------------------------------------------------------------------------- */

static void test_widen(void)
{
    g_auto(Builder) b = builder_new();
    GpudlShape shape = {4, {1, 2, 2, 2}}, one = {1, {1}};
    /* 0.5, the smallest subnormal, 65504, -inf is no number one would multiply with: -2 */
    const guint16 halves[] = {0x3800, 0x0001, 0x7bff, 0xc000, 0x3c00, 0x0400, 0x8000, 0x4248};
    const float expected[] = {0.5f, 0x1p-24f, 65504.f, -2.f, 1.f, 0x1p-14f, -0.f, 3.140625f};
    guint8 raw[sizeof(halves) + 1];
    g_autoptr(GBytes) file = NULL, data = NULL, bf = g_bytes_new_static("\xc0\x3f", 2); /* 1.5 */
    GpudlTensor *x = gpudl_graph_add_input(b.graph, "x", GPUDL_DTYPE_F16, &shape), *w, *y;
    g_autoptr(GError) error = NULL;
    guint changed = 0;
    const GpudlPassInfo *pass = gpudl_passes_list();

    /* a constant as a piece of a file lies: at an odd address */
    memcpy(raw + 1, halves, sizeof(halves));
    file = g_bytes_new(raw, sizeof(raw));
    data = g_bytes_new_from_bytes(file, 1, sizeof(halves));
    w = gpudl_graph_add_constant(b.graph, "w", GPUDL_DTYPE_F16, &shape, data, &error);
    y = builder_node(&b, GPUDL_OP_MUL, x, w);
    y = builder_node(&b, GPUDL_OP_CAST, y, NULL);
    y->producer->attrs.cast.to = GPUDL_DTYPE_BF16;
    y = builder_node(&b, GPUDL_OP_MUL, y, gpudl_graph_add_constant(b.graph, "v", GPUDL_DTYPE_BF16, &one, bf, &error));
    y = builder_node(&b, GPUDL_OP_CAST, y, NULL);
    y->producer->attrs.cast.to = GPUDL_DTYPE_F16;
    builder_output(&b, y);
    g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
    g_assert_cmpstr(pass->name, ==, "widen");
    g_assert_true(pass->run(b.graph, &changed, &error));
    g_assert_no_error(error);
    g_assert_cmpuint(changed, >, 0);
    g_assert_cmpint(x->dtype, ==, GPUDL_DTYPE_F32);
    g_assert_cmpint(y->dtype, ==, GPUDL_DTYPE_F32);
    g_assert_cmpint(w->dtype, ==, GPUDL_DTYPE_F32);
    g_assert_cmpmem(g_bytes_get_data(w->data, NULL), g_bytes_get_size(w->data), expected, sizeof(expected));
    builder_check(&b, NULL, "Mul:2");
}

static GpudlTensor *half_constant(Builder *b, const gchar *name, const GpudlShape *shape, guint32 seed, GError **error)
{
    g_autoptr(GRand) rand = g_rand_new_with_seed(seed);
    guint16 halves[64];
    g_autoptr(GBytes) bytes = NULL;
    gint64 n = gpudl_shape_elements(shape);

    g_assert_cmpint(n, <=, G_N_ELEMENTS(halves));
    for (gint64 i = 0; i < n; i++)
        halves[i] = gpudl_f32_to_f16((float)g_rand_double_range(rand, -1, 1));
    bytes = g_bytes_new(halves, (gsize)n * sizeof(guint16));
    return gpudl_graph_add_constant(b->graph, name, GPUDL_DTYPE_F16, shape, bytes, error);
}

/* The only rewrite that convert applies to both sides of its comparison: what it computes is compared here. */
static void test_widen_computes_alike(void)
{
    g_auto(Builder) b = builder_new();
    const GpudlShape shape = {4, {1, 3, 4, 4}}, weights = {4, {5, 3, 1, 1}}, row = {2, {5, 6}};
    GpudlTensor *x = gpudl_graph_add_input(b.graph, "x", GPUDL_DTYPE_F16, &shape), *y;
    g_autoptr(GpudlGraph) half = NULL;
    g_autoptr(GError) error = NULL;
    g_autoptr(GBytes) in = NULL, wide_in = NULL;
    g_autoptr(GPtrArray) outs = NULL, wide_outs = NULL;
    g_autoptr(GRand) rand = g_rand_new_with_seed(7);
    guint16 pixels[48];
    float wide_pixels[48];
    const guint16 *found;
    const float *wide;
    guint changed = 0;

    y = builder_node(&b, GPUDL_OP_CONV, x, half_constant(&b, "w", &weights, 1, &error));
    y->producer->attrs.window =
        (GpudlWindowAttrs){.n_spatial = 2, .group = 1, .kernel = {1, 1, 1}, .stride = {1, 1, 1}, .dilation = {1, 1, 1}};
    y = builder_node(&b, GPUDL_OP_GLOBAL_AVERAGE_POOL, y, NULL);
    y = builder_reshape(&b, y, "0x-1");
    y = builder_node(&b, GPUDL_OP_MATMUL, y, half_constant(&b, "m", &row, 2, &error));
    builder_output(&b, y);
    g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
    half = gpudl_graph_copy(b.graph);
    g_assert_true(gpudl_passes_list()->run(b.graph, &changed, &error));
    g_assert_cmpuint(changed, >, 0);
    g_assert_true(gpudl_graph_infer(half, 1, &error));
    for (guint i = 0; i < G_N_ELEMENTS(pixels); i++) {
        pixels[i] = gpudl_f32_to_f16((float)g_rand_double_range(rand, -1, 1));
        wide_pixels[i] = gpudl_f16_to_f32(pixels[i]);
    }
    in = g_bytes_new(pixels, sizeof pixels);
    wide_in = g_bytes_new(wide_pixels, sizeof wide_pixels);
    outs = gpudl_ref_run(half, &in, NULL, &error);
    g_assert_no_error(error);
    wide_outs = gpudl_ref_run(b.graph, &wide_in, NULL, &error);
    g_assert_no_error(error);
    g_assert_cmpuint(g_bytes_get_size(outs->pdata[0]), ==, 6 * sizeof(guint16));
    g_assert_cmpuint(g_bytes_get_size(wide_outs->pdata[0]), ==, 6 * sizeof(float));
    found = g_bytes_get_data(outs->pdata[0], NULL);
    wide = g_bytes_get_data(wide_outs->pdata[0], NULL);
    /* three roundings to 11 bits of values below 2, then five products */
    for (guint i = 0; i < 6; i++)
        g_assert_cmpfloat_with_epsilon(gpudl_f16_to_f32(found[i]), wide[i], 5e-3f);
    g_assert_cmpfloat(fabsf(wide[0] - wide[1]), >, 2e-2f); /* there is something to compare */
}

static void test_fold(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x3x3"), *c = builder_random(&b, "4", -1, 1), *y;
    g_autoptr(GError) error = NULL;

    c = builder_reshape(&b, c, "1x-1x1x1");
    c = builder_node(&b, GPUDL_OP_NEG, c, NULL);
    y = builder_node(&b, GPUDL_OP_EXPAND, c, NULL);
    y->producer->attrs.shape = (GpudlShapeAttrs){4, {1, 4, 3, 3}};
    y = builder_node(&b, GPUDL_OP_MUL, x, y);
    builder_output(&b, y);
    builder_output(&b, builder_node(&b, GPUDL_OP_ABS, c, NULL)); /* a constant output is one */
    builder_check(&b, "fold", "Mul:1");
}

static GpudlTensor *expand_rows(Builder *b, gint64 rows)
{
    GpudlTensor *y = builder_node(b, GPUDL_OP_EXPAND, builder_random(b, "1x1", 1, 2), NULL);

    y->producer->attrs.shape = (GpudlShapeAttrs){2, {rows, 1}};
    return y;
}

/* 68 MiB are too much for a constant, but not for weights. */
static void test_fold_limits(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x1"), *y;

    builder_output(&b, builder_node(&b, GPUDL_OP_REDUCE_SUM, expand_rows(&b, 17 << 20), NULL));
    y = builder_node(&b, GPUDL_OP_MATMUL, x, builder_transpose(&b, expand_rows(&b, 17 << 20), "1x0"));
    builder_output(&b, builder_node(&b, GPUDL_OP_REDUCE_SUM, y, NULL));
    builder_check(&b, "fold", "MatMul:1 ReduceSum:2 Expand:1");
}

/* A gather beyond the end is the model's mistake, not a reason to leave it for later. */
static void test_fold_error(void)
{
    g_auto(Builder) b = builder_new();
    GpudlShape scalar = {0};
    g_autoptr(GBytes) nine = g_bytes_new_static("\x09\0\0\0\0\0\0\0", 8);
    GpudlTensor *index = gpudl_graph_add_constant(b.graph, "i", GPUDL_DTYPE_I64, &scalar, nine, NULL);
    g_autoptr(GError) error = NULL;

    builder_input(&b, "1x1");
    builder_output(&b, builder_node(&b, GPUDL_OP_GATHER, builder_random(&b, "4", 0, 1), index));
    g_assert_true(gpudl_graph_infer(b.graph, 1, &error));
    g_assert_false(gpudl_passes_run(b.graph, NULL, &error));
    g_assert_nonnull(error);
    g_assert_nonnull(strstr(error->message, "pass fold: "));
}

/* ---- activations ------------------------------------------------------------------------------------------------- */

static void expect_act(Builder *b, GpudlActKind kind)
{
    GpudlNode *node = graph_first(b->graph, GPUDL_OP_ACTIVATION);

    g_assert_nonnull(node);
    g_assert_cmpint(node->attrs.unary.act.kind, ==, kind);
}

/* All the orders in which a hard swish is written. */
static void test_hard_swish(void)
{
    for (guint form = 0; form < 9; form++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;

        switch (form) {
        case 0: /* x * clip(x + 3) / 6 */
            y = builder_scalar_op(&b, GPUDL_OP_DIV, builder_node(&b, GPUDL_OP_MUL, x, builder_clip6(&b, x)), 6);
            break;
        case 1: /* clip(x + 3) / 6 * x */
            y = builder_node(&b, GPUDL_OP_MUL, builder_scalar_op(&b, GPUDL_OP_DIV, builder_clip6(&b, x), 6), x);
            break;
        case 2: /* x * (clip(x + 3) * (1 / 6)) */
            y = builder_node(&b, GPUDL_OP_MUL, x, builder_scalar_op(&b, GPUDL_OP_MUL, builder_clip6(&b, x), 1. / 6));
            break;
        case 3: /* (x / 6) * clip(x + 3) */
            y = builder_node(&b, GPUDL_OP_MUL, builder_scalar_op(&b, GPUDL_OP_DIV, x, 6), builder_clip6(&b, x));
            break;
        case 4: /* 1/6 * (clip(3 + x) * x) */
            y = builder_act(&b, builder_node(&b, GPUDL_OP_ADD, builder_scalar(&b, 3), x), GPUDL_ACT_CLIP, 0, 6);
            y = builder_node(&b, GPUDL_OP_MUL, builder_scalar(&b, 1. / 6), builder_node(&b, GPUDL_OP_MUL, y, x));
            break;
        case 5: /* x * hardsigmoid(x) */
            y = builder_node(&b, GPUDL_OP_MUL, x, builder_act(&b, x, GPUDL_ACT_HARD_SIGMOID, 1.f / 6, 0.5f));
            break;
        case 6: /* x * clip(x / 6 + 0.5, 0, 1) */
            y = builder_scalar_op(&b, GPUDL_OP_ADD, builder_scalar_op(&b, GPUDL_OP_DIV, x, 6), 0.5);
            y = builder_node(&b, GPUDL_OP_MUL, builder_act(&b, y, GPUDL_ACT_CLIP, 0, 1), x);
            break;
        case 7: /* x * min(max(x + 3, 0), 6) / 6 */
            y = builder_scalar_op(&b, GPUDL_OP_MAX, builder_scalar_op(&b, GPUDL_OP_ADD, x, 3), 0);
            y = builder_scalar_op(&b, GPUDL_OP_MIN, y, 6);
            y = builder_scalar_op(&b, GPUDL_OP_DIV, builder_node(&b, GPUDL_OP_MUL, x, y), 6);
            break;
        default: /* x * min(relu(x - -3), 6) / 6 */
            y = builder_act(&b, builder_scalar_op(&b, GPUDL_OP_SUB, x, -3), GPUDL_ACT_RELU, 0, 0);
            y = builder_scalar_op(&b, GPUDL_OP_MIN, y, 6);
            y = builder_scalar_op(&b, GPUDL_OP_DIV, builder_node(&b, GPUDL_OP_MUL, x, y), 6);
            break;
        }
        builder_output(&b, y);
        builder_check(&b, NULL, "Activation:1");
        expect_act(&b, GPUDL_ACT_HARD_SWISH);
    }
}

static void test_gates_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *z = builder_input(&b, "1x4x6x6"), *gate;

    /* other slope, other x, other shape, a gate somebody else reads */
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, x, builder_act(&b, x, GPUDL_ACT_HARD_SIGMOID, 0.2f, 0.5f)));
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, z, builder_act(&b, x, GPUDL_ACT_HARD_SIGMOID, 1.f / 6, 0.5f)));
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, z, builder_act(&b, x, GPUDL_ACT_SIGMOID, 0, 0)));
    gate = builder_act(&b, x, GPUDL_ACT_SIGMOID, 0, 0);
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, x, gate));
    builder_output(&b, gate);
    builder_check(&b, "activations", "Activation:4 Mul:4");
}

static void test_silu(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6");

    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, builder_act(&b, x, GPUDL_ACT_SIGMOID, 0, 0), x));
    builder_check(&b, "activations", "Activation:1");
    expect_act(&b, GPUDL_ACT_SILU);
}

static void test_hard_sigmoid(void)
{
    for (guint form = 0; form < 3; form++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;
        const GpudlAct *act;

        if (form == 0) {
            y = builder_scalar_op(&b, GPUDL_OP_DIV, builder_clip6(&b, x), 6);
        } else if (form == 1) {
            y = builder_scalar_op(&b, GPUDL_OP_MUL, builder_clip6(&b, x), 1. / 6);
        } else {
            y = builder_scalar_op(&b, GPUDL_OP_ADD, builder_scalar_op(&b, GPUDL_OP_MUL, x, 1. / 6), 0.5);
            y = builder_act(&b, y, GPUDL_ACT_CLIP, 0, 1);
        }
        builder_output(&b, y);
        builder_check(&b, "activations", "Activation:1");
        expect_act(&b, GPUDL_ACT_HARD_SIGMOID);
        act = &graph_first(b.graph, GPUDL_OP_ACTIVATION)->attrs.unary.act;
        g_assert_cmpfloat_with_epsilon(act->alpha, 1. / 6, 1e-7);
        g_assert_cmpfloat_with_epsilon(act->beta, 0.5, 1e-7);
    }
}

static void test_clips(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6");

    builder_output(&b, builder_scalar_op(&b, GPUDL_OP_MIN, builder_act(&b, x, GPUDL_ACT_RELU, 0, 0), 2));
    builder_output(&b, builder_scalar_op(&b, GPUDL_OP_MAX, builder_scalar_op(&b, GPUDL_OP_MIN, x, 1), -1));
    builder_output(&b, builder_act(&b, builder_act(&b, x, GPUDL_ACT_CLIP, -3, -2), GPUDL_ACT_RELU, 0, 0));
    builder_output(&b, builder_scalar_op(&b, GPUDL_OP_PRELU, x, 0.25));
    builder_output(&b, builder_scalar_op(&b, GPUDL_OP_MAX, x, 0));
    builder_check(&b, NULL, "Activation:5");
}

static void test_clips_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x4x6x6"), *y;

    y = builder_act(&b, x, GPUDL_ACT_RELU, 0, 0);
    builder_output(&b, y);
    builder_output(&b, builder_act(&b, y, GPUDL_ACT_CLIP, 0, 1)); /* y is an output */
    builder_output(&b, builder_node(&b, GPUDL_OP_MIN, x, builder_random(&b, "4x1x1", 0, 1)));
    builder_output(&b, builder_node(&b, GPUDL_OP_PRELU, x, builder_random(&b, "4x1x1", 0, 1)));
    builder_output(&b, builder_act(&b, builder_act(&b, x, GPUDL_ACT_TANH, 0, 0), GPUDL_ACT_RELU, 0, 0));
    builder_check(&b, NULL, "Activation:4 Min:1 PRelu:1");
}

static void test_list(void)
{
    const GpudlPassInfo *pass = gpudl_passes_list();
    guint n = 0;

    for (; pass->name != NULL; pass++, n++) {
        g_assert_nonnull(pass->run);
        g_assert_nonnull(pass->purpose);
    }
    g_assert_cmpuint(n, ==, 15);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passes/list", test_list);
    g_test_add_func("/passes/clean/removes", test_clean);
    g_test_add_func("/passes/clean/keeps", test_clean_keeps);
    g_test_add_func("/passes/clean/keeps-pools", test_clean_keeps_pools);
    g_test_add_func("/passes/clean/outputs-keep-their-names", test_clean_outputs);
    g_test_add_func("/passes/move/merges", test_move);
    g_test_add_func("/passes/move/keeps", test_move_keeps);
    g_test_add_func("/passes/widen", test_widen);
    g_test_add_func("/passes/widen-computes-alike", test_widen_computes_alike);
    g_test_add_func("/passes/fold/computes", test_fold);
    g_test_add_func("/passes/fold/limits", test_fold_limits);
    g_test_add_func("/passes/fold/error", test_fold_error);
    g_test_add_func("/passes/activations/hard-swish", test_hard_swish);
    g_test_add_func("/passes/activations/silu", test_silu);
    g_test_add_func("/passes/activations/gates-kept", test_gates_kept);
    g_test_add_func("/passes/activations/hard-sigmoid", test_hard_sigmoid);
    g_test_add_func("/passes/activations/clips", test_clips);
    g_test_add_func("/passes/activations/clips-kept", test_clips_kept);
    return g_test_run();
}
