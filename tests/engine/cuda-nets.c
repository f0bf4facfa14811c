/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda-nets.h"

#include <math.h>

#include "builder.h"
#include "engine/passes/passes.h"

#define MOST_VALUES 48
#define MOST_CHANNELS 96

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

static Value keep(Net *net, Value v)
{
    if (net->n < MOST_VALUES)
        net->values[net->n++] = v;
    return v;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

/* Weights that keep the values' size. */
static Value conv_grouped(Net *net, Value x, gint k, gint kernel, gint stride, gint groups, gboolean bias)
{
    GpudlTensor *y = builder_conv(&net->b, x.t, x.c / groups, k, kernel, bias);
    GpudlNode *node = y->producer;
    const double bound = sqrt(6.0 / ((double)x.c / groups * kernel * kernel));
    g_autofree gchar *shape = gpudl_shape_to_string(&node->inputs[1]->shape);

    node->inputs[1] = builder_random(&net->b, shape, -bound, bound);
    node->attrs.window.group = groups;
    for (gint i = 1; i < GPUDL_MAX_SPATIAL; i++)
        node->attrs.window.stride[i] = stride;
    return (Value){y, k, (x.h - 1) / stride + 1, (x.w - 1) / stride + 1};
}

static Value conv(Net *net, Value x, gint k, gint kernel, gint stride)
{
    return conv_grouped(net, x, k, kernel, stride, 1, pick(net, 4) != 0);
}

static Value norm(Net *net, Value x)
{
    x.t = builder_batch_norm(&net->b, x.t, x.c);
    return x;
}

static Value act(Net *net, Value x, GpudlActKind kind)
{
    const float alpha = kind == GPUDL_ACT_CLIP ? (pick(net, 4) ? 0.f : -1.f) : 0.2f,
                beta = kind == GPUDL_ACT_CLIP ? 6.f : 0.5f;

    x.t = builder_act(&net->b, x.t, kind, alpha, beta);
    return x;
}

static Value any_act(Net *net, Value x)
{
    return act(net, x, (GpudlActKind)(GPUDL_ACT_RELU + pick(net, GPUDL_ACT_LAST)));
}

static Value add(Net *net, Value x, Value y)
{
    x.t = builder_node(&net->b, GPUDL_OP_ADD, x.t, y.t);
    return x;
}

static Value pool(Net *net, Value x)
{
    const GpudlOp op = pick(net, 2) ? GPUDL_OP_AVERAGE_POOL : GPUDL_OP_MAX_POOL;
    const gint kernel = 2 + pick(net, 2), stride = 1 + pick(net, 2), pad = kernel == 3 ? pick(net, 2) : 0;
    GpudlWindowAttrs *window;

    if (x.h < 4 || x.w < 4)
        return x;
    x.t = builder_pool(&net->b, op, x.t, kernel, stride, pad);
    window = &x.t->producer->attrs.window;
    window->count_include_pad = op == GPUDL_OP_AVERAGE_POOL && pick(net, 2);
    x.h = (x.h + 2 * pad - kernel) / stride + 1;
    x.w = (x.w + 2 * pad - kernel) / stride + 1;
    return x;
}

static Value global_pool(Net *net, Value x)
{
    x.t = builder_node(&net->b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x.t, NULL);
    x.h = x.w = 1;
    return x;
}

/* x * sigmoid(conv(relu(conv(mean of x)))) */
static Value gate(Net *net, Value x)
{
    Value g = conv(net, act(net, conv(net, global_pool(net, x), MAX(x.c / 4, 4), 1, 1), GPUDL_ACT_RELU), x.c, 1, 1);

    g = act(net, g, pick(net, 2) ? GPUDL_ACT_SIGMOID : GPUDL_ACT_HARD_SIGMOID);
    x.t = builder_node(&net->b, GPUDL_OP_MUL, x.t, g.t);
    return x;
}

static Value concat(Net *net, Value x, Value y)
{
    GpudlTensor *pair[] = {x.t, y.t};
    g_autofree gchar *name = g_strdup_printf("concat%u", net->b.graph->nodes->len);
    GpudlNode *node = gpudl_graph_add_node(net->b.graph, GPUDL_OP_CONCAT, name, pair, 2, NULL, 1);

    node->attrs.axis.axis = 1;
    return (Value){node->outputs[0], x.c + y.c, x.h, x.w};
}

static Value slice(Net *net, Value x, gint from, gint to)
{
    x.t = builder_node(&net->b, GPUDL_OP_SLICE, x.t, NULL);
    x.t->producer->attrs.slice =
        (GpudlSliceAttrs){4, {0, from, 0, 0}, {G_MAXINT64, to, G_MAXINT64, G_MAXINT64}, {1, 1, 1, 1}};
    x.c = to - from;
    return x;
}

static Value shuffle(Net *net, Value x, gint groups)
{
    g_autofree gchar *apart = g_strdup_printf("0x%dx%dx%dx%d", groups, x.c / groups, x.h, x.w);
    g_autofree gchar *back = g_strdup_printf("0x%dx%dx%d", x.c, x.h, x.w);

    x.t = builder_reshape(&net->b, builder_transpose(&net->b, builder_reshape(&net->b, x.t, apart), "0x2x1x3x4"), back);
    return x;
}

/* (x - mean of the channels) / largest of the rows, channels last in between */
static Value level(Net *net, Value x)
{
    GpudlTensor *last = builder_transpose(&net->b, x.t, "0x2x3x1"), *mean, *largest;

    mean = builder_node(&net->b, GPUDL_OP_REDUCE_MEAN, last, NULL);
    mean->producer->attrs.reduce = (GpudlReduceAttrs){1, {3}, 1};
    last = builder_node(&net->b, GPUDL_OP_SUB, last, mean);
    largest = builder_node(&net->b, GPUDL_OP_REDUCE_MAX, builder_node(&net->b, GPUDL_OP_ABS, last, NULL), NULL);
    largest->producer->attrs.reduce = (GpudlReduceAttrs){2, {3, 1}, 1};
    last = builder_node(&net->b, GPUDL_OP_DIV, last, builder_scalar_op(&net->b, GPUDL_OP_ADD, largest, 0.25));
    x.t = builder_transpose(&net->b, last, "0x3x1x2");
    return x;
}

/* Normalised by its own mean and variance: of channels, of pixels, of all of a frame, of groups. */
static Value self_norm(Net *net, Value x)
{
    static const gint groups[] = {1, 2, 4, 8};
    const gint g = groups[pick(net, G_N_ELEMENTS(groups))];
    const GpudlOp op = pick(net, 2) ? GPUDL_OP_GROUP_NORM : GPUDL_OP_LAYER_NORM;
    GpudlNormAttrs attrs = {.axis = 1, .n_axes = 1, .groups = x.c % g == 0 ? g : x.c, .epsilon = 1e-3f};
    g_autofree gchar *each = NULL;
    GpudlTensor *inputs[3] = {x.t};
    GpudlNode *node;
    guint n = 1;

    if (op == GPUDL_OP_LAYER_NORM && pick(net, 2)) {
        attrs.axis = 1 + pick(net, 2);
        attrs.n_axes = 4 - attrs.axis;
        each = attrs.axis == 1 ? g_strdup_printf("%dx%dx%d", x.c, x.h, x.w) : g_strdup_printf("%dx%d", x.h, x.w);
    } else {
        each = g_strdup_printf("%d", x.c);
    }
    for (; n < 3 && pick(net, 3); n++)
        inputs[n] = builder_random(&net->b, each, 0.5, 1.5);
    node = gpudl_graph_add_node(net->b.graph, op, "selfnorm", inputs, n, NULL, 1);
    node->attrs.norm = attrs;
    x.t = node->outputs[0];
    return x;
}

/* A product with a matrix for each pixel, channels last in between. */
static Value linear(Net *net, Value x, gint k)
{
    g_autofree gchar *shape = g_strdup_printf("%dx%d", x.c, k);
    const double bound = sqrt(3.0 / x.c);
    GpudlTensor *y = builder_node(&net->b, GPUDL_OP_MATMUL, builder_transpose(&net->b, x.t, "0x2x3x1"),
                                  builder_random(&net->b, shape, -bound, bound));

    return (Value){builder_transpose(&net->b, y, "0x3x1x2"), k, x.h, x.w};
}

/* ---- blocks ------------------------------------------------------------------------------------------------------ */

static Value residual_block(Net *net, Value x)
{
    const gint stride = 1 + (pick(net, 3) == 0 && x.h > 6), k = stride == 2 ? MIN(2 * x.c, MOST_CHANNELS) : x.c;
    Value y = act(net, norm(net, conv(net, x, k, pick(net, 2) ? 1 : 3, 1)), GPUDL_ACT_RELU);

    y = norm(net, conv(net, y, k, 3, stride));
    if (stride > 1)
        x = norm(net, conv(net, x, k, 1, stride));
    return act(net, add(net, y, x), GPUDL_ACT_RELU);
}

static Value inverted_block(Net *net, Value x)
{
    static const GpudlActKind kinds[] = {GPUDL_ACT_CLIP, GPUDL_ACT_HARD_SWISH, GPUDL_ACT_SILU};
    const GpudlActKind kind = kinds[pick(net, G_N_ELEMENTS(kinds))];
    const gint stride = 1 + (pick(net, 3) == 0 && x.h > 6), k = stride == 2 ? MIN(x.c + 8, MOST_CHANNELS) : x.c;
    Value y = act(net, norm(net, conv(net, x, x.c * (2 + pick(net, 3)), 1, 1)), kind);

    y = act(net, norm(net, conv_grouped(net, y, y.c, 3 + 2 * pick(net, 2), stride, y.c, FALSE)), kind);
    if (pick(net, 2))
        y = gate(net, y);
    y = norm(net, conv(net, y, k, 1, 1));
    return stride == 1 ? add(net, y, x) : y;
}

static Value branch_block(Net *net, Value x)
{
    const gint half = x.c / 2;
    Value a, b;

    switch (pick(net, 4)) {
    case 0: /* squeeze and expand */
        x = act(net, conv(net, x, MAX(half, 4), 1, 1), GPUDL_ACT_RELU);
        a = act(net, conv(net, x, 8 * (1 + pick(net, 4)), 1, 1), GPUDL_ACT_RELU);
        b = act(net, conv(net, x, 8 * (1 + pick(net, 4)), 3, 1), GPUDL_ACT_RELU);
        return concat(net, a, b);
    case 1: /* densely connected; odd numbers of channels too */
        if (x.c > MOST_CHANNELS - 16)
            return conv(net, x, 24, 1, 1);
        return concat(net, x, conv(net, act(net, norm(net, x), GPUDL_ACT_RELU), 4 + pick(net, 12), 3, 1));
    case 2: /* halves, one of which is worked on */
        if (half < 1)
            return x;
        a = slice(net, x, 0, half);
        b = act(net, conv(net, slice(net, x, half, x.c), half, 3, 1), GPUDL_ACT_RELU);
        x = concat(net, a, b);
        return x.c % 2 == 0 ? shuffle(net, x, 2) : x;
    default:
        return pool(net, x);
    }
}

static Value any_block(Net *net, Value x)
{
    const Value other = net->values[pick(net, net->n)];

    switch (pick(net, 15)) {
    case 12:
        return level(net, x);
    case 14:
        return self_norm(net, x);
    case 13:
        return linear(net, any_act(net, x), 1 + pick(net, 40));
    case 0:
        return any_act(net, conv(net, x, 1 + pick(net, 40), 1 + 2 * pick(net, 3), 1 + pick(net, 2)));
    case 1:
        return any_act(net, norm(net, x));
    case 2:
        return x.c % 4 == 0 ? conv_grouped(net, x, x.c, 3, 1, 4, TRUE) : conv(net, x, 16, 3, 1);
    case 3:
        return gate(net, x);
    case 4:
        if (other.c == x.c && other.h == x.h && other.w == x.w)
            x.t = builder_node(&net->b, pick(net, 2) ? GPUDL_OP_MAX : GPUDL_OP_SUB, x.t, other.t);
        return x;
    case 5:
        if (other.h == x.h && other.w == x.w && other.c + x.c <= MOST_CHANNELS)
            return concat(net, other, x);
        return x;
    case 6:
        x.t = builder_transpose(&net->b, x.t, "0x1x3x2");
        return (Value){x.t, x.c, x.w, x.h};
    case 7:
        x.t = builder_scalar_op(&net->b, pick(net, 2) ? GPUDL_OP_MUL : GPUDL_OP_PRELU, x.t, 0.7);
        return x;
    case 8:
        return pool(net, x);
    case 9:
        return inverted_block(net, x);
    case 10:
        return branch_block(net, x);
    default:
        return residual_block(net, x);
    }
}

/* ---- whole nets -------------------------------------------------------------------------------------------------- */

static GpudlTensor *gemm(Net *net, GpudlTensor *x, gint channels, gint classes)
{
    g_autofree gchar *shape = g_strdup_printf("%dx%d", classes, channels), *row = g_strdup_printf("%d", classes);
    const double bound = sqrt(3.0 / channels);
    GpudlTensor *inputs[] = {x, builder_random(&net->b, shape, -bound, bound), builder_random(&net->b, row, -1, 1)};
    GpudlNode *node = gpudl_graph_add_node(net->b.graph, GPUDL_OP_GEMM, "gemm", inputs, 3, NULL, 1);

    node->attrs.gemm.trans_b = 1;
    return node->outputs[0];
}

static void finish(Net *net, Value x)
{
    const gint classes = 3 + pick(net, 40);

    if (x.h * x.w > 64 || pick(net, 2))
        x = global_pool(net, x);
    builder_output(&net->b, gemm(net, builder_reshape(&net->b, x.t, "0x-1"), x.c * x.h * x.w, classes));
}

GpudlModel *nets_grow(NetsKind kind, guint32 seed, gchar **text)
{
    static Value (*const blocks[])(Net *, Value) = {[NETS_RANDOM] = any_block,
                                                    [NETS_RESIDUAL] = residual_block,
                                                    [NETS_INVERTED] = inverted_block,
                                                    [NETS_BRANCHES] = branch_block};
    Net net = {.b = builder_new()};
    g_autoptr(GError) error = NULL;
    GpudlModel *model;
    gint side, n;
    g_autofree gchar *shape = NULL;
    Value x;

    g_rand_set_seed(net.b.rand, seed);
    side = 12 + pick(&net, 30);
    n = 2 + pick(&net, 5);
    shape = g_strdup_printf("1x3x%dx%d", side, side + pick(&net, 4));
    x = (Value){builder_input(&net.b, shape), 3, side, 0};
    x.w = (gint)x.t->shape.dims[3];
    x = keep(&net, act(&net, norm(&net, conv(&net, x, 8 * (1 + pick(&net, 4)), 3, 1 + pick(&net, 2))), GPUDL_ACT_RELU));
    for (gint i = 0; i < n; i++)
        x = keep(&net, blocks[kind](&net, x));
    finish(&net, x);
    *text = graph_histogram(net.b.graph);
    if (!gpudl_graph_sort(net.b.graph, &error) || !gpudl_graph_infer(net.b.graph, 1, &error) ||
        !gpudl_graph_prove_batch(net.b.graph, NULL, &error) || !gpudl_passes_run(net.b.graph, NULL, &error))
        g_error("net %d of seed %u: %s", (int)kind, seed, error->message);
    model = gpudl_model_new(g_steal_pointer(&net.b.graph), "net", NULL, &error);
    if (model == NULL)
        g_error("net %d of seed %u: %s", (int)kind, seed, error->message);
    g_rand_free(net.b.rand);
    return model;
}

/* ---- what a type costs ------------------------------------------------------------------------------------------- */

static GpudlTensor *add_cast(GpudlGraph *graph, GpudlTensor *x, GpudlDType to)
{
    GpudlNode *node = gpudl_graph_add_node(graph, GPUDL_OP_CAST, "rounded", &x, 1, NULL, 1);

    node->attrs.cast = (GpudlCastAttrs){.to = (gint32)to, .saturate = 0};
    return node->outputs[0];
}

/* Whoever reads the tensor reads it rounded. */
static void round_tensor(GpudlGraph *graph, GpudlTensor *tensor, GpudlDType dtype)
{
    GpudlTensor *narrow = add_cast(graph, tensor, dtype);

    gpudl_graph_replace_uses(graph, tensor, add_cast(graph, narrow, GPUDL_DTYPE_F32));
    narrow->producer->inputs[0] = tensor; /* it read itself just now */
}

GpudlModel *nets_rounded(const GpudlModel *model, GpudlDType dtype)
{
    g_autoptr(GpudlGraph) graph = gpudl_graph_copy(model->graph);
    g_autoptr(GError) error = NULL;
    const guint n_tensors = graph->tensors->len;
    GpudlModel *rounded;

    for (guint i = 0; i < n_tensors; i++) {
        GpudlTensor *tensor = g_ptr_array_index(graph->tensors, i);

        if (tensor->dtype == GPUDL_DTYPE_F32 && (tensor->data == NULL || tensor->shape.rank > 1))
            round_tensor(graph, tensor, dtype);
    }
    if (!gpudl_graph_sort(graph, &error) || !gpudl_graph_infer(graph, 1, &error))
        g_error("rounded net: %s", error->message);
    rounded = gpudl_model_new(g_steal_pointer(&graph), "rounded", &model->preproc, &error);
    if (rounded == NULL)
        g_error("rounded net: %s", error->message);
    return rounded;
}
