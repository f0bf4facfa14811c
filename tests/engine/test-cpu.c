/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU module against the reference: operators on random shapes in plain and blocked layouts, and random nets. */
#include <stdio.h>

#include "engine/gpudl.h"
#include "tests/engine/cpu-host.h"
#include "tests/engine/cpu-nets.h"

static void test_conv(void)
{
    static const int channels[] = {1, 2, 3, 5, 8, 12, 16, 17, 24, 32, 40, 48};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(120, 20); i++) {
        int c0 = net_pick(rand, 12, channels), c = net_pick(rand, 12, channels), kernel = g_rand_int_range(rand, 1, 6);
        Net net = net_new(rand, c0, g_rand_int_range(rand, 5, 20), g_rand_int_range(rand, 5, 20));
        GpudlTensor *x = net_input(&net), *y;
        GpudlAttrs a =
            net_window(2, kernel, g_rand_int_range(rand, 1, 4), 0, kernel > 1 ? g_rand_int_range(rand, 1, 3) : 1);
        int form = g_rand_int_range(rand, 0, 4), group, k;
        GpudlTensor *bias = NULL, *w;

        if (g_rand_boolean(rand))
            x = net_conv(&net, x, c, 1, NULL, net_no_act);
        c = (int)x->shape.dims[1];
        group = form == 0 ? c : form == 1 && c % 2 == 0 ? 2 : form == 1 && c % 3 == 0 ? 3 : 1;
        k = group * (form == 0 ? g_rand_int_range(rand, 1, 3) : net_pick(rand, 6, channels));
        for (int d = 1; d < GPUDL_MAX_SPATIAL; d++) {
            int extent = (kernel - 1) * a.window.dilation[d] + 1;

            a.window.kernel[d] = kernel;
            a.window.pad_begin[d] = g_rand_int_range(rand, 0, kernel);
            a.window.pad_end[d] = g_rand_int_range(rand, 0, kernel);
            if (x->shape.dims[1 + d] + a.window.pad_begin[d] + a.window.pad_end[d] < extent)
                a.window.pad_end[d] = extent;
        }
        a.window.group = group;
        a.window.act = net_random_act(rand);
        w = net_constant(&net, 4, (gint64[]){k, c / group, kernel, kernel});
        if (g_rand_boolean(rand))
            bias = net_constant(&net, 1, &(gint64){k});
        y = net_apply(&net, GPUDL_OP_CONV, &a, x, w, bias);
        if (g_rand_boolean(rand)) { /* the same again onto its own result, which is then read twice or once */
            GpudlTensor *once = y;

            a.window.act = net_random_act(rand);
            y = net_apply(&net, GPUDL_OP_CONV, &a, x, w, bias, once);
            if (g_rand_boolean(rand))
                y = net_apply(&net, GPUDL_OP_ADD, NULL, y, once);
        }
        gpudl_graph_add_output(net.graph, y);
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* Groups of channels that fill no vector: oneDNN 2.6.3 describes some of them in bfloat16 for which it then has no
 * code, depending on the activation. */
static void test_conv_groups(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    gboolean good = TRUE;

    for (int kind = GPUDL_ACT_NONE; kind <= GPUDL_ACT_LAST && good; kind++) {
        Net net = net_new(rand, 5, 12, 12);
        GpudlTensor *x = net_conv(&net, net_input(&net), 24, 1, NULL, net_no_act);
        GpudlAttrs a = net_window(2, 3, 1, 1, 1);

        a.window.group = 2;
        a.window.act.kind = (GpudlActKind)kind;
        a.window.act.beta = kind == GPUDL_ACT_CLIP ? 1 : 0;
        gpudl_graph_add_output(net.graph,
                               net_apply(&net, GPUDL_OP_CONV, &a, x, net_constant(&net, 4, (gint64[]){16, 12, 3, 3})));
        good = net_check(&net, 1);
    }
    g_rand_free(rand);
}

static void test_conv_1d_3d(void)
{
    GRand *rand = g_rand_new_with_seed(3);
    Net net = net_new(rand, 6, 8, 10);
    GpudlAttrs flat = {.shape = {.rank = 3, .dims = {0, 6, -1}}},
               deep = {.shape = {.rank = 5, .dims = {0, 3, 2, 8, 10}}};
    GpudlAttrs one = net_window(1, 3, 2, 1, 1), three = net_window(3, 2, 1, 1, 1);
    GpudlTensor *x = net_input(&net);

    gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_CONV, &one, net_apply(&net, GPUDL_OP_RESHAPE, &flat, x),
                                                net_constant(&net, 3, (gint64[]){5, 6, 3})));
    gpudl_graph_add_output(net.graph,
                           net_apply(&net, GPUDL_OP_CONV, &three, net_apply(&net, GPUDL_OP_RESHAPE, &deep, x),
                                     net_constant(&net, 5, (gint64[]){4, 3, 2, 2, 2})));
    net_check(&net, 2);
    g_rand_free(rand);
}

static void test_pools(void)
{
    static const GpudlOp ops[] = {GPUDL_OP_MAX_POOL, GPUDL_OP_AVERAGE_POOL, GPUDL_OP_GLOBAL_MAX_POOL,
                                  GPUDL_OP_GLOBAL_AVERAGE_POOL};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(80, 16); i++) {
        Net net =
            net_new(rand, g_rand_int_range(rand, 1, 40), g_rand_int_range(rand, 4, 16), g_rand_int_range(rand, 4, 16));
        GpudlTensor *x = net_input(&net), *y;
        GpudlOp op = ops[i % 4];
        int kernel = g_rand_int_range(rand, 1, 5);
        GpudlAttrs a = net_window(2, kernel, g_rand_int_range(rand, 1, 4), 0, 1);

        if (g_rand_boolean(rand))
            x = net_conv(&net, x, g_rand_int_range(rand, 1, 40), 1, NULL, net_no_act);
        a.window.ceil_mode = g_rand_boolean(rand);
        a.window.count_include_pad = g_rand_boolean(rand);
        if (op == GPUDL_OP_MAX_POOL && g_rand_int_range(rand, 0, 4) == 0 && kernel < 3)
            a.window.dilation[1] = a.window.dilation[2] = 2;
        for (int d = 1; d < GPUDL_MAX_SPATIAL; d++) {
            a.window.pad_begin[d] = g_rand_int_range(rand, 0, kernel);
            a.window.pad_end[d] = g_rand_int_range(rand, 0, kernel);
        }
        y = net_apply(&net, op, op == GPUDL_OP_MAX_POOL || op == GPUDL_OP_AVERAGE_POOL ? &a : NULL, x);
        gpudl_graph_add_output(net.graph, y);
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_normalisation(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(30, 6); i++) {
        gint64 c = g_rand_int_range(rand, 1, 40);
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *y;
        GpudlAttrs bn = {.batch_norm = {1e-3f}}, relu = {.unary = {{GPUDL_ACT_RELU, 0, 0}}};
        GpudlAttrs lrn = {.lrn = {g_rand_int_range(rand, 1, 6), 0.3f, 0.75f, 1.5f}}, mean = {.reduce = {2, {2, 3}, 0}};

        if (g_rand_boolean(rand))
            x = net_conv(&net, x, c, 3, NULL, net_no_act);
        y = net_apply(&net, GPUDL_OP_BATCH_NORM, &bn, x, net_constant(&net, 1, &c), net_constant(&net, 1, &c),
                      net_constant(&net, 1, &c), net_constant_between(&net, c, 0.5, 2));
        if (i % 3 == 0)
            gpudl_graph_add_output(net.graph, y); /* the ReLU must not be fused then */
        y = net_apply(&net, GPUDL_OP_ACTIVATION, &relu, y);
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_LRN, &lrn, y));
        if (i % 2 == 0)
            gpudl_graph_add_output(net.graph, y);
        mean.reduce.keepdims = i % 4 == 1;
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_REDUCE_MEAN, &mean, y));
        mean.reduce = (GpudlReduceAttrs){1, {1}, 1};
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_REDUCE_MEAN, &mean, y));
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* Behind a convolution, in whatever layout that leaves, and on the input; read by one and by two. */
static void test_norms(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(60, 12); i++) {
        gint64 groups = g_rand_int_range(rand, 1, 5), c = groups * g_rand_int_range(rand, 1, 20);
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *inputs[3];
        GpudlAttrs a = {.norm = {.axis = 1 + i / 2 % 3, .n_axes = 1, .groups = (gint32)groups, .epsilon = 1e-2f}};
        const GpudlOp op = i % 2 ? GPUDL_OP_LAYER_NORM : GPUDL_OP_GROUP_NORM;
        gint64 each[3] = {c};
        guint n_inputs = 1 + (guint)g_rand_int_range(rand, 0, 3);

        if (i % 4 < 3)
            x = net_conv(&net, x, c, 3, NULL, net_no_act);
        if (op == GPUDL_OP_LAYER_NORM) {
            a.norm.n_axes = g_rand_int_range(rand, 1, 5 - a.norm.axis);
            for (int k = 0; k < a.norm.n_axes; k++)
                each[k] = x->shape.dims[a.norm.axis + k];
        }
        inputs[0] = x;
        for (guint k = 1; k < n_inputs; k++)
            inputs[k] = net_constant(&net, op == GPUDL_OP_LAYER_NORM ? a.norm.n_axes : 1, each);
        if (n_inputs == 3 && i % 5 == 0)
            inputs[1] = NULL;
        gpudl_graph_add_output(net.graph, net_apply_n(&net, op, &a, n_inputs, inputs, 1, NULL));
        if (i % 3 == 0)
            gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_ABS, NULL, x));
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* The norm's scale is what the network's input is, which the stem reads channels last. */
static void test_norm_scaled_by_the_input(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());
    GpudlAttrs frame = {.shape = {3, {3, 8, 8}}}, norm = {.norm = {.axis = 1, .n_axes = 3, .epsilon = 1e-2f}};

    for (guint i = 1; i < 3; i++) {
        Net net = net_new(rand, 3, 8, 8);
        GpudlTensor *x = net_input(&net),
                    *y = net_conv(&net, net_conv(&net, x, 16, 3, NULL, net_no_act), 3, 1, NULL, net_no_act);
        GpudlTensor *inputs[3] = {y, net_constant(&net, 3, frame.shape.dims), net_constant(&net, 3, frame.shape.dims)};

        inputs[i] = net_apply(&net, GPUDL_OP_RESHAPE, &frame, x);
        gpudl_graph_add_output(net.graph, net_apply_n(&net, GPUDL_OP_LAYER_NORM, &norm, 3, inputs, 1, NULL));
        net_check(&net, 1);
    }
    g_rand_free(rand);
}

/* To channels last and back, with something in place between: views of one memory, which must not be written to while
 * others read it. */
static void test_transposed_views(void)
{
    static const GpudlAttrs last = {.transpose = {4, {0, 2, 3, 1}}}, first = {.transpose = {4, {0, 3, 1, 2}}};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(40, 8); i++) {
        gint64 c = g_rand_int_range(rand, 1, 40);
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *y, *z;
        GpudlAttrs norm = {.norm = {.axis = 3, .n_axes = 1, .epsilon = 1e-2f}},
                   tanh = {.unary = {{GPUDL_ACT_TANH, 0, 0}}};

        if (i % 2)
            x = net_conv(&net, x, c, 3, NULL, net_no_act);
        y = net_apply(&net, GPUDL_OP_TRANSPOSE, &last, x);
        z = net_apply(&net, i % 3 ? GPUDL_OP_LAYER_NORM : GPUDL_OP_ACTIVATION, i % 3 ? &norm : &tanh, y);
        if (i % 4 == 3)
            z = net_apply(&net, GPUDL_OP_MATMUL, NULL, z, net_constant(&net, 2, (gint64[]){c, c}));
        z = net_apply(&net, GPUDL_OP_TRANSPOSE, &first, z);
        z = net_conv(&net, z, c, 1, i % 5 ? x : NULL, net_no_act);
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_TRANSPOSE, &last, z));
        if (i % 7 == 0)
            gpudl_graph_add_output(net.graph, y);
        if (i % 6 == 0)
            gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_NEG, NULL, x));
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* A value for each of some neighbouring dimensions, at a rank where there are no channels to speak of; sums and maxima
 * over the rest. */
static void test_broadcasts(void)
{
    static const GpudlOp ops[] = {GPUDL_OP_ADD, GPUDL_OP_SUB, GPUDL_OP_MUL, GPUDL_OP_DIV};
    static const GpudlOp reductions[] = {GPUDL_OP_REDUCE_SUM, GPUDL_OP_REDUCE_MAX, GPUDL_OP_REDUCE_MEAN};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(80, 16); i++) {
        const gint64 groups = g_rand_int_range(rand, 1, 4), each = g_rand_int_range(rand, 1, 9), c = groups * each;
        Net net = net_new(rand, c, 5, 7);
        GpudlTensor *x = net_input(&net), *b;
        GpudlAttrs apart = {.shape = {5, {0, groups, each, 5, 7}}}, act = {.binary = {.act = net_random_act(rand)}};
        gint64 dims[5] = {1, groups, each, 5, 7};
        gint64 n = 1;
        g_autofree float *values = NULL;
        GpudlAttrs reduce = {.reduce = {2, {2, 3}, i % 2}};

        if (i % 3 == 0)
            x = net_conv(&net, x, c, 1, NULL, net_no_act);
        gpudl_graph_add_output(net.graph, net_apply(&net, reductions[i % 3], &reduce, x));
        x = net_apply(&net, GPUDL_OP_RESHAPE, &apart, x);
        reduce.reduce = (GpudlReduceAttrs){1, {1 + i / 3 % 4, 4}, 1}; /* one of four, sometimes the last, too */
        reduce.reduce.n_axes += reduce.reduce.axes[0] < 4 && g_rand_boolean(rand);
        gpudl_graph_add_output(net.graph, net_apply(&net, reductions[i % 3], &reduce, x));
        for (int k = 1; k < 5; k++) {
            dims[k] = g_rand_boolean(rand) ? dims[k] : 1;
            n *= dims[k];
        }
        values = g_new(float, n);
        for (gint64 k = 0; k < n; k++)
            values[k] = (float)g_rand_double_range(rand, 0.5, 1.5);
        b = gpudl_graph_add_constant_f32(net.graph, "b", values, dims, 5);
        x = net_apply(&net, ops[i % 4], ops[i % 4] == GPUDL_OP_DIV ? NULL : &act, x, b);
        gpudl_graph_add_output(net.graph, x);
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_elements(void)
{
    static const GpudlOp unary[] = {GPUDL_OP_ELU,  GPUDL_OP_ABS, GPUDL_OP_NEG,      GPUDL_OP_EXP,  GPUDL_OP_FLOOR,
                                    GPUDL_OP_CEIL, GPUDL_OP_ERF, GPUDL_OP_IDENTITY, GPUDL_OP_ROUND};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int blocked = 0; blocked < 2; blocked++) {
        for (int kind = 1; kind <= GPUDL_ACT_LAST + (int)G_N_ELEMENTS(unary); kind++) {
            Net net = net_new(rand, 19, 4, 5);
            GpudlTensor *x = net_input(&net), *y;
            GpudlAttrs a = {.unary = {net_act_from(rand, GPUDL_ACT_RELU)}};

            if (blocked)
                x = net_conv(&net, x, 21, 1, NULL, net_no_act);
            while (kind <= GPUDL_ACT_LAST && (int)a.unary.act.kind != kind)
                a.unary.act = net_act_from(rand, GPUDL_ACT_RELU);
            if (kind <= GPUDL_ACT_LAST) {
                y = net_apply(&net, GPUDL_OP_ACTIVATION, &a, x);
            } else {
                a.unary.act.alpha = 0.7f;
                y = net_apply(&net, unary[kind - GPUDL_ACT_LAST - 1], &a, x);
            }
            /* x is read twice: what is written in place must be a copy */
            gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_SUB, NULL, x, y));
            if (!net_check(&net, 1))
                return;
        }
    }
    for (int i = 0; i < net_as_many_as(30, 6); i++) {
        Net net = net_new(rand, 18, 4, 5);
        GpudlTensor *x = net_input(&net);
        GpudlAttrs a = {.unary = {net_act_from(rand, GPUDL_ACT_RELU)}};

        if (g_rand_boolean(rand)) /* sqrt and log of what is positive */
            x = net_apply(&net, GPUDL_OP_ABS, NULL, net_conv(&net, x, 18, 1, NULL, net_no_act));
        else
            x = net_apply(&net, GPUDL_OP_EXP, NULL, x);
        x = net_apply(&net, i % 2 ? GPUDL_OP_SQRT : GPUDL_OP_LOG, NULL,
                      net_apply(&net, GPUDL_OP_ADD, NULL, x, net_constant_between(&net, 1, 0.5, 1)));
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_ACTIVATION, &a, x));
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_binary(void)
{
    static const GpudlOp ops[] = {GPUDL_OP_ADD, GPUDL_OP_SUB, GPUDL_OP_MUL, GPUDL_OP_DIV, GPUDL_OP_MIN, GPUDL_OP_MAX};
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(150, 30); i++) {
        gint64 c = g_rand_int_range(rand, 1, 40);
        Net net = net_new(rand, c, 3, 4);
        GpudlTensor *x = net_input(&net), *other = NULL, *y;
        GpudlOp op = ops[g_rand_int_range(rand, 0, G_N_ELEMENTS(ops))];
        GpudlAttrs a = {0};

        if (g_rand_boolean(rand))
            x = net_conv(&net, x, c, 1, NULL, net_no_act);
        switch (g_rand_int_range(rand, 0, 8)) {
        case 0:
            other = net_constant_between(&net, 1, 0.5, 1);
            break;
        case 1:
            other = net_constant(&net, 4, (gint64[]){1, c, 1, 1});
            break;
        case 2:
            other = net_constant(&net, 3, (gint64[]){c, 3, 4});
            break;
        case 3: /* squeeze and excite */
            other = net_conv(&net, net_apply(&net, GPUDL_OP_GLOBAL_AVERAGE_POOL, NULL, x), c, 1, NULL, net_no_act);
            break;
        case 4:
            other = net_conv(&net, x, c, 3, NULL, net_no_act);
            break;
        case 5:
            other = net_constant(&net, 4, (gint64[]){1, 1, 3, 4});
            break;
        case 6:
            other = x;
            break;
        default:
            other = net_constant(&net, 1, (gint64[]){4});
            break;
        }
        if (op == GPUDL_OP_DIV) /* away from 0 */
            other = net_apply(&net, GPUDL_OP_ADD, NULL, net_apply(&net, GPUDL_OP_ABS, NULL, other),
                              net_constant_between(&net, 1, 1, 2));
        if (op == GPUDL_OP_ADD || op == GPUDL_OP_SUB || op == GPUDL_OP_MUL)
            a.binary.act = net_random_act(rand);
        y = g_rand_boolean(rand) || op == GPUDL_OP_DIV ? net_apply(&net, op, &a, x, other)
                                                       : net_apply(&net, op, &a, other, x);
        gpudl_graph_add_output(net.graph, y);
        if (g_rand_boolean(rand))
            gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_ADD, NULL, x, y));
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

static void test_products(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(60, 12); i++) {
        gint64 c = g_rand_int_range(rand, 1, 30), k, n = g_rand_int_range(rand, 1, 50);
        Net net = net_new(rand, c, 3, 2);
        GpudlTensor *x = net_input(&net), *w, *bias = NULL, *y;
        GpudlAttrs flat = {.shape = {.rank = 2, .dims = {0, -1}}}, a = {.gemm = {0, 0, 1, 1, net_no_act}};

        if (g_rand_boolean(rand))
            x = net_conv(&net, x, c, 1, NULL, net_no_act);
        x = net_apply(&net, GPUDL_OP_RESHAPE, &flat, x);
        k = x->shape.dims[1];
        a.gemm.trans_b = g_rand_boolean(rand);
        a.gemm.alpha = g_rand_boolean(rand) ? 1.f : 0.5f;
        a.gemm.beta = g_rand_boolean(rand) ? 1.f : 2.f;
        a.gemm.act = net_random_act(rand);
        w = net_constant(&net, 2, a.gemm.trans_b ? (gint64[]){n, k} : (gint64[]){k, n});
        switch (g_rand_int_range(rand, 0, 4)) {
        case 0:
            bias = net_constant(&net, 1, &n);
            break;
        case 1:
            bias = net_constant(&net, 2, (gint64[]){1, n});
            break;
        case 2:
            bias = net_constant(&net, 1, (gint64[]){1});
            break;
        default:
            break;
        }
        y = i % 3 == 0 ? net_apply(&net, GPUDL_OP_MATMUL, NULL, x, net_constant(&net, 2, (gint64[]){k, n}))
                       : net_apply(&net, GPUDL_OP_GEMM, &a, x, w, bias);
        gpudl_graph_add_output(net.graph, y);
        if (!net_check(&net, 3))
            break;
    }
    {
        /* batches of matrices, broadcast, both made by the net */
        Net net = net_new(rand, 4, 5, 6);
        GpudlTensor *x = net_input(&net);
        GpudlAttrs swap = {.transpose = {4, {0, 1, 3, 2}}};
        GpudlTensor *t = net_apply(&net, GPUDL_OP_TRANSPOSE, &swap, x);

        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_MATMUL, NULL, x, t));
        gpudl_graph_add_output(net.graph,
                               net_apply(&net, GPUDL_OP_MATMUL, NULL, x, net_constant(&net, 2, (gint64[]){6, 3})));
        gpudl_graph_add_output(net.graph,
                               net_apply(&net, GPUDL_OP_MATMUL, NULL, t, net_constant(&net, 1, (gint64[]){5})));
        net_check(&net, 2);
    }
    g_rand_free(rand);
}

static void test_softmax(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(24, 6); i++) {
        Net net = net_new(rand, g_rand_int_range(rand, 1, 40), g_rand_int_range(rand, 1, 5), 3);
        GpudlTensor *x = net_input(&net);
        GpudlAttrs a = {.axis = {.axis = i % 4, .flatten = i / 4 % 2}};

        if (i % 3 == 0)
            x = net_conv(&net, x, 20, 1, NULL, net_no_act);
        gpudl_graph_add_output(net.graph, net_apply(&net, i % 2 ? GPUDL_OP_SOFTMAX : GPUDL_OP_LOG_SOFTMAX, &a, x));
        if (!net_check(&net, 1))
            break;
    }
    g_rand_free(rand);
}

static void test_moves(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(60, 12); i++) {
        static const int widths[] = {1, 3, 8, 16, 20, 32};
        gint64 a = net_pick(rand, 6, widths), b = net_pick(rand, 6, widths), c = net_pick(rand, 6, widths);
        Net net = net_new(rand, 5, 4, 3);
        GpudlTensor *x = net_input(&net), *parts[3], *joined;
        GpudlAttrs axis = {.axis = {.axis = 1, .n_sizes = 3, .sizes = {a, b, c}}}, slice = {.slice = {.rank = 4}};
        GpudlAttrs perm = {.transpose = {4, {0, 2, 3, 1}}};

        joined = net_apply(&net, GPUDL_OP_CONCAT, &axis, net_conv(&net, x, a, 1, NULL, net_no_act),
                           net_conv(&net, x, b, 1, NULL, net_no_act), net_conv(&net, x, c, 3, NULL, net_no_act));
        axis.axis.sizes[0] = c;
        axis.axis.sizes[2] = a;
        net_apply_n(&net, GPUDL_OP_SPLIT, &axis, 1, &joined, 3, parts);
        for (int d = 0; d < 4; d++) {
            slice.slice.start[d] = d == 0 ? 0 : g_rand_int_range(rand, 0, (gint32)joined->shape.dims[d]);
            slice.slice.end[d] = G_MAXINT64;
            slice.slice.step[d] = d == 0 || g_rand_int_range(rand, 0, 5) > 0 ? 1 : 2;
        }
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_SLICE, &slice, joined));
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_CONCAT, &axis, parts[1], parts[0]));
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_TRANSPOSE, &perm, parts[2]));
        axis.axis.axis = g_rand_int_range(rand, 2, 4);
        gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_CONCAT, &axis, joined, joined));
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* Constants that no step reads: as an output, and seen in other ways by outputs. */
static void test_constant_outputs(void)
{
    GRand *rand = g_rand_new_with_seed(18);
    Net net = net_new(rand, 3, 2, 2);
    GpudlAttrs flat = {.shape = {.rank = 1, .dims = {-1}}};

    gpudl_graph_add_output(net.graph, net_constant(&net, 2, (gint64[]){2, 3}));
    gpudl_graph_add_output(net.graph,
                           net_apply(&net, GPUDL_OP_IDENTITY, NULL, net_constant(&net, 2, (gint64[]){4, 5})));
    gpudl_graph_add_output(net.graph,
                           net_apply(&net, GPUDL_OP_RESHAPE, &flat, net_constant(&net, 2, (gint64[]){3, 5})));
    gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_ABS, NULL, net_input(&net)));
    net_check(&net, 1);
    g_rand_free(rand);
}

/* More pieces than oneDNN has numbers for. */
static void test_wide_concat(void)
{
    static const guint widths[] = {1024, 1025, 3100};

    for (gsize i = 0; i < G_N_ELEMENTS(widths); i++) {
        GRand *rand = g_rand_new_with_seed(17);
        Net net = net_new(rand, 3, 2, 2);
        GpudlAttrs axis = {.axis = {.axis = 1}};
        g_autofree GpudlTensor **pieces = g_new(GpudlTensor *, widths[i]);
        GpudlTensor *values[3] = {net_input(&net), net_conv(&net, net_input(&net), 8, 1, NULL, net_no_act)};

        values[2] = net_apply(&net, GPUDL_OP_ABS, NULL, values[1]);
        for (guint k = 0; k < widths[i]; k++)
            pieces[k] = values[g_rand_int_range(rand, 0, 3)];
        net_apply_n(&net, GPUDL_OP_CONCAT, &axis, widths[i], pieces, 1, pieces);
        gpudl_graph_add_output(net.graph, pieces[0]);
        net_check(&net, 2);
        g_rand_free(rand);
    }
}

/* Reshape, Transpose, Reshape as ShuffleNet has it, and the same with the middle seen by another. */
static void test_channel_shuffle(void)
{
    GRand *rand = g_rand_new_with_seed(g_test_rand_int());

    for (int i = 0; i < net_as_many_as(24, 6); i++) {
        int groups = g_rand_int_range(rand, 2, 5), each = g_rand_int_range(rand, 1, 13);
        Net net = net_new(rand, 3, 4, 5);
        GpudlAttrs split = {.shape = {.rank = 5, .dims = {0, groups, each, 4, 5}}};
        GpudlAttrs perm = {.transpose = {5, {0, 2, 1, 3, 4}}}, join = {.shape = {.rank = 4, .dims = {0, -1, 4, 5}}};
        GpudlTensor *x = net_input(&net), *y;

        x = net_conv(&net, x, groups * each, 1, NULL, net_no_act);
        y = net_apply(&net, GPUDL_OP_TRANSPOSE, &perm, net_apply(&net, GPUDL_OP_RESHAPE, &split, x));
        if (i % 4 == 3)
            gpudl_graph_add_output(net.graph, y);
        y = net_apply(&net, GPUDL_OP_RESHAPE, &join, y);
        gpudl_graph_add_output(net.graph, net_conv(&net, y, 7, 1, NULL, net_no_act));
        if (!net_check(&net, 2))
            break;
    }
    g_rand_free(rand);
}

/* What oneDNN does not do goes through the reference kernels, between steps in blocked layouts. */
static void test_reference_kernels_in_between(void)
{
    GRand *rand = g_rand_new_with_seed(5);
    Net net = net_new(rand, 3, 6, 7);
    GpudlAttrs pad = {.pad = {4, GPUDL_PAD_REFLECT, {0, 0, 1, 2}, {0, 0, 2, 1}, 0}}, cast = {.cast = {GPUDL_DTYPE_I32}};
    GpudlAttrs back = {.cast = {GPUDL_DTYPE_F32}}, axis = {.axis = {.axis = 1}};
    GpudlAttrs narrow = {.cast = {GPUDL_DTYPE_F8E4M3FN, 1, 0}}, perm = {.transpose = {4, {0, 2, 3, 1}}};
    static const gint64 indices[] = {3, 0, -1};
    g_autoptr(GBytes) bytes = g_bytes_new_static(indices, sizeof indices);
    const GpudlAttrs pool = net_window(2, 2, 1, 0, 1);
    GpudlTensor *order =
        gpudl_graph_add_constant(net.graph, "order", GPUDL_DTYPE_I64, &(GpudlShape){1, {3}}, bytes, NULL);
    GpudlTensor *x = net_conv(&net, net_input(&net), 18, 3, NULL, net_no_act), *y, *less, *maxima[2];

    y = net_apply(&net, GPUDL_OP_PAD, &pad, x);
    y = net_conv(&net, y, 16, 3, NULL, net_no_act);
    y = net_apply(&net, GPUDL_OP_GATHER, &axis, y, order);
    less = net_apply(&net, GPUDL_OP_LESS, NULL, y, net_constant(&net, 1, (gint64[]){1}));
    y = net_apply(&net, GPUDL_OP_WHERE, NULL, less, y, net_apply(&net, GPUDL_OP_FLOOR, NULL, y));
    gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_CAST, &back, net_apply(&net, GPUDL_OP_CAST, &cast, y)));
    gpudl_graph_add_output(net.graph, net_conv(&net, y, 20, 1, NULL, net_no_act));
    net_apply_n(&net, GPUDL_OP_MAX_POOL, &pool, 1, &y, 2, maxima);
    gpudl_graph_add_output(net.graph, net_conv(&net, maxima[0], 8, 1, NULL, net_no_act));
    gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_CAST, &back, maxima[1]));
    y = net_apply(&net, GPUDL_OP_MAX_POOL, &pool, net_apply(&net, GPUDL_OP_CAST, &cast, x));
    gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_CAST, &back, y));
    y = net_apply(&net, GPUDL_OP_TRANSPOSE, &perm, net_apply(&net, GPUDL_OP_CAST, &narrow, x));
    gpudl_graph_add_output(net.graph, net_apply(&net, GPUDL_OP_CAST, &back, y));
    net_check(&net, 2);
    g_rand_free(rand);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!cpu_host_can()) {
        printf("1..0 # SKIP bfloat16 is not this machine's\n");
        return 0;
    }
    g_test_add_func("/cpu/conv", test_conv);
    g_test_add_func("/cpu/conv-groups", test_conv_groups);
    g_test_add_func("/cpu/conv-1d-3d", test_conv_1d_3d);
    g_test_add_func("/cpu/pools", test_pools);
    g_test_add_func("/cpu/normalisation", test_normalisation);
    g_test_add_func("/cpu/norms", test_norms);
    g_test_add_func("/cpu/norm-scaled-by-the-input", test_norm_scaled_by_the_input);
    g_test_add_func("/cpu/transposed-views", test_transposed_views);
    g_test_add_func("/cpu/broadcasts", test_broadcasts);
    g_test_add_func("/cpu/elements", test_elements);
    g_test_add_func("/cpu/binary", test_binary);
    g_test_add_func("/cpu/products", test_products);
    g_test_add_func("/cpu/softmax", test_softmax);
    g_test_add_func("/cpu/moves", test_moves);
    g_test_add_func("/cpu/constant-outputs", test_constant_outputs);
    g_test_add_func("/cpu/wide-concat", test_wide_concat);
    g_test_add_func("/cpu/channel-shuffle", test_channel_shuffle);
    g_test_add_func("/cpu/reference-kernels-in-between", test_reference_kernels_in_between);
    g_test_add_func("/cpu/random-nets", test_random_nets);
    return g_test_run();
}
