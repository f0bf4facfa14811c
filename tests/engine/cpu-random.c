/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The CPU module against the reference: random nets. */
#include "engine/gpudl.h"
#include "tests/engine/cpu-nets.h"

/* A layer norm of some dimensions or a group norm, with a scale and a bias or without. */
static GpudlTensor *random_norm(const Net *net, GpudlTensor *x)
{
    const gboolean layer = g_rand_boolean(net->rand);
    GpudlAttrs a = {.norm = {.epsilon = 1e-1f, .groups = 1}};
    GpudlTensor *inputs[3] = {x};
    gint64 each[3] = {x->shape.dims[1]};

    if (layer) {
        a.norm.axis = g_rand_int_range(net->rand, 1, 4);
        a.norm.n_axes = g_rand_int_range(net->rand, 1, 5 - a.norm.axis);
        for (int k = 0; k < a.norm.n_axes; k++)
            each[k] = x->shape.dims[a.norm.axis + k];
    } else if (x->shape.dims[1] % 4 == 0) {
        a.norm.groups = g_rand_boolean(net->rand) ? 4 : 2;
    }
    inputs[1] = net_constant(net, layer ? a.norm.n_axes : 1, each);
    inputs[2] = net_constant(net, layer ? a.norm.n_axes : 1, each);
    return net_apply_n(net, layer ? GPUDL_OP_LAYER_NORM : GPUDL_OP_GROUP_NORM, &a, g_rand_boolean(net->rand) ? 3 : 1,
                       inputs, 1, NULL);
}

/* Channels last for a while: a product, a norm or a GELU of what lies so. */
static GpudlTensor *random_stretch(const Net *net, GpudlTensor *x)
{
    static const GpudlAttrs last = {.transpose = {4, {0, 2, 3, 1}}}, first = {.transpose = {4, {0, 3, 1, 2}}};
    const GpudlAttrs norm = {.norm = {.axis = 3, .n_axes = 1, .epsilon = 1e-1f}},
                     gelu = {.unary = {{g_rand_boolean(net->rand) ? GPUDL_ACT_GELU : GPUDL_ACT_GELU_TANH, 0, 0}}};
    const gint64 c = x->shape.dims[1];
    GpudlTensor *y = net_apply(net, GPUDL_OP_TRANSPOSE, &last, x);

    for (int n = g_rand_int_range(net->rand, 1, 4); n > 0; n--) {
        const int kind = g_rand_int_range(net->rand, 0, 4);

        y = kind == 0   ? net_apply(net, GPUDL_OP_MATMUL, NULL, y, net_constant(net, 2, (gint64[]){c, c}))
            : kind == 1 ? net_apply(net, GPUDL_OP_LAYER_NORM, &norm, y)
            : kind == 2 ? net_apply(net, GPUDL_OP_ACTIVATION, &gelu, y)
                        : net_apply(net, GPUDL_OP_ADD, NULL, y, net_constant(net, 1, &c));
    }
    return net_apply(net, GPUDL_OP_TRANSPOSE, &first, y);
}

/* Groups of channels times a value for each, or for each channel in them, plus their own mean. */
static GpudlTensor *random_broadcast(const Net *net, GpudlTensor *x)
{
    static const GpudlOp reductions[] = {GPUDL_OP_REDUCE_MEAN, GPUDL_OP_REDUCE_MAX};
    const gint64 c = x->shape.dims[1], each = c % 4 == 0 ? 4 : 1;
    const GpudlAttrs apart = {.shape = {5, {0, c / each, each, 6, 6}}}, again = {.shape = {4, {0, c, 6, 6}}};
    GpudlAttrs reduce = {.reduce = {2, {3, 4}, 1}};
    GpudlTensor *y = net_apply(net, GPUDL_OP_RESHAPE, &apart, x), *scale;

    scale = net_constant(net, 5, (gint64[]){1, c / each, g_rand_boolean(net->rand) ? each : 1, 1, 1});
    if (g_rand_boolean(net->rand))
        reduce.reduce = (GpudlReduceAttrs){3, {2, 3, 4}, 1};
    y = net_apply(net, GPUDL_OP_MUL, NULL, y, scale);
    y = net_apply(net, GPUDL_OP_ADD, NULL, y, net_apply(net, reductions[g_rand_boolean(net->rand)], &reduce, y));
    return net_apply(net, GPUDL_OP_RESHAPE, &again, y);
}

static void random_net(GRand *rand, Net *net)
{
    static const int widths[] = {3, 8, 16, 20, 32};
    g_autoptr(GPtrArray) values = g_ptr_array_new();

    *net = net_new(rand, 3, 6, 6);
    g_ptr_array_add(values, net_input(net));
    for (int i = 0; i < 14; i++) {
        GpudlTensor *x = g_ptr_array_index(values, g_rand_int_range(rand, 0, (gint32)values->len)), *y = NULL,
                    *same = NULL;
        GpudlAttrs a = {.unary = {net_act_from(rand, GPUDL_ACT_RELU)}}, axis = {.axis = {.axis = 1}},
                   pool = net_window(2, 3, 1, 1, 1);

        for (guint k = 0; k < values->len; k++) {
            GpudlTensor *candidate = g_ptr_array_index(values, k);

            if (gpudl_shape_equal(&candidate->shape, &x->shape) && (same == NULL || g_rand_boolean(rand)))
                same = candidate;
        }
        switch (g_rand_int_range(rand, 0, 12)) {
        case 0:
        case 1:
            y = net_conv(net, x, net_pick(rand, 5, widths), g_rand_boolean(rand) ? 1 : 3, NULL, a.unary.act);
            break;
        case 2:
            y = net_conv(net, g_ptr_array_index(values, 0), x->shape.dims[1], 3, x, a.unary.act);
            break;
        case 3:
            y = net_apply(net, GPUDL_OP_ACTIVATION, &a, x);
            break;
        case 4:
            y = net_apply(net, g_rand_boolean(rand) ? GPUDL_OP_ADD : GPUDL_OP_MUL, &a, x, same);
            break;
        case 5:
            y = net_apply(net, GPUDL_OP_CONCAT, &axis, x, same);
            break;
        case 6:
            y = net_apply(net, g_rand_boolean(rand) ? GPUDL_OP_MAX_POOL : GPUDL_OP_AVERAGE_POOL, &pool, x);
            break;
        case 7: {
            GpudlAttrs sigmoid = {.unary = {{GPUDL_ACT_SIGMOID, 0, 0}}};
            GpudlTensor *gate = net_conv(net, net_apply(net, GPUDL_OP_GLOBAL_AVERAGE_POOL, NULL, x), x->shape.dims[1],
                                         1, NULL, net_no_act);

            y = net_apply(net, GPUDL_OP_MUL, NULL, x, net_apply(net, GPUDL_OP_ACTIVATION, &sigmoid, gate));
            break;
        }
        case 8:
            y = random_norm(net, x);
            break;
        case 9:
            y = random_stretch(net, x);
            break;
        case 10:
            y = random_broadcast(net, x);
            break;
        default: {
            GpudlAttrs flat = {.shape = {.rank = 4, .dims = {0, 0, 4, 9}}},
                       again = {.shape = {.rank = 4, .dims = {0, 0, 6, 6}}};

            y = net_apply(net, GPUDL_OP_RESHAPE, &again, net_apply(net, GPUDL_OP_RESHAPE, &flat, x));
            break;
        }
        }
        g_ptr_array_add(values, y);
    }
    gpudl_graph_add_output(net->graph, g_ptr_array_index(values, values->len - 1));
    gpudl_graph_add_output(net->graph, g_ptr_array_index(values, g_rand_int_range(rand, 0, (gint32)values->len)));
    gpudl_graph_remove_dead(net->graph);
}

void test_random_nets(void)
{
    for (int i = 0; i < net_as_many_as(100, 15); i++) {
        guint32 seed = (guint32)g_test_rand_int();
        GRand *rand = g_rand_new_with_seed(seed);
        gboolean good;
        Net net;

        random_net(rand, &net);
        good = net_check(&net, 2);
        g_rand_free(rand);
        if (!good) {
            g_test_message("net of seed %u", seed);
            break;
        }
    }
}
