/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Networks of products with what their steps do besides: activations, gates, channels of nothing. */
#include "builder.h"
#include "cuda-nets.h"

static GpudlTensor *node3(Builder *b, GpudlOp op, GpudlTensor *x, GpudlTensor *y, GpudlTensor *z)
{
    return gpudl_graph_add_node(b->graph, op, NULL, (GpudlTensor *[]){x, y, z}, 3, NULL, 1)->outputs[0];
}

static GpudlTensor *flat(Builder *b, GpudlTensor *x)
{
    return builder_reshape(b, x, "0x-1");
}

static GpudlTensor *join(Builder *b, GpudlTensor *x, GpudlTensor *y, gint axis)
{
    GpudlTensor *z = builder_node(b, GPUDL_OP_CONCAT, x, y);

    z->producer->attrs.axis.axis = axis;
    return z;
}

/* Behind convolutions, every other one with a residual, and a product; each as a part of them. */
GpudlTensor *nets_activations(Builder *b, GpudlTensor *x)
{
    GpudlTensor *w = builder_random(b, "1024x24", -0.05, 0.05), *y;

    for (gint kind = GPUDL_ACT_RELU; kind <= GPUDL_ACT_LAST; kind++) {
        y = builder_conv(b, x, 16, 16, kind % 3 == 0 ? 3 : 1, TRUE);
        if (kind % 2 == 0)
            y = builder_node(b, GPUDL_OP_ADD, y, x);
        x = builder_act(b, y, (GpudlActKind)kind, kind == GPUDL_ACT_CLIP ? -1 : 0.2f, 0.5f);
    }
    y = node3(b, GPUDL_OP_GEMM, flat(b, x), w, builder_random(b, "24", -1, 1));
    y->producer->attrs.gemm = (GpudlGemmAttrs){.alpha = 1, .beta = 1};
    return builder_act(b, y, GPUDL_ACT_HARD_SWISH, 0, 0);
}

static GpudlTensor *linear(Builder *b, GpudlTensor *x, const gchar *w, const gchar *bias, gboolean by_rows)
{
    GpudlTensor *y = node3(b, GPUDL_OP_GEMM, x, builder_random(b, w, -0.5, 0.5), builder_random(b, bias, -1, 1));

    y->producer->attrs.gemm = (GpudlGemmAttrs){.trans_b = by_rows, .alpha = 0.5f, .beta = 2};
    return y;
}

/* Squeeze-and-excite of convolutions, and of matrices either way round and odd channels. */
GpudlTensor *nets_gates(Builder *b, GpudlTensor *x)
{
    GpudlTensor *y = builder_act(b, builder_conv(b, x, 16, 13, 3, TRUE), GPUDL_ACT_SILU, 0, 0), *g;

    g = builder_conv(b, builder_node(b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL), 16, 4, 1, TRUE);
    g = builder_conv(b, builder_act(b, g, GPUDL_ACT_RELU, 0, 0), 4, 16, 1, FALSE);
    x = builder_node(b, GPUDL_OP_MUL, x, builder_act(b, g, GPUDL_ACT_SIGMOID, 0, 0));
    g = flat(b, builder_node(b, GPUDL_OP_GLOBAL_AVERAGE_POOL, y, NULL));
    g = builder_act(b, linear(b, g, "13x5", "5", FALSE), GPUDL_ACT_HARD_SWISH, 0, 0);
    g = builder_act(b, linear(b, g, "13x5", "1", TRUE), GPUDL_ACT_HARD_SIGMOID, 0.2f, 0.5f);
    y = builder_node(b, GPUDL_OP_MUL, builder_reshape(b, g, "0x13x1x1"), y);
    return join(b, flat(b, x), flat(b, y), 1);
}

/* Of 12 channels, where they lie in a picture above another: by themselves of one frame, in a copy of several. */
GpudlTensor *nets_depthwise_of_half(Builder *b, GpudlTensor *x)
{
    GpudlTensor *above = builder_conv(b, x, 16, 12, 3, TRUE), *below = builder_conv(b, x, 16, 12, 1, TRUE),
                *y = builder_conv(b, above, 1, 12, 3, TRUE), *z = builder_conv(b, below, 1, 12, 3, TRUE);

    y->producer->attrs.window.group = z->producer->attrs.window.group = 12;
    return join(b, flat(b, join(b, above, below, 2)), flat(b, join(b, y, z, 2)), 1);
}

static GpudlTensor *filter(Builder *b, GpudlTensor *x, gint64 channels, gint taps, gint stride)
{
    GpudlTensor *y = builder_conv(b, x, 1, channels, taps, TRUE);
    GpudlWindowAttrs *window = &y->producer->attrs.window;

    window->group = (gint32)channels;
    window->stride[1] = window->stride[2] = stride;
    return y;
}

/* Inverted residuals: one that adds its input, one of another size and activation, one that nothing expands; then what
 * looks like one, but what is between its steps is read twice. */
GpudlTensor *nets_blocks(Builder *b, GpudlTensor *x)
{
    GpudlTensor *y = builder_act(b, builder_conv(b, x, 16, 48, 1, TRUE), GPUDL_ACT_CLIP, 0, 6), *z;

    y = builder_act(b, filter(b, y, 48, 3, 1), GPUDL_ACT_CLIP, 0, 6);
    x = builder_node(b, GPUDL_OP_ADD, builder_conv(b, y, 48, 16, 1, TRUE), x);
    y = builder_act(b, builder_conv(b, x, 16, 40, 1, FALSE), GPUDL_ACT_HARD_SWISH, 0, 0);
    y = builder_act(b, filter(b, y, 40, 5, 2), GPUDL_ACT_HARD_SWISH, 0, 0);
    x = builder_conv(b, y, 40, 24, 1, TRUE);
    y = builder_act(b, filter(b, x, 24, 3, 1), GPUDL_ACT_RELU, 0, 0);
    x = builder_conv(b, y, 24, 16, 1, FALSE);
    y = builder_act(b, builder_conv(b, x, 16, 32, 1, TRUE), GPUDL_ACT_RELU, 0, 0);
    z = builder_conv(b, filter(b, y, 32, 3, 1), 32, 32, 1, TRUE);
    return flat(b, builder_node(b, GPUDL_OP_ADD, y, z));
}

/* Products of means: of a matrix, of a convolution; then of means that are read twice, and of maxima. */
GpudlTensor *nets_means(Builder *b, GpudlTensor *x)
{
    GpudlTensor *wide = builder_conv(b, x, 16, 136, 3, TRUE), *y, *z;

    y = linear(b, flat(b, builder_node(b, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, NULL)), "16x24", "24", FALSE);
    y = builder_act(b, y, GPUDL_ACT_HARD_SWISH, 0, 0);
    z = builder_conv(b, builder_node(b, GPUDL_OP_GLOBAL_AVERAGE_POOL, wide, NULL), 136, 40, 1, TRUE);
    y = join(b, y, flat(b, builder_act(b, z, GPUDL_ACT_RELU, 0, 0)), 1);
    z = flat(b, builder_node(b, GPUDL_OP_GLOBAL_AVERAGE_POOL, builder_conv(b, x, 16, 32, 1, FALSE), NULL));
    y = join(b, y, builder_node(b, GPUDL_OP_ADD, linear(b, z, "32x32", "1", TRUE), z), 1);
    z = flat(b, builder_node(b, GPUDL_OP_GLOBAL_MAX_POOL, wide, NULL));
    return join(b, y, linear(b, z, "136x8", "8", FALSE), 1);
}

static GpudlTensor *expand(Builder *b, GpudlTensor *x, gint64 from, gint64 to, gint taps, GpudlActKind act)
{
    return builder_act(b, builder_conv(b, x, from, to, taps, TRUE), act, 0, 0);
}

/* Fire modules, either way round, and of 5 x 5 taps; then what looks like them, but has two activations, channels that
 * are no whole vectors, two pictures, or a window that leaves the middle. */
GpudlTensor *nets_fires(Builder *b, GpudlTensor *x)
{
    GpudlTensor *y = expand(b, x, 16, 8, 1, GPUDL_ACT_RELU), *z = expand(b, y, 8, 16, 1, GPUDL_ACT_RELU), *all;

    all = flat(b, join(b, z, expand(b, y, 8, 24, 3, GPUDL_ACT_RELU), 1));
    z = expand(b, x, 16, 8, 1, GPUDL_ACT_SILU);
    all = join(b, all, flat(b, join(b, expand(b, x, 16, 16, 3, GPUDL_ACT_SILU), z, 1)), 1);
    z = builder_conv(b, x, 16, 16, 5, FALSE);
    all = join(b, all, flat(b, join(b, z, builder_conv(b, x, 16, 8, 1, FALSE), 1)), 1);
    z = expand(b, x, 16, 8, 1, GPUDL_ACT_RELU);
    all = join(b, all, flat(b, join(b, z, expand(b, x, 16, 8, 3, GPUDL_ACT_HARD_SWISH), 1)), 1);
    z = builder_conv(b, x, 16, 12, 1, TRUE);
    all = join(b, all, flat(b, join(b, z, builder_conv(b, x, 16, 12, 3, TRUE), 1)), 1);
    y = expand(b, x, 16, 16, 1, GPUDL_ACT_RELU);
    z = builder_conv(b, x, 16, 8, 1, TRUE);
    all = join(b, all, flat(b, join(b, z, builder_conv(b, y, 16, 8, 3, TRUE), 1)), 1);
    z = builder_conv(b, x, 16, 8, 1, TRUE);
    x = builder_conv(b, x, 16, 8, 3, TRUE);
    x->producer->attrs.window.pad_begin[1] = 2;
    x->producer->attrs.window.pad_end[1] = 0;
    return join(b, all, flat(b, join(b, z, x, 1)), 1);
}

/* A part of a picture's rows or columns, every step-th of them. */
static GpudlTensor *crop(Builder *b, GpudlTensor *x, gint axis, gint64 begin, gint64 end, gint64 step)
{
    GpudlTensor *y = builder_node(b, GPUDL_OP_SLICE, x, NULL);
    GpudlSliceAttrs attrs = {4, {0}, {G_MAXINT64, G_MAXINT64, G_MAXINT64, G_MAXINT64}, {1, 1, 1, 1}};

    attrs.start[axis] = begin;
    attrs.end[axis] = end;
    attrs.step[axis] = step;
    y->producer->attrs.slice = attrs;
    return y;
}

/* What looks like inverted residuals, but a part of what a step gives is what the next one reads, where it lies: fewer
 * rows, of one frame; every other column. */
GpudlTensor *nets_cropped_blocks(Builder *b, GpudlTensor *x)
{
    GpudlTensor *y = builder_act(b, builder_conv(b, x, 16, 48, 1, TRUE), GPUDL_ACT_RELU, 0, 0);

    y = builder_act(b, filter(b, crop(b, y, 2, 0, -1, 1), 48, 3, 1), GPUDL_ACT_RELU, 0, 0);
    x = builder_conv(b, y, 48, 16, 1, TRUE);
    y = builder_act(b, builder_conv(b, x, 16, 32, 1, TRUE), GPUDL_ACT_RELU, 0, 0);
    y = builder_act(b, filter(b, y, 32, 3, 1), GPUDL_ACT_RELU, 0, 0);
    return flat(b, builder_conv(b, crop(b, y, 3, 0, G_MAXINT64, 2), 32, 24, 1, TRUE));
}

static GpudlTensor *rows(Builder *b, GpudlTensor *x, const gchar *w, gboolean by_rows)
{
    GpudlTensor *y = builder_node(b, GPUDL_OP_GEMM, flat(b, x), builder_random(b, w, -0.05, 0.05));

    y->producer->attrs.gemm = (GpudlGemmAttrs){.trans_b = by_rows, .alpha = 1};
    return y;
}

/* Columns of a matrix seen as a picture of so many channels, 5 x 5, which lie last. */
static GpudlTensor *picture(Builder *b, GpudlTensor *x, gint64 begin, gint64 channels)
{
    g_autofree gchar *shape = g_strdup_printf("0x5x5x%d", (gint)channels);
    GpudlTensor *y = builder_node(b, GPUDL_OP_SLICE, x, NULL);

    y->producer->attrs.slice = (GpudlSliceAttrs){2, {0, begin}, {G_MAXINT64, begin + 25 * channels}, {1, 1}};
    return builder_transpose(b, builder_reshape(b, y, shape), "0x3x1x2");
}

/* Matrices times parts of pictures: their upper and lower rows, and the upper one of two pictures that lie above each
 * other, all of which lie by themselves in one frame and apart in several, so that these are copied where the weights
 * are those that one frame has left; then what has gaps in any: their left columns, half of a picture's channels, and
 * pictures that begin or are no whole vectors. */
GpudlTensor *nets_turned(Builder *b, GpudlTensor *x)
{
    GpudlTensor *above = builder_conv(b, x, 16, 16, 3, TRUE), *half = builder_conv(b, x, 16, 16, 3, FALSE),
                *matrix = builder_node(b, GPUDL_OP_EXP, flat(b, x), NULL),
                *both = join(b, above, builder_conv(b, x, 16, 16, 1, TRUE), 2),
                *all = join(b, half, builder_conv(b, x, 16, 16, 1, FALSE), 1),
                *parts[] = {rows(b, crop(b, x, 2, 0, 5, 1), "640x24", FALSE),
                            rows(b, crop(b, x, 2, 5, G_MAXINT64, 1), "16x384", TRUE),
                            rows(b, above, "1024x16", FALSE),
                            rows(b, crop(b, x, 3, 0, 3, 1), "384x8", FALSE),
                            rows(b, half, "1024x8", FALSE),
                            rows(b, picture(b, matrix, 0, 16), "400x8", FALSE),
                            rows(b, picture(b, matrix, 4, 16), "400x8", FALSE),
                            rows(b, picture(b, matrix, 8, 12), "300x8", FALSE),
                            flat(b, builder_node(b, GPUDL_OP_GLOBAL_MAX_POOL, both, NULL)),
                            flat(b, builder_node(b, GPUDL_OP_GLOBAL_MAX_POOL, all, NULL))},
                *y = gpudl_graph_add_node(b->graph, GPUDL_OP_CONCAT, NULL, parts, G_N_ELEMENTS(parts), NULL, 1)
                         ->outputs[0];

    y->producer->attrs.axis.axis = 1;
    return y;
}
