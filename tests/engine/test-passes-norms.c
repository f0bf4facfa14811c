/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Norms and activations that exporters write out in parts: each writing becomes one node, whatever the order of its
 * operands; what is nearly one, or read elsewhere, stays. */
#include <math.h>
#include <string.h>

#include "builder.h"

/* ---- norms ------------------------------------------------------------------------------------------------------- */

typedef enum { POWER, PRODUCT, N_SQUARES } Square;
typedef enum { BY_ROOT, BY_HALF_POWER, TIMES_RECIPROCAL, TIMES_QUOTIENT, TIMES_POWER, N_QUOTIENTS } Quotient;

/* How a norm is written, and what is wrong with it. */
typedef struct {
    Square square;
    Quotient quotient;
    gboolean turned, twice; /* operands exchanged; two nodes for x - mean */
    gint axis, n_axes;
    gint other_axis; /* of the variance, 0: the same */
    double power;    /* 0: 2 */
    gboolean biased; /* epsilon is a vector */
} Writing;

/* What is between, for tests that read it. */
typedef struct {
    GpudlTensor *mean, *centred, *square, *variance, *sum, *root;
} Between;

static GpudlTensor *mean_over(Builder *b, GpudlTensor *x, gint axis, gint n, gboolean keep)
{
    GpudlTensor *y = builder_node(b, GPUDL_OP_REDUCE_MEAN, x, NULL);

    y->producer->attrs.reduce.keepdims = keep;
    y->producer->attrs.reduce.n_axes = n;
    for (gint i = 0; i < n; i++) /* any order */
        y->producer->attrs.reduce.axes[i] = axis + n - 1 - i;
    return y;
}

static GpudlTensor *two(Builder *b, GpudlOp op, GpudlTensor *x, GpudlTensor *y, gboolean turned)
{
    return turned ? builder_node(b, op, y, x) : builder_node(b, op, x, y);
}

static GpudlTensor *write_norm(Builder *b, GpudlTensor *x, const Writing *w, Between *between)
{
    Between parts, *p = between != NULL ? between : &parts;
    GpudlTensor *again, *inverse;

    p->mean = mean_over(b, x, w->axis, w->n_axes, TRUE);
    p->centred = again = builder_node(b, GPUDL_OP_SUB, x, p->mean);
    if (w->twice)
        again = builder_node(b, GPUDL_OP_SUB, x, p->mean);
    p->square = w->square == POWER
                    ? builder_node(b, GPUDL_OP_POW, again, builder_scalar(b, w->power != 0 ? w->power : 2))
                    : builder_node(b, GPUDL_OP_MUL, again, again);
    p->variance = mean_over(b, p->square, w->other_axis != 0 ? w->other_axis : w->axis, w->n_axes, TRUE);
    p->sum = two(b, GPUDL_OP_ADD, p->variance,
                 w->biased ? builder_random(b, "1x6x1x1", 1e-3, 1e-2) : builder_scalar(b, 1e-3), w->turned);
    if (w->quotient == TIMES_POWER) {
        p->root = inverse = builder_node(b, GPUDL_OP_POW, p->sum, builder_scalar(b, -.5));
        return two(b, GPUDL_OP_MUL, p->centred, inverse, w->turned);
    }
    p->root = w->quotient == BY_HALF_POWER ? builder_node(b, GPUDL_OP_POW, p->sum, builder_scalar(b, .5))
                                           : builder_node(b, GPUDL_OP_SQRT, p->sum, NULL);
    if (w->quotient == BY_ROOT || w->quotient == BY_HALF_POWER)
        return builder_node(b, GPUDL_OP_DIV, p->centred, p->root);
    inverse = w->quotient == TIMES_RECIPROCAL ? builder_node(b, GPUDL_OP_RECIPROCAL, p->root, NULL)
                                              : builder_node(b, GPUDL_OP_DIV, builder_scalar(b, 1), p->root);
    return two(b, GPUDL_OP_MUL, p->centred, inverse, w->turned);
}

static void test_writings(void)
{
    static const struct {
        gint axis, n;
        const gchar *scale;
    } where[] = {{3, 1, "8"}, {1, 1, "6x1x1"}, {2, 2, "7x8"}, {1, 3, "1x6x7x8"}, {2, 1, "7x1"}};

    for (guint i = 0; i < N_SQUARES * N_QUOTIENTS * 4 * G_N_ELEMENTS(where); i++) {
        g_auto(Builder) b = builder_new();
        const guint k = i / (N_SQUARES * N_QUOTIENTS * 4);
        const Writing w = {.square = (Square)(i % N_SQUARES),
                           .quotient = (Quotient)(i / N_SQUARES % N_QUOTIENTS),
                           .turned = i / (N_SQUARES * N_QUOTIENTS) % 2,
                           .twice = i / (N_SQUARES * N_QUOTIENTS * 2) % 2,
                           .axis = where[k].axis,
                           .n_axes = where[k].n};
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = write_norm(&b, x, &w, NULL);
        const GpudlNode *norm;

        if (i % 3 > 0)
            y = two(&b, GPUDL_OP_MUL, y, builder_random(&b, where[k].scale, -1, 1), w.turned);
        if (i % 3 > 1)
            y = two(&b, i % 2 ? GPUDL_OP_SUB : GPUDL_OP_ADD, y, builder_random(&b, where[k].scale, -1, 1), w.turned);
        builder_output(&b, y);
        builder_check(&b, "norms", "LayerNorm:1");
        norm = graph_first(b.graph, GPUDL_OP_LAYER_NORM);
        g_assert_cmpint(norm->attrs.norm.axis, ==, where[k].axis);
        g_assert_cmpint(norm->attrs.norm.n_axes, ==, where[k].n);
        g_assert_cmpfloat(norm->attrs.norm.epsilon, ==, 1e-3f);
        g_assert_cmpuint(norm->n_inputs, ==, i % 3 > 0 ? 3 : 1);
    }
}

/* Scale and bias of channels, behind norms of whole frames and of whole channels. */
static void test_channels(void)
{
    for (guint i = 0; i < 2; i++) {
        g_auto(Builder) b = builder_new();
        const Writing w = {.axis = i == 0 ? 1 : 2, .n_axes = i == 0 ? 3 : 2};
        GpudlTensor *y = write_norm(&b, builder_input(&b, "1x6x7x8"), &w, NULL);

        y = builder_node(&b, GPUDL_OP_MUL, builder_random(&b, "6x1x1", -1, 1), y);
        y = builder_node(&b, GPUDL_OP_ADD, y, builder_random(&b, "1x6x1x1", -1, 1));
        y = builder_node(&b, GPUDL_OP_DIV, y, builder_random(&b, "6x1x1", 1, 2));
        builder_output(&b, y);
        builder_check(&b, "norms", "GroupNorm:1");
        g_assert_cmpint(graph_first(b.graph, GPUDL_OP_GROUP_NORM)->attrs.norm.groups, ==, i == 0 ? 1 : 6);
    }
}

static void test_near_misses(void)
{
    static const struct {
        Writing w;
        const gchar *left;
    } cases[] = {
        {{.axis = 3, .n_axes = 1, .other_axis = 2}, "Sqrt:1 Add:1 Sub:1 Div:1 Pow:1 ReduceMean:2"},
        {{.axis = 3, .n_axes = 1, .power = 4}, "Sqrt:1 Add:1 Sub:1 Div:1 Pow:1 ReduceMean:2"},
        {{.axis = 3, .n_axes = 1, .biased = TRUE}, "Sqrt:1 Add:1 Sub:1 Div:1 Pow:1 ReduceMean:2"},
        /* frames are not to be mixed */
        {{.axis = 0, .n_axes = 2}, "Sqrt:1 Add:1 Sub:1 Div:1 Pow:1 ReduceMean:2"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_node(&b, GPUDL_OP_EXP, builder_input(&b, "1x6x7x8"), NULL);
        g_autofree gchar *expected = g_strconcat("Exp:1 ", cases[i].left, NULL);

        builder_output(&b, write_norm(&b, x, &cases[i].w, NULL));
        builder_check(&b, "norms", expected);
    }
}

/* Dimensions 1 and 3 are no neighbours. */
static void test_gaps(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *y = write_norm(&b, builder_input(&b, "1x6x7x8"), &(Writing){.axis = 1, .n_axes = 2}, NULL);

    for (guint i = 0; i < b.graph->nodes->len; i++) {
        GpudlNode *node = b.graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_REDUCE_MEAN)
            node->attrs.reduce.axes[0] = 3;
    }
    builder_output(&b, y);
    builder_check(&b, "norms", "Sqrt:1 Add:1 Sub:1 Div:1 Pow:1 ReduceMean:2");
}

/* Each of what is between, read by another node or the outside. */
static void test_shared(void)
{
    for (guint i = 0; i < 12; i++) {
        g_auto(Builder) b = builder_new();
        Between p;
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = write_norm(&b, x, &(Writing){.axis = 3, .n_axes = 1}, &p);
        GpudlTensor *const all[] = {p.mean, p.centred, p.square, p.variance, p.sum, p.root};

        builder_output(&b, y);
        builder_output(&b, i < 6 ? builder_node(&b, GPUDL_OP_ABS, all[i], NULL) : all[i - 6]);
        builder_check(&b, "norms",
                      i < 6 ? "Abs:1 Sqrt:1 Add:1 Sub:1 Div:1 Pow:1 ReduceMean:2"
                            : "Sqrt:1 Add:1 Sub:1 Div:1 Pow:1 ReduceMean:2");
    }
}

/* A scale along another dimension, one that widens the result, one that is computed, and a norm read twice. */
static void test_scales_kept(void)
{
    g_auto(Builder) b = builder_new();
    GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y[4], *last;
    const Writing w = {.axis = 3, .n_axes = 1};

    for (guint i = 0; i < 4; i++)
        y[i] = write_norm(&b, x, &w, NULL);
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, y[0], builder_random(&b, "7x1", -1, 1)));
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, y[1], builder_random(&b, "2x1x1x8", -1, 1)));
    builder_output(&b, builder_node(&b, GPUDL_OP_MUL, y[2], x));
    last = builder_node(&b, GPUDL_OP_MUL, y[3], builder_random(&b, "8", -1, 1));
    builder_output(&b, last);
    builder_output(&b, y[3]);
    builder_check(&b, "norms", "LayerNorm:4 Mul:4");
}

/* ---- folded ------------------------------------------------------------------------------------------------------ */

/* x k + (bias - mean k), k = scale / deviation. which: of the parts is read once more, 0: none. */
static GpudlTensor *write_folded(Builder *b, GpudlTensor *x, guint i, guint which)
{
    GpudlTensor *mean = mean_over(b, x, 1, 1, TRUE), *y, *k, *shift, *parts[5] = {NULL, mean};
    const gboolean turned = i % 2, scaled = i / 2 % 2, by_sub = i / 4 % 2, biased = i / 8 % 2;

    parts[2] = y = builder_node(b, GPUDL_OP_SUB, x, mean);
    parts[3] = y = mean_over(b, builder_node(b, GPUDL_OP_MUL, y, y), 1, 1, TRUE);
    y = builder_node(b, GPUDL_OP_SQRT, builder_node(b, GPUDL_OP_ADD, y, builder_scalar(b, 1e-3)), NULL);
    k = builder_node(b, GPUDL_OP_RECIPROCAL, y, NULL);
    if (scaled)
        k = two(b, GPUDL_OP_MUL, k, builder_random(b, "6x1x1", -1, 1), turned);
    parts[4] = k;
    if (by_sub && biased) {
        shift =
            builder_node(b, GPUDL_OP_SUB, builder_random(b, "1x6x1x1", -1, 1), two(b, GPUDL_OP_MUL, mean, k, turned));
    } else {
        shift = two(b, GPUDL_OP_MUL, builder_node(b, GPUDL_OP_NEG, mean, NULL), k, turned);
        if (biased)
            shift = two(b, GPUDL_OP_ADD, shift, builder_random(b, "6x1x1", -1, 1), turned);
    }
    if (which > 0)
        builder_output(b, parts[which]);
    return two(b, GPUDL_OP_ADD, two(b, GPUDL_OP_MUL, x, k, turned), shift, turned);
}

static void test_folded(void)
{
    for (guint i = 0; i < 16; i++) {
        g_auto(Builder) b = builder_new();

        builder_output(&b, write_folded(&b, builder_input(&b, "1x6x7x8"), i, 0));
        builder_check(&b, "norms", "LayerNorm:1");
    }
}

static void test_folded_kept(void)
{
    for (guint i = 0; i < 16 * 5; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = write_folded(&b, x, i % 16, i / 16);
        g_autofree gchar *left = NULL;

        if (i / 16 == 0) { /* another one's mean */
            GpudlTensor *other = mean_over(&b, builder_node(&b, GPUDL_OP_ABS, x, NULL), 1, 1, TRUE);

            for (guint n = 0; n < b.graph->nodes->len; n++) {
                GpudlNode *node = b.graph->nodes->pdata[n];

                if (node->op == GPUDL_OP_SUB && node->inputs[0] == x)
                    node->inputs[1] = other;
            }
        }
        builder_output(&b, y);
        g_assert_true(gpudl_graph_sort(b.graph, NULL));
        g_assert_true(gpudl_graph_infer(b.graph, 1, NULL));
        left = graph_histogram(b.graph);
        builder_check(&b, "norms", left);
    }
}

/* ---- groups ------------------------------------------------------------------------------------------------------ */

static GpudlTensor *group_norm(Builder *b, GpudlTensor *x, gint groups, const gchar *channels)
{
    GpudlTensor *inputs[] = {x, builder_random(b, channels, -1, 1), builder_random(b, channels, -1, 1)};
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_GROUP_NORM, "group", inputs, 3, NULL, 1);

    node->attrs.norm.groups = groups;
    return node->outputs[0];
}

/* Groups as PyTorch writes them: each a channel of its own for the while. */
static void test_groups(void)
{
    for (guint i = 0; i < 4; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y = builder_reshape(&b, x, i == 1 ? "0x1x-1" : "0x3x-1");

        if (i == 0)
            y = group_norm(&b, y, 3, "3");
        else if (i == 1)
            y = group_norm(&b, y, 1, "1");
        else
            y = write_norm(&b, y, &(Writing){.axis = 2, .n_axes = 1}, NULL);
        y = builder_reshape(&b, y, i == 3 ? "1x6x7x8" : "0x6x7x8");
        y = builder_node(&b, GPUDL_OP_MUL, y, builder_random(&b, "6x1x1", -1, 1));
        y = builder_node(&b, GPUDL_OP_ADD, y, builder_random(&b, "6x1x1", -1, 1));
        builder_output(&b, y);
        builder_check(&b, "norms", "GroupNorm:1");
        g_assert_cmpint(graph_first(b.graph, GPUDL_OP_GROUP_NORM)->attrs.norm.groups, ==, i == 1 ? 1 : 3);
    }
}

static void test_groups_kept(void)
{
    static const gchar *const seen[][3] = {
        {"0x3x-1", "0x7x6x8", "GroupNorm:1 Reshape:2"}, /* another shape behind */
        {"0x4x-1", "0x6x7x8", "GroupNorm:1 Reshape:2"}, /* groups of one and a half channels */
        {"0x3x-1", "0x6x7x8", "GroupNorm:1 Abs:1 Reshape:2"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(seen); i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *y = builder_reshape(&b, builder_input(&b, "1x6x7x8"), seen[i][0]);

        if (i == 2)
            builder_output(&b, builder_node(&b, GPUDL_OP_ABS, y, NULL));
        y = group_norm(&b, y, i == 1 ? 4 : 3, i == 1 ? "4" : "3");
        builder_output(&b, builder_reshape(&b, y, seen[i][1]));
        builder_check(&b, "norms", seen[i][2]);
    }
}

/* ---- GELU -------------------------------------------------------------------------------------------------------- */

static GpudlTensor *times(Builder *b, GpudlTensor *x, double value)
{
    return builder_node(b, GPUDL_OP_MUL, builder_scalar(b, value), x);
}

static GpudlTensor *plus(Builder *b, GpudlTensor *x, double value)
{
    return builder_node(b, GPUDL_OP_ADD, x, builder_scalar(b, value));
}

static GpudlTensor *mul(Builder *b, GpudlTensor *x, GpudlTensor *y)
{
    return builder_node(b, GPUDL_OP_MUL, x, y);
}

/* The cubic that tanh gets. */
static GpudlTensor *cubic(Builder *b, GpudlTensor *x, guint writing, double root, double third)
{
    GpudlTensor *y;

    switch (writing) {
    case 0: /* root (x + third x^3) */
        y = builder_node(b, GPUDL_OP_POW, x, builder_scalar(b, 3));
        return times(b, builder_node(b, GPUDL_OP_ADD, times(b, y, third), x), root);
    case 1: /* x root (1 + third x x) */
        y = plus(b, mul(b, times(b, x, third), x), 1);
        return mul(b, times(b, x, root), y);
    case 2: /* third x x x + x, times root */
        y = times(b, mul(b, mul(b, x, x), x), third);
        return builder_node(b, GPUDL_OP_MUL, builder_node(b, GPUDL_OP_ADD, x, y), builder_scalar(b, root));
    default: /* root x + root third x^2 x */
        y = mul(b, builder_node(b, GPUDL_OP_POW, x, builder_scalar(b, 2)), x);
        return builder_node(b, GPUDL_OP_ADD, times(b, x, root), times(b, y, root * third));
    }
}

/* x / 2 (1 + f) */
static GpudlTensor *half_gate(Builder *b, GpudlTensor *x, GpudlTensor *f, guint writing)
{
    switch (writing) {
    case 0:
        return mul(b, times(b, x, .5), plus(b, f, 1));
    case 1:
        return times(b, mul(b, plus(b, f, 1), x), .5);
    case 2:
        return mul(b, x, times(b, plus(b, f, 1), .5));
    case 3:
        return mul(b, builder_node(b, GPUDL_OP_DIV, x, builder_scalar(b, 2)), plus(b, f, 1));
    case 4: /* by halves */
        return mul(b, plus(b, times(b, f, .5), .5), x);
    default:
        return builder_node(b, GPUDL_OP_ADD, times(b, x, .5), mul(b, times(b, x, .5), f));
    }
}

static GpudlTensor *erf_of(Builder *b, GpudlTensor *x, guint writing, double root)
{
    GpudlTensor *y = writing % 2 ? builder_node(b, GPUDL_OP_DIV, x, builder_scalar(b, 1 / root)) : times(b, x, root);

    return builder_node(b, GPUDL_OP_ERF, y, NULL);
}

static void expect_act(Builder *b, GpudlActKind kind)
{
    builder_check(b, "compositions", "Activation:1");
    g_assert_cmpint(graph_first(b->graph, GPUDL_OP_ACTIVATION)->attrs.unary.act.kind, ==, kind);
}

static void test_gelu(void)
{
    for (guint i = 0; i < 6 * 6; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *f;

        if (i / 6 < 2)
            f = erf_of(&b, x, i / 6, sqrt(.5));
        else
            f = builder_act(&b, cubic(&b, x, i / 6 - 2, sqrt(2 / G_PI), .044715), GPUDL_ACT_TANH, 0, 0);
        builder_output(&b, half_gate(&b, x, f, i % 6));
        expect_act(&b, i / 6 < 2 ? GPUDL_ACT_GELU : GPUDL_ACT_GELU_TANH);
    }
}

static void test_gelu_kept(void)
{
    for (guint i = 0; i < 8; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *other = builder_node(&b, GPUDL_OP_ABS, x, NULL), *f, *y;
        g_autofree gchar *left = NULL;

        f = i < 5 ? erf_of(&b, x, 0, i == 0 ? .7072 : sqrt(.5))
                  : builder_act(&b, cubic(&b, x, 0, i == 5 ? .798 : sqrt(2 / G_PI), i == 6 ? .0447 : .044715),
                                GPUDL_ACT_TANH, 0, 0);
        y = mul(&b, times(&b, i == 1 ? other : x, i == 2 ? .51 : .5), plus(&b, f, i == 3 ? 1.01 : 1));
        if (i == 4)
            builder_output(&b, f);
        if (i == 7) /* the cubic is read elsewhere */
            builder_output(&b, f->producer->inputs[0]);
        builder_output(&b, y);
        g_assert_true(gpudl_graph_infer(b.graph, 1, NULL));
        gpudl_graph_remove_dead(b.graph);
        left = graph_histogram(b.graph);
        builder_check(&b, "compositions", left);
    }
}

/* ---- exponentials ------------------------------------------------------------------------------------------------ */

static GpudlTensor *softplus(Builder *b, GpudlTensor *x, gboolean safe)
{
    GpudlTensor *y = x;

    if (safe)
        y = builder_node(b, GPUDL_OP_NEG, builder_node(b, GPUDL_OP_ABS, x, NULL), NULL);
    y = builder_node(b, GPUDL_OP_LOG, plus(b, builder_node(b, GPUDL_OP_EXP, y, NULL), 1), NULL);
    return safe ? builder_node(b, GPUDL_OP_ADD, builder_act(b, x, GPUDL_ACT_RELU, 0, 0), y) : y;
}

static GpudlTensor *logistic(Builder *b, GpudlTensor *x, gboolean by_product, double one)
{
    GpudlTensor *y = by_product ? times(b, x, -1) : builder_node(b, GPUDL_OP_NEG, x, NULL);

    return plus(b, builder_node(b, GPUDL_OP_EXP, y, NULL), one);
}

static void test_exponentials(void)
{
    for (guint i = 0; i < 10; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *y;

        if (i < 4) {
            y = builder_act(&b, softplus(&b, x, i / 2), GPUDL_ACT_TANH, 0, 0);
            builder_output(&b, i % 2 ? mul(&b, x, y) : mul(&b, y, x));
            expect_act(&b, GPUDL_ACT_MISH);
        } else {
            y = logistic(&b, x, i % 2, 1);
            builder_output(&b, i / 2 == 2   ? builder_node(&b, GPUDL_OP_DIV, x, y)
                               : i / 2 == 3 ? builder_node(&b, GPUDL_OP_DIV, builder_scalar(&b, 1), y)
                                            : builder_node(&b, GPUDL_OP_RECIPROCAL, y, NULL));
            expect_act(&b, i / 2 == 2 ? GPUDL_ACT_SILU : GPUDL_ACT_SIGMOID);
        }
    }
}

static void test_exponentials_kept(void)
{
    for (guint i = 0; i < 6; i++) {
        g_auto(Builder) b = builder_new();
        GpudlTensor *x = builder_input(&b, "1x6x7x8"), *other = builder_node(&b, GPUDL_OP_ABS, x, NULL), *y;
        g_autofree gchar *left = NULL;

        if (i < 3) {
            y = softplus(&b, x, TRUE);
            if (i == 1)
                builder_output(&b, y);
            y = builder_act(&b, y, i == 2 ? GPUDL_ACT_SIGMOID : GPUDL_ACT_TANH, 0, 0);
            builder_output(&b, mul(&b, i == 0 ? other : x, y));
        } else {
            y = logistic(&b, x, FALSE, i == 3 ? 1.5 : 1);
            if (i == 4)
                builder_output(&b, y);
            builder_output(&b, builder_node(&b, GPUDL_OP_DIV, i == 5 ? other : x, y));
        }
        g_assert_true(gpudl_graph_infer(b.graph, 1, NULL));
        gpudl_graph_remove_dead(b.graph);
        left = graph_histogram(b.graph);
        builder_check(&b, "compositions", left);
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passes/norms/writings", test_writings);
    g_test_add_func("/passes/norms/channels", test_channels);
    g_test_add_func("/passes/norms/near-misses", test_near_misses);
    g_test_add_func("/passes/norms/gaps", test_gaps);
    g_test_add_func("/passes/norms/shared", test_shared);
    g_test_add_func("/passes/norms/scales-kept", test_scales_kept);
    g_test_add_func("/passes/norms/folded", test_folded);
    g_test_add_func("/passes/norms/folded-kept", test_folded_kept);
    g_test_add_func("/passes/norms/groups", test_groups);
    g_test_add_func("/passes/norms/groups-kept", test_groups_kept);
    g_test_add_func("/passes/compositions/gelu", test_gelu);
    g_test_add_func("/passes/compositions/gelu-kept", test_gelu_kept);
    g_test_add_func("/passes/compositions/exponentials", test_exponentials);
    g_test_add_func("/passes/compositions/exponentials-kept", test_exponentials_kept);
    return g_test_run();
}
