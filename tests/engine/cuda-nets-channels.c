/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks that bring channels into another order, as ShuffleNet does, in every way that is written. */
#include "builder.h"
#include "cuda-nets.h"

#define SIDE 8
#define UNITS 9 /* more than a pass takes sources */

static GpudlTensor *join(Builder *b, GpudlTensor *x, GpudlTensor *y)
{
    GpudlTensor *z = builder_node(b, GPUDL_OP_CONCAT, x, y);

    z->producer->attrs.axis.axis = 1;
    return z;
}

static GpudlTensor *shuffle(Builder *b, GpudlTensor *x, gint groups, gint size)
{
    g_autofree gchar *apart = g_strdup_printf("0x%dx%dx%dx%d", groups, size, SIDE, SIDE);
    g_autofree gchar *back = g_strdup_printf("0x%dx%dx%d", groups * size, SIDE, SIDE);

    return builder_reshape(b, builder_transpose(b, builder_reshape(b, x, apart), "0x2x1x3x4"), back);
}

static GpudlTensor *slice(Builder *b, GpudlTensor *x, gint64 from, gint64 to, gint64 step)
{
    GpudlTensor *y = builder_node(b, GPUDL_OP_SLICE, x, NULL);

    y->producer->attrs.slice =
        (GpudlSliceAttrs){4, {0, from, 0, 0}, {G_MAXINT64, to, G_MAXINT64, G_MAXINT64}, {1, step, 1, 1}};
    return y;
}

static void split(Builder *b, GpudlTensor *x, gint64 first, gint64 second, GpudlTensor *parts[2])
{
    static const gchar *const names[] = {NULL, NULL};
    g_autofree gchar *name = g_strdup_printf("split%u", b->graph->nodes->len);
    GpudlNode *node = gpudl_graph_add_node(b->graph, GPUDL_OP_SPLIT, name, &x, 1, (const gchar *const *)names, 2);

    node->attrs.axis = (GpudlAxisAttrs){.axis = 1, .n_sizes = 2, .sizes = {first, second}};
    parts[0] = node->outputs[0];
    parts[1] = node->outputs[1];
}

static GpudlTensor *depthwise(Builder *b, GpudlTensor *x, gint64 channels)
{
    GpudlTensor *y = builder_conv(b, x, 1, channels, 3, TRUE);

    y->producer->attrs.window.group = (gint32)channels;
    return y;
}

/* A unit of ShuffleNetV2. */
static GpudlTensor *branch(Builder *b, GpudlTensor *x, gint64 from, gint64 channels)
{
    x = builder_act(b, builder_conv(b, x, from, channels, 1, TRUE), GPUDL_ACT_RELU, 0, 0);
    return builder_conv(b, depthwise(b, x, channels), channels, channels, 1, TRUE);
}

static GpudlTensor *flat(Builder *b, GpudlTensor *x)
{
    return builder_reshape(b, x, "0x-1");
}

/* Parted by SPLIT, by SLICE, by steps; read by convolutions, pools, as the result; of three groups as well. */
GpudlTensor *nets_shuffled(Builder *b, GpudlTensor *x)
{
    GpudlTensor *parts[2], *y, *z, *w;

    y = shuffle(b, join(b, branch(b, x, 16, 7), branch(b, x, 16, 5)), 2, 6);
    split(b, y, 7, 5, parts);
    y = shuffle(b, join(b, parts[0], branch(b, parts[1], 5, 5)), 3, 4);
    z = builder_conv(b, slice(b, y, 1, -1, 1), 10, 8, 3, TRUE);
    w = slice(b, y, 1, G_MAXINT64, 4); /* three channels */
    y = join(b, flat(b, y), flat(b, builder_pool(b, GPUDL_OP_MAX_POOL, w, 2, 2, 0)));
    return join(b, y, flat(b, shuffle(b, z, 2, 4)));
}

/* Most channels go from unit to unit as they are, so that the last has channels of nearly all. */
GpudlTensor *nets_shuffled_often(Builder *b, GpudlTensor *x)
{
    GpudlTensor *parts[2] = {branch(b, x, 16, 5), branch(b, x, 16, 11)};

    for (gint i = 0; i < UNITS; i++)
        split(b, shuffle(b, join(b, parts[1], branch(b, parts[0], i > 0 ? 1 : 5, 1)), 2, 6), 1, 11, parts);
    return join(b, flat(b, parts[0]), flat(b, parts[1]));
}

/* What is dealt out is also read as it was, or is no concatenation: an input, what was dealt out before. */
GpudlTensor *nets_shuffled_twice(Builder *b, GpudlTensor *x)
{
    GpudlTensor *y = shuffle(b, x, 4, 4), *joined = join(b, slice(b, y, 0, 8, 1), branch(b, x, 16, 6)), *z;

    z = shuffle(b, joined, 2, 7);
    y = shuffle(b, shuffle(b, y, 2, 8), 8, 2);
    return join(b, join(b, flat(b, joined), flat(b, z)), flat(b, branch(b, y, 16, 4)));
}

/* A dense picture of one channel, which stays dense. */
GpudlTensor *nets_one_channel(Builder *b, GpudlTensor *x)
{
    x = builder_reshape(b, builder_node(b, GPUDL_OP_EXP, flat(b, x), NULL), "0x1x32x32");
    return flat(b, builder_node(b, GPUDL_OP_SQRT, builder_node(b, GPUDL_OP_ABS, x, NULL), NULL));
}

/* A block of DenseNet: each layer reads all before it. Another concatenation begins like them, along another axis. */
GpudlTensor *nets_dense(Builder *b, GpudlTensor *x)
{
    GpudlTensor *all[5] = {x}, *y = x, *below;

    for (gint i = 1; i < 5; i++) {
        y = builder_act(b, builder_batch_norm(b, y, 16 + 8 * (i - 1)), GPUDL_ACT_RELU, 0, 0);
        all[i] = builder_conv(b, y, 16 + 8 * (i - 1), 8, 3, TRUE);
        y = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, NULL, all, (guint)i + 1, NULL, 1)->outputs[0];
        y->producer->attrs.axis.axis = 1;
    }
    y = builder_act(b, builder_batch_norm(b, y, 48), GPUDL_ACT_RELU, 0, 0);
    below = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, NULL, (GpudlTensor *[]){x, x}, 2, NULL, 1)->outputs[0];
    below->producer->attrs.axis.axis = 2;
    return join(b, flat(b, y), flat(b, below));
}
