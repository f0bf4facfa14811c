/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Random little nets, grown from the same pieces exporters write: all passes together must leave their results, at the
 * batch they were made with and at another. Finds what the cases of single passes did not think of.
 *
 *     test-passes-random [--net N]     that one net alone, with what it consists of
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "builder.h"
#include "engine/passes/passes.h"

#define N_NETS 2000
#define N_NETS_UNDER_VALGRIND 150
#define MOST_VALUES 24
#define MOST_CHANNELS 12

/* A value of N x c x h x w. */
typedef struct {
    GpudlTensor *t;
    gint c, h, w;
} Value;

typedef struct {
    Builder b;
    Value values[MOST_VALUES];
    gint n;
} Net;

static gint pick(Net *net, gint n)
{
    return g_rand_int_range(net->b.rand, 0, n);
}

/* The last value mostly, so that chains grow. */
static Value any(Net *net)
{
    return net->values[pick(net, 3) > 0 ? net->n - 1 : pick(net, net->n)];
}

static GpudlTensor *constant_for(Net *net, Value x, double low, double high)
{
    g_autofree gchar *one = g_strdup_printf("%dx1x1", x.c), *full = g_strdup_printf("1x%dx1x1", x.c);

    switch (pick(net, 4)) {
    case 0:
        return builder_scalar(&net->b, g_rand_double_range(net->b.rand, low, high));
    case 1:
        return builder_random(&net->b, one, low, high);
    case 2:
        return builder_random(&net->b, full, low, high);
    default:
        return builder_random(&net->b, "1x1x1", low, high);
    }
}

static Value grow_conv(Net *net, Value x)
{
    gint k = pick(net, 2) ? x.c : 1 + pick(net, 6), kernel = pick(net, 2) ? 1 : 3;
    gboolean depthwise = k == x.c && pick(net, 3) == 0;
    GpudlTensor *y = builder_conv(&net->b, x.t, depthwise ? 1 : x.c, k, kernel, pick(net, 2) != 0);
    double root = sqrt((double)(depthwise ? 1 : x.c) * kernel * kernel);
    GpudlNode *node = y->producer;
    g_autofree gchar *shape = gpudl_shape_to_string(&node->inputs[1]->shape);

    node->inputs[1] = builder_random(&net->b, shape, -1.5 / root, 1.5 / root);
    if (depthwise)
        node->attrs.window.group = k;
    return (Value){y, k, x.h, x.w};
}

static Value grow_scale(Net *net, Value x)
{
    static const GpudlOp ops[] = {GPUDL_OP_ADD, GPUDL_OP_SUB, GPUDL_OP_MUL, GPUDL_OP_DIV};
    GpudlOp op = ops[pick(net, 4)];
    GpudlTensor *c = constant_for(net, x, 0.5, 1.5);

    if (op != GPUDL_OP_DIV && pick(net, 2))
        x.t = builder_node(&net->b, op, c, x.t);
    else
        x.t = builder_node(&net->b, op, x.t, c);
    return x;
}

static GpudlTensor *random_act(Net *net, GpudlTensor *x)
{
    static const GpudlActKind kinds[] = {GPUDL_ACT_RELU,       GPUDL_ACT_CLIP, GPUDL_ACT_LEAKY_RELU,
                                         GPUDL_ACT_SIGMOID,    GPUDL_ACT_SILU, GPUDL_ACT_HARD_SIGMOID,
                                         GPUDL_ACT_HARD_SWISH, GPUDL_ACT_TANH, GPUDL_ACT_GELU,
                                         GPUDL_ACT_GELU_TANH,  GPUDL_ACT_MISH};
    GpudlActKind kind = kinds[pick(net, G_N_ELEMENTS(kinds))];

    if (kind == GPUDL_ACT_CLIP)
        return builder_act(&net->b, x, kind, pick(net, 2) ? 0.f : -0.5f, pick(net, 2) ? 6.f : 1.f);
    return builder_act(&net->b, x, kind, 0.25f, 0.5f);
}

static Value grow_gate(Net *net, Value x)
{
    GpudlTensor *g = x.t;

    switch (pick(net, 4)) {
    case 0:
        g = builder_act(&net->b, g, GPUDL_ACT_SIGMOID, 0, 0);
        break;
    case 1:
        g = builder_act(&net->b, g, GPUDL_ACT_HARD_SIGMOID, pick(net, 2) ? 1.f / 6 : 0.2f, 0.5f);
        break;
    case 2:
        g = builder_act(&net->b, builder_node(&net->b, GPUDL_OP_ADD, g, builder_scalar(&net->b, 3)), GPUDL_ACT_CLIP, 0,
                        6);
        break;
    default:
        g = builder_pool(&net->b, GPUDL_OP_GLOBAL_AVERAGE_POOL, g, 1, 1, 0);
        g = builder_act(&net->b, g, GPUDL_ACT_SIGMOID, 0, 0);
        break;
    }
    if (pick(net, 2))
        g = builder_node(&net->b, GPUDL_OP_DIV, g, builder_scalar(&net->b, pick(net, 3) ? 6 : 2));
    x.t = pick(net, 2) ? builder_node(&net->b, GPUDL_OP_MUL, x.t, g) : builder_node(&net->b, GPUDL_OP_MUL, g, x.t);
    if (pick(net, 2))
        x.t = builder_node(&net->b, GPUDL_OP_MUL, x.t, builder_scalar(&net->b, pick(net, 2) ? 1. / 6 : 2));
    return x;
}

/* A norm in parts, of all that follows a dimension or of channels; now and then something in it is read once more. */
static Value grow_norm(Net *net, Value x)
{
    GpudlTensor *mean, *centred, *square, *sum, *y;
    gint axis = 1 + pick(net, 3), n = axis == 1 && pick(net, 2) ? 1 : 4 - axis;

    mean = builder_node(&net->b, GPUDL_OP_REDUCE_MEAN, x.t, NULL);
    centred = builder_node(&net->b, GPUDL_OP_SUB, x.t, mean);
    square = pick(net, 2) ? builder_node(&net->b, GPUDL_OP_MUL, centred, centred)
                          : builder_node(&net->b, GPUDL_OP_POW, centred, builder_scalar(&net->b, 2));
    y = builder_node(&net->b, GPUDL_OP_REDUCE_MEAN, square, NULL);
    mean->producer->attrs.reduce.n_axes = y->producer->attrs.reduce.n_axes = n;
    mean->producer->attrs.reduce.keepdims = y->producer->attrs.reduce.keepdims = 1;
    for (gint i = 0; i < n; i++)
        mean->producer->attrs.reduce.axes[i] = y->producer->attrs.reduce.axes[i] = axis + i;
    sum = builder_node(&net->b, GPUDL_OP_ADD, y, builder_scalar(&net->b, 0.1));
    y = builder_node(&net->b, GPUDL_OP_SQRT, sum, NULL);
    if (pick(net, 2))
        y = builder_node(&net->b, GPUDL_OP_DIV, centred, y);
    else
        y = builder_node(&net->b, GPUDL_OP_MUL, builder_node(&net->b, GPUDL_OP_RECIPROCAL, y, NULL), centred);
    if (pick(net, 2))
        y = builder_node(&net->b, GPUDL_OP_MUL, y, constant_for(net, x, 0.5, 1.5));
    if (pick(net, 2))
        y = builder_node(&net->b, GPUDL_OP_ADD, constant_for(net, x, -1, 1), y);
    if (pick(net, 4) == 0)
        y = builder_node(&net->b, GPUDL_OP_ADD, y, pick(net, 2) ? centred : sum);
    x.t = y;
    return x;
}

/* GELU in parts, with the right numbers mostly. */
static Value grow_gelu(Net *net, Value x)
{
    const double half = pick(net, 8) ? 0.5 : 0.4;
    GpudlTensor *y;

    if (pick(net, 2)) {
        y = builder_node(&net->b, GPUDL_OP_MUL, x.t, builder_scalar(&net->b, pick(net, 8) ? sqrt(0.5) : 0.7));
        y = builder_node(&net->b, GPUDL_OP_ERF, y, NULL);
    } else {
        y = builder_node(&net->b, GPUDL_OP_POW, x.t, builder_scalar(&net->b, 3));
        y = builder_node(&net->b, GPUDL_OP_MUL, y, builder_scalar(&net->b, 0.044715));
        y = builder_node(&net->b, GPUDL_OP_ADD, y, x.t);
        y = builder_node(&net->b, GPUDL_OP_MUL, builder_scalar(&net->b, pick(net, 8) ? sqrt(2 / G_PI) : 0.8), y);
        y = builder_act(&net->b, y, GPUDL_ACT_TANH, 0, 0);
    }
    y = builder_node(&net->b, GPUDL_OP_ADD, y, builder_scalar(&net->b, 1));
    if (pick(net, 2))
        y = builder_node(&net->b, GPUDL_OP_MUL, y,
                         builder_node(&net->b, GPUDL_OP_MUL, x.t, builder_scalar(&net->b, half)));
    else
        y = builder_node(&net->b, GPUDL_OP_MUL, builder_node(&net->b, GPUDL_OP_MUL, x.t, y),
                         builder_scalar(&net->b, half));
    x.t = y;
    return x;
}

/* Channels last for a while: what works in either order, and now and then what does not. */
static Value grow_last(Net *net, Value x)
{
    GpudlTensor *y = builder_transpose(&net->b, x.t, "0x2x3x1"), *constant;
    g_autofree gchar *one = NULL, *weights = NULL;

    for (gint i = pick(net, 4); i >= 0; i--) {
        g_free(one);
        one = g_strdup_printf("%s%d", pick(net, 2) ? "1x1x1x" : "", x.c);
        constant = builder_random(&net->b, one, 0.5, 1.5);
        switch (pick(net, 6)) {
        case 0:
            y = builder_node(&net->b, GPUDL_OP_MUL, constant, y);
            break;
        case 1:
            y = builder_node(&net->b, GPUDL_OP_ADD, y, constant);
            break;
        case 2:
            g_free(weights);
            weights = g_strdup_printf("%dx%d", x.c, x.c);
            y = builder_node(&net->b, GPUDL_OP_MATMUL, y, builder_random(&net->b, weights, -0.5, 0.5));
            break;
        case 3:
            y = builder_node(&net->b, GPUDL_OP_SOFTMAX, y, NULL);
            y->producer->attrs.axis.axis = 3;
            break;
        case 4:
            constant = builder_node(&net->b, GPUDL_OP_REDUCE_MEAN, y, NULL);
            constant->producer->attrs.reduce = (GpudlReduceAttrs){1, {1 + pick(net, 3)}, 1};
            y = builder_node(&net->b, GPUDL_OP_SUB, y, constant);
            break;
        default:
            y = random_act(net, y);
            break;
        }
    }
    if (pick(net, 4) == 0) { /* by way of an order of its own */
        g_free(one);
        one = g_strdup_printf("0x%dx%dx%d", x.h, x.w, x.c);
        y = builder_node(&net->b, GPUDL_OP_ADD, y, builder_reshape(&net->b, x.t, one));
    }
    if (pick(net, 3) == 0) { /* rows and columns change places, and the stretch goes on behind */
        y = random_act(net, builder_transpose(&net->b, y, "0x2x1x3"));
        return (Value){builder_transpose(&net->b, y, "0x3x1x2"), x.c, x.w, x.h};
    }
    x.t = builder_transpose(&net->b, y, "0x3x1x2");
    return x;
}

/* Padding, then a window that may take it in. */
static Value grow_pad(Net *net, Value x)
{
    gint top = pick(net, 2), bottom = pick(net, 2), left = pick(net, 3) - 1, window;
    g_autofree gchar *begin = g_strdup_printf("0x0x%dx%d", top, left), *end = g_strdup_printf("0x0x%dx1", bottom);
    GpudlOp op = pick(net, 2) ? GPUDL_OP_AVERAGE_POOL : GPUDL_OP_MAX_POOL;
    double value = 0;
    GpudlTensor *y;

    x.h += top + bottom;
    x.w += left + 1;
    window = MIN(3, MIN(x.h, x.w));
    /* as long as no window sees it alone */
    if (op == GPUDL_OP_MAX_POOL && window == 3 && pick(net, 2))
        value = -INFINITY;
    if (pick(net, 2))
        x.t = builder_act(&net->b, x.t, GPUDL_ACT_RELU, 0, 0);
    x.t = builder_pad(&net->b, x.t, begin, end, value);
    if (!isinf(value) && pick(net, 2))
        return grow_conv(net, x);
    y = builder_pool(&net->b, op, x.t, window, 1, window > 1 ? pick(net, 2) : 0);
    y->producer->attrs.window.count_include_pad = op == GPUDL_OP_AVERAGE_POOL ? pick(net, 2) : 0;
    y->producer->attrs.window.ceil_mode = pick(net, 2);
    x.h += 2 * y->producer->attrs.window.pad_begin[1] - window + 1;
    x.w += 2 * y->producer->attrs.window.pad_begin[1] - window + 1;
    x.t = y;
    return x;
}

static Value grow_moves(Net *net, Value x)
{
    g_autofree gchar *flat = NULL, *back = NULL;

    switch (pick(net, 4)) {
    case 0:
        x.t = builder_transpose(&net->b, builder_transpose(&net->b, x.t, "0x2x3x1"), "0x3x1x2");
        break;
    case 1:
        x.t = builder_transpose(&net->b, x.t, "0x1x3x2");
        return (Value){x.t, x.c, x.w, x.h};
    case 2: /* through another shape, with the batch as a number */
        flat = g_strdup_printf("1x%dx-1", x.c);
        back = g_strdup_printf("%dx%dx%dx%d", pick(net, 2), x.c, x.h, x.w);
        x.t = builder_reshape(&net->b, builder_reshape(&net->b, x.t, flat), back);
        break;
    default:
        x.t = builder_node(&net->b, GPUDL_OP_IDENTITY, x.t, NULL);
        break;
    }
    return x;
}

static Value grow_slices(Net *net, Value x)
{
    GpudlTensor *pieces[2];
    GpudlNode *node;
    gint cut = x.c > 1 ? 1 + pick(net, x.c - 1) : 0;

    if (cut == 0)
        return grow_moves(net, x);
    for (gint i = 0; i < 2; i++) {
        pieces[i] = builder_node(&net->b, GPUDL_OP_SLICE, x.t, NULL);
        pieces[i]->producer->attrs.slice = (GpudlSliceAttrs){
            4, {0, i == 0 ? 0 : cut, 0, 0}, {G_MAXINT64, i == 0 ? cut : x.c, G_MAXINT64, G_MAXINT64}, {1, 1, 1, 1}};
        if (pick(net, 2))
            pieces[i] = builder_node(&net->b, GPUDL_OP_MUL, pieces[i], builder_scalar(&net->b, 0.5 + i));
    }
    if (pick(net, 4) == 0) { /* exchanged */
        GpudlTensor *first = pieces[0];

        pieces[0] = pieces[1];
        pieces[1] = first;
    }
    node = gpudl_graph_add_node(net->b.graph, GPUDL_OP_CONCAT, "concat", pieces, 2, NULL, 1);
    node->attrs.axis.axis = 1;
    x.t = node->outputs[0];
    return x;
}

/* A sum or a concatenation with another value, if one fits. */
static Value grow_join(Net *net, Value x)
{
    for (gint i = 0; i < net->n; i++) {
        const Value *y = &net->values[(i + pick(net, net->n)) % net->n];
        GpudlTensor *pair[] = {x.t, y->t};
        GpudlNode *node;

        if (y->h != x.h || y->w != x.w)
            continue;
        if (y->c == x.c && pick(net, 3) > 0) {
            x.t = builder_node(&net->b, pick(net, 4) ? GPUDL_OP_ADD : GPUDL_OP_SUB, pair[pick(net, 2)], y->t);
            return x;
        }
        if (x.c + y->c > MOST_CHANNELS)
            continue;
        node = gpudl_graph_add_node(net->b.graph, GPUDL_OP_CONCAT, "join", pair, 2, NULL, 1);
        node->attrs.axis.axis = 1;
        return (Value){node->outputs[0], x.c + y->c, x.h, x.w};
    }
    return grow_scale(net, x);
}

static Value grow(Net *net)
{
    Value x = any(net);

    switch (pick(net, 13)) {
    case 0:
    case 1:
        return grow_conv(net, x);
    case 2:
        x.t = builder_batch_norm(&net->b, x.t, x.c);
        return x;
    case 3:
        return grow_scale(net, x);
    case 4:
        x.t = random_act(net, x.t);
        return x;
    case 5:
        return grow_gate(net, x);
    case 6:
        return grow_pad(net, x);
    case 7:
        return pick(net, 2) ? grow_moves(net, x) : grow_slices(net, x);
    case 8:
        x.t = builder_node(&net->b, pick(net, 2) ? GPUDL_OP_MIN : GPUDL_OP_MAX, x.t,
                           builder_scalar(&net->b, pick(net, 3) - 1));
        return x;
    case 9:
        return grow_norm(net, x);
    case 10:
        return grow_gelu(net, x);
    case 11:
        return grow_last(net, x);
    default:
        return grow_join(net, x);
    }
}

static void finish(Net *net)
{
    Value x = net->values[net->n - 1];
    g_autofree gchar *matrix = g_strdup_printf("%dx7", x.c);
    GpudlTensor *y = builder_node(&net->b, GPUDL_OP_REDUCE_MEAN, x.t, NULL);

    y->producer->attrs.reduce = (GpudlReduceAttrs){2, {2, 3}, pick(net, 2)};
    if (y->producer->attrs.reduce.keepdims)
        y = builder_reshape(&net->b, y, pick(net, 2) ? "1x-1" : "0x-1");
    y = builder_node(&net->b, GPUDL_OP_MATMUL, y, builder_random(&net->b, matrix, -1, 1));
    y = builder_node(&net->b, GPUDL_OP_ADD, y, builder_random(&net->b, "7", -1, 1));
    builder_output(&net->b, y);
    /* values in the middle are somebody else's too */
    for (gint i = pick(net, 3); i > 0; i--)
        builder_output(&net->b, net->values[1 + pick(net, net->n - 1)].t);
    builder_output(&net->b, builder_node(&net->b, GPUDL_OP_ABS, net->values[0].t, NULL));
}

static void check_net(guint32 seed, gboolean tell)
{
    Net net = {0};
    g_autoptr(GpudlGraph) before = NULL;
    g_autoptr(GError) error = NULL;
    g_autofree gchar *from = NULL, *to = NULL, *again = NULL;
    gint wanted;

    net.b.graph = gpudl_graph_new();
    net.b.rand = g_rand_new_with_seed(seed);
    net.values[net.n++] = (Value){builder_input(&net.b, "1x3x7x6"), 3, 7, 6};
    wanted = 2 + pick(&net, MOST_VALUES - 2);
    while (net.n < wanted) {
        Value y = grow(&net);

        if (y.h < 1 || y.w < 1)
            break;
        net.values[net.n++] = y;
    }
    finish(&net);
    g_assert_true(gpudl_graph_infer(net.b.graph, 1, &error));
    g_assert_no_error(error);
    before = gpudl_graph_copy(net.b.graph);
    g_assert_true(gpudl_graph_prove_batch(net.b.graph, NULL, &error));
    g_assert_no_error(error);
    g_assert_true(gpudl_passes_run(net.b.graph, NULL, &error));
    g_assert_no_error(error);
    from = graph_histogram(before);
    to = graph_histogram(net.b.graph);
    if (tell)
        g_print("%s\n  -> %s\n  difference %g, batch %s\n", from, to, graph_difference(before, net.b.graph, seed),
                net.b.graph->symbolic_batch ? "symbolic" : net.b.graph->batch_reason);
    if (!(graph_difference(before, net.b.graph, seed) <= 1e-5))
        g_error("seed %u: results differ by %g of the range: %s -> %s", seed,
                graph_difference(before, net.b.graph, seed), from, to);
    /* what was rewritten is left alone */
    g_assert_true(gpudl_passes_run(net.b.graph, NULL, &error));
    g_assert_no_error(error);
    again = graph_histogram(net.b.graph);
    if (strcmp(again, to) != 0)
        g_error("seed %u: %s -> %s, a second time -> %s", seed, from, to, again);
    /* every piece here is made so that its batch can be freed */
    if (!net.b.graph->symbolic_batch)
        g_error("seed %u: %s", seed, net.b.graph->batch_reason);
    g_assert_true(gpudl_graph_prove_batch(before, NULL, &error));
    g_assert_true(gpudl_graph_infer(before, 2, &error));
    g_assert_true(gpudl_graph_infer(net.b.graph, 2, &error));
    g_assert_no_error(error);
    if (!(graph_difference(before, net.b.graph, seed) <= 1e-5))
        g_error("seed %u: results at batch 2 differ by %g of the range", seed,
                graph_difference(before, net.b.graph, seed));
    builder_clear(&net.b);
}

static void test_random_nets(void)
{
    const guint32 n = g_getenv("GPUDL_TEST_VALGRIND") ? N_NETS_UNDER_VALGRIND : N_NETS;

    for (guint32 seed = 1; seed <= n; seed++)
        check_net(seed, FALSE);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--net") == 0) {
        check_net((guint32)strtoul(argv[2], NULL, 10), TRUE);
        return 0;
    }
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/passes/random-nets", test_random_nets);
    return g_test_run();
}
