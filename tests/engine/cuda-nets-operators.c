/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A little network for each operator that grown networks have none of. */
#include "builder.h"
#include "cuda-nets.h"
#include "engine/passes/passes.h"
#include "kernels/resize.h"

#define SIDE 8

/* What cases begin with: the input, of 3 channels, and 16 channels made of it. */
typedef struct {
    Builder b;
    GpudlTensor *input, *x;
} Case;

static GpudlTensor *node(Case *k, GpudlOp op, GpudlTensor *x, GpudlTensor *y)
{
    return builder_node(&k->b, op, x, y);
}

static GpudlTensor *node3(Case *k, GpudlOp op, GpudlTensor *x, GpudlTensor *y, GpudlTensor *z)
{
    GpudlTensor *inputs[] = {x, y, z};
    g_autofree gchar *name = g_strdup_printf("node%u", k->b.graph->nodes->len);

    return gpudl_graph_add_node(k->b.graph, op, name, inputs, 3, NULL, 1)->outputs[0];
}

static GpudlTensor *flat(Case *k, GpudlTensor *x)
{
    return builder_reshape(&k->b, x, "0x-1");
}

static GpudlTensor *cast(Case *k, GpudlTensor *x, GpudlDType to)
{
    GpudlTensor *y = node(k, GPUDL_OP_CAST, x, NULL);

    y->producer->attrs.cast = (GpudlCastAttrs){.to = (gint32)to, .saturate = 1};
    return y;
}

static GpudlTensor *number(Case *k, double value, GpudlDType dtype)
{
    return cast(k, builder_scalar(&k->b, value), dtype);
}

static GpudlTensor *along(Case *k, GpudlOp op, GpudlTensor *x, GpudlTensor *y, gint axis)
{
    GpudlTensor *z = node(k, op, x, y);

    z->producer->attrs.axis.axis = axis;
    return z;
}

/* The input's sign: the same in every precision. */
static GpudlTensor *mask(Case *k, GpudlOp op)
{
    return node(k, op, k->input, builder_scalar(&k->b, 0));
}

/* Integers of -4 .. 3, the same in every precision. */
static GpudlTensor *integers(Case *k, GpudlDType dtype)
{
    GpudlTensor *a = cast(k, mask(k, GPUDL_OP_GREATER), dtype), *b = cast(k, mask(k, GPUDL_OP_LESS_OR_EQUAL), dtype),
                *c = builder_transpose(&k->b, a, "0x1x3x2");

    b = node(k, GPUDL_OP_MUL, b, number(k, 3, dtype));
    c = node(k, GPUDL_OP_MUL, c, number(k, 4, dtype));
    return node(k, GPUDL_OP_SUB, node(k, GPUDL_OP_ADD, a, b), c);
}

static GpudlTensor *as_float(Case *k, GpudlTensor *x)
{
    return flat(k, cast(k, x, GPUDL_DTYPE_F32));
}

static GpudlTensor *join(Case *k, GpudlTensor *a, GpudlTensor *b, gint axis)
{
    return along(k, GPUDL_OP_CONCAT, a, b, axis);
}

/* ---- movement ---------------------------------------------------------------------------------------------------- */

static GpudlTensor *pad(Case *k, GpudlTensor *x, GpudlPadMode mode, const gchar *begin, const gchar *end)
{
    GpudlTensor *y = builder_pad(&k->b, x, begin, end, 0.5);

    y->producer->attrs.pad.mode = (gint32)mode;
    return y;
}

static GpudlTensor *pads(Case *k, GpudlPadMode mode)
{
    const gboolean crops = mode == GPUDL_PAD_CONSTANT;
    GpudlTensor *a = pad(k, k->x, mode, "0x0x2x1", "0x0x1x3"),
                *b = pad(k, k->x, mode, crops ? "0x3x-1x0" : "0x3x1x0", crops ? "0x2x0x-2" : "0x2x0x2");

    b = pad(k, flat(k, b), mode, "0x2", "0x1");
    return join(k, flat(k, a), b, 1);
}

static GpudlTensor *pad_constant(Case *k)
{
    return pads(k, GPUDL_PAD_CONSTANT);
}

static GpudlTensor *pad_reflect(Case *k)
{
    return pads(k, GPUDL_PAD_REFLECT);
}

static GpudlTensor *pad_edge(Case *k)
{
    return pads(k, GPUDL_PAD_EDGE);
}

static GpudlTensor *pad_wrap(Case *k)
{
    return pads(k, GPUDL_PAD_WRAP);
}

static GpudlTensor *indices(Case *k, const gchar *shape)
{
    return cast(k, builder_random(&k->b, shape, -7.9, 7.9), GPUDL_DTYPE_I64);
}

static GpudlTensor *gather(Case *k)
{
    GpudlTensor *a = along(k, GPUDL_OP_GATHER, k->x, indices(k, "5"), 1),
                *b = along(k, GPUDL_OP_GATHER, k->x, indices(k, "2x3"), 3);

    return join(k, flat(k, a), flat(k, b), 1);
}

/* From a constant table, by what the input says. */
static GpudlTensor *gather_table(Case *k)
{
    return flat(k, along(k, GPUDL_OP_GATHER, builder_random(&k->b, "4x5", -1, 1), integers(k, GPUDL_DTYPE_I32), 0));
}

static GpudlTensor *slice(Case *k, GpudlTensor *x, const GpudlSliceAttrs *attrs)
{
    GpudlTensor *y = node(k, GPUDL_OP_SLICE, x, NULL);

    y->producer->attrs.slice = *attrs;
    return y;
}

static GpudlTensor *slice_backwards(Case *k)
{
    static const GpudlSliceAttrs flip = {
        4, {0, -1, 0, G_MAXINT64}, {G_MAXINT64, G_MININT64, G_MAXINT64, 1}, {1, -3, 1, -1}};
    GpudlTensor *y = slice(k, k->x, &flip);

    return flat(k, builder_act(&k->b, y, GPUDL_ACT_SIGMOID, 0, 0));
}

/* Nothing of it: concatenated. */
static GpudlTensor *slice_of_nothing(Case *k)
{
    static const GpudlSliceAttrs none = {4, {0, 3, 0, 0}, {G_MAXINT64, 3, G_MAXINT64, G_MAXINT64}, {1, 1, 1, 1}};

    return flat(k, join(k, slice(k, k->x, &none), k->x, 1));
}

static GpudlTensor *move_integers(Case *k)
{
    static const GpudlSliceAttrs part = {
        4, {0, 1, 2, -1}, {G_MAXINT64, G_MAXINT64, G_MAXINT64, G_MININT64}, {1, 1, 2, -2}};
    GpudlTensor *x = integers(k, GPUDL_DTYPE_I64), *y = builder_transpose(&k->b, x, "0x3x1x2");

    x = join(k, x, pad(k, x, GPUDL_PAD_EDGE, "0x1x0x0", "0x0x0x0"), 1);
    return join(k, as_float(k, y), as_float(k, slice(k, x, &part)), 1);
}

static GpudlTensor *expand_flags(Case *k)
{
    GpudlTensor *x = builder_reshape(&k->b, mask(k, GPUDL_OP_LESS), "0x3x1x8x8"),
                *y = node(k, GPUDL_OP_EXPAND, x, NULL);

    y->producer->attrs.shape = (GpudlShapeAttrs){5, {1, 1, 4, 1, 1}};
    return as_float(k, y);
}

/* ---- resampling -------------------------------------------------------------------------------------------------- */

/* sizes: of each dimension, 0: as it is. */
static GpudlTensor *resize(Case *k, GpudlTensor *x, GpudlSampleMode mode, GpudlSampleCoordinate coordinate,
                           const GpudlShape *sizes)
{
    GpudlTensor *y = node(k, GPUDL_OP_RESIZE, x, NULL);
    GpudlResizeAttrs *attrs = &y->producer->attrs.resize;

    *attrs = (GpudlResizeAttrs){
        .rank = sizes->rank, .mode = (gint32)mode, .coordinate = (gint32)coordinate, .cubic_a = -0.75f};
    for (gint i = 0; i < sizes->rank; i++)
        attrs->sizes[i] = sizes->dims[i];
    return y;
}

/* As networks that look at several sizes at once have it, beside what they already know of that size; and integers. */
static GpudlTensor *resize_nearest(Case *k)
{
    static const GpudlShape twice = {4, {0, 0, 16, 16}}, odd = {4, {0, 0, 13, 5}};
    GpudlTensor *a = resize(k, k->x, GPUDL_SAMPLE_NEAREST, GPUDL_SAMPLE_ASYMMETRIC, &twice), *b, *c;

    a->producer->attrs.resize.nearest = GPUDL_SAMPLE_FLOOR;
    a->producer->attrs.resize.scale[2] = a->producer->attrs.resize.scale[3] = 2;
    b = builder_act(&k->b, builder_conv(&k->b, a, 16, 8, 3, TRUE), GPUDL_ACT_RELU, 0, 0);
    c = resize(k, integers(k, GPUDL_DTYPE_I64), GPUDL_SAMPLE_NEAREST, GPUDL_SAMPLE_HALF_PIXEL, &odd);
    return join(k, flat(k, join(k, a, b, 1)), as_float(k, c), 1);
}

static GpudlTensor *resize_linear(Case *k)
{
    static const GpudlShape twice = {4, {0, 0, 16, 16}}, odd = {4, {0, 0, 5, 11}}, line = {3, {0, 0, 100}},
                            room = {5, {0, 0, 7, 5, 9}};
    GpudlTensor *a = resize(k, k->x, GPUDL_SAMPLE_LINEAR, GPUDL_SAMPLE_HALF_PIXEL, &twice),
                *b = resize(k, k->x, GPUDL_SAMPLE_LINEAR, GPUDL_SAMPLE_ALIGN_CORNERS, &odd),
                *c = resize(k, builder_reshape(&k->b, k->x, "0x16x-1"), GPUDL_SAMPLE_LINEAR, GPUDL_SAMPLE_HALF_PIXEL,
                            &line),
                *d = resize(k, builder_reshape(&k->b, k->x, "0x4x4x8x8"), GPUDL_SAMPLE_LINEAR,
                            GPUDL_SAMPLE_PYTORCH_HALF_PIXEL, &room);

    /* into the concatenation, beside channels that are no whole vectors */
    a = join(k, a, resize(k, k->input, GPUDL_SAMPLE_LINEAR, GPUDL_SAMPLE_HALF_PIXEL, &twice), 1);
    return join(k, join(k, flat(k, a), flat(k, b), 1), join(k, flat(k, c), flat(k, d), 1), 1);
}

static GpudlTensor *resize_cubic(Case *k)
{
    static const GpudlShape larger = {4, {0, 0, 19, 13}}, smaller = {4, {0, 0, 3, 5}}, channels = {4, {0, 23, 0, 0}};
    GpudlTensor *a = resize(k, k->x, GPUDL_SAMPLE_CUBIC, GPUDL_SAMPLE_HALF_PIXEL, &larger),
                *b = resize(k, k->x, GPUDL_SAMPLE_CUBIC, GPUDL_SAMPLE_ASYMMETRIC, &smaller),
                *c = resize(k, k->x, GPUDL_SAMPLE_CUBIC, GPUDL_SAMPLE_HALF_PIXEL_SYMMETRIC, &channels),
                *d = resize(k, builder_transpose(&k->b, k->x, "0x2x3x1"), GPUDL_SAMPLE_LINEAR,
                            GPUDL_SAMPLE_TF_HALF_PIXEL, &smaller);

    b->producer->attrs.resize.antialias = d->producer->attrs.resize.antialias = 1;
    a->producer->attrs.resize.exclude_outside = 1;
    return join(k, join(k, flat(k, a), flat(k, b), 1), join(k, flat(k, c), flat(k, d), 1), 1);
}

/* ---- along dimensions -------------------------------------------------------------------------------------------- */

static GpudlTensor *lrn(Case *k, GpudlTensor *x, gint size)
{
    GpudlTensor *y = node(k, GPUDL_OP_LRN, x, NULL);

    y->producer->attrs.lrn = (GpudlLrnAttrs){size, 0.3f, 0.75f, 1.5f};
    return y;
}

static GpudlTensor *normalise(Case *k)
{
    GpudlTensor *a = lrn(k, k->x, 5), *b = lrn(k, builder_reshape(&k->b, k->x, "0x16x-1"), 4),
                *c = lrn(k, builder_reshape(&k->b, k->x, "0x4x4x8x8"), 3);

    return join(k, flat(k, a), join(k, flat(k, b), flat(k, c), 1), 1);
}

static GpudlTensor *batch_norm(Case *k, GpudlTensor *x, GpudlTensor *const *parameters)
{
    GpudlTensor *inputs[] = {x, parameters[0], parameters[1], parameters[2], parameters[3]};
    GpudlNode *node = gpudl_graph_add_node(k->b.graph, GPUDL_OP_BATCH_NORM, "norm", inputs, 5, NULL, 1);

    node->attrs.batch_norm.epsilon = 1e-2f;
    return node->outputs[0];
}

/* By the input's own mean and the like: of one frame. And in float64. */
static GpudlTensor *norm_made(Case *k)
{
    GpudlTensor *mean = node(k, GPUDL_OP_GLOBAL_AVERAGE_POOL, k->x, NULL), *squares, *parameters[4], *y;

    mean = builder_reshape(&k->b, mean, "16");
    squares =
        builder_reshape(&k->b, node(k, GPUDL_OP_GLOBAL_AVERAGE_POOL, node(k, GPUDL_OP_MUL, k->x, k->x), NULL), "16");
    parameters[0] = squares;
    parameters[1] = node(k, GPUDL_OP_MUL, mean, builder_random(&k->b, "16", -1, 1));
    parameters[2] = mean;
    parameters[3] = node(k, GPUDL_OP_ADD, squares, builder_random(&k->b, "16", 0.2, 2));
    y = batch_norm(k, k->x, parameters);
    for (gint i = 0; i < 4; i++)
        parameters[i] = cast(k, parameters[i], GPUDL_DTYPE_F64);
    return join(k, flat(k, y), as_float(k, batch_norm(k, cast(k, k->x, GPUDL_DTYPE_F64), parameters)), 1);
}

/* Groups of several channels of as many dimensions as there can be. */
static GpudlTensor *norm_of(Case *k, GpudlTensor *x, const gchar *channels, gint32 groups)
{
    GpudlTensor *y = node3(k, GPUDL_OP_GROUP_NORM, x, builder_random(&k->b, channels, 0.5, 1.5),
                           builder_random(&k->b, channels, -1, 1));

    y->producer->attrs.norm = (GpudlNormAttrs){.groups = groups, .epsilon = 1e-3f};
    return flat(k, y);
}

/* The second of values that are groups of their own: what is left is the bias. */
static GpudlTensor *norm_of_groups(Case *k)
{
    GpudlTensor *means = flat(k, node(k, GPUDL_OP_GLOBAL_AVERAGE_POOL, k->x, NULL));

    return join(k, norm_of(k, builder_reshape(&k->b, k->x, "0x8x2x2x4x8"), "8", 2), norm_of(k, means, "16", 16), 1);
}

static GpudlTensor *softmaxes(Case *k, GpudlOp op)
{
    GpudlTensor *a = along(k, op, k->x, NULL, 1), *b = along(k, op, k->x, NULL, 2), *c = along(k, op, k->x, NULL, 3),
                *d = along(k, op, k->x, NULL, 2);

    d->producer->attrs.axis.flatten = 1;
    return join(k, join(k, flat(k, a), flat(k, b), 1), join(k, flat(k, c), flat(k, d), 1), 1);
}

static GpudlTensor *softmax(Case *k)
{
    return softmaxes(k, GPUDL_OP_SOFTMAX);
}

static GpudlTensor *log_softmax(Case *k)
{
    return softmaxes(k, GPUDL_OP_LOG_SOFTMAX);
}

/* ---- element by element ------------------------------------------------------------------------------------------ */

static GpudlTensor *flags(Case *k)
{
    GpudlTensor *a = mask(k, GPUDL_OP_GREATER),
                *b = builder_transpose(&k->b, mask(k, GPUDL_OP_GREATER_OR_EQUAL), "0x1x3x2"),
                *c = node(k, GPUDL_OP_AND, a, node(k, GPUDL_OP_NOT, b, NULL));

    c = node(k, GPUDL_OP_XOR, c, node(k, GPUDL_OP_OR, b, mask(k, GPUDL_OP_LESS)));
    return as_float(k, node(k, GPUDL_OP_EQUAL, c, a));
}

static GpudlTensor *where(Case *k)
{
    static const GpudlSliceAttrs three = {4, {0, 2, 0, 0}, {G_MAXINT64, 5, G_MAXINT64, G_MAXINT64}, {1, 1, 1, 1}};
    GpudlTensor *x = slice(k, k->x, &three),
                *y = node3(k, GPUDL_OP_WHERE, mask(k, GPUDL_OP_LESS), x, builder_scalar(&k->b, -3));
    GpudlTensor *z = node3(k, GPUDL_OP_WHERE, mask(k, GPUDL_OP_GREATER), builder_random(&k->b, "3x1x8", -1, 1), x);

    return join(k, flat(k, y), flat(k, z), 1);
}

static GpudlTensor *arithmetic(Case *k, GpudlDType dtype)
{
    GpudlTensor *x = integers(k, dtype), *y = node(k, GPUDL_OP_MOD, x, number(k, 3, dtype)), *z;

    z = node(k, GPUDL_OP_DIV, node(k, GPUDL_OP_NEG, x, NULL), number(k, 2, dtype));
    z = node(k, GPUDL_OP_MAX, z, node(k, GPUDL_OP_POW, y, number(k, 2, dtype)));
    z = node(k, GPUDL_OP_MIN, z, node(k, GPUDL_OP_ABS, x, NULL));
    z = node(k, GPUDL_OP_MIN, node(k, GPUDL_OP_SUB, z, y), number(k, 1, dtype));
    return join(k, as_float(k, z), as_float(k, node(k, GPUDL_OP_LESS, x, y)), 1);
}

static GpudlTensor *arithmetic8(Case *k)
{
    return arithmetic(k, GPUDL_DTYPE_I8);
}

static GpudlTensor *arithmetic64(Case *k)
{
    return arithmetic(k, GPUDL_DTYPE_I64);
}

static GpudlTensor *reduce_integers(Case *k)
{
    GpudlTensor *x = integers(k, GPUDL_DTYPE_I32), *y = node(k, GPUDL_OP_REDUCE_SUM, x, NULL),
                *z = node(k, GPUDL_OP_REDUCE_MAX, x, NULL);

    y->producer->attrs.reduce = (GpudlReduceAttrs){1, {1}, 0};
    z->producer->attrs.reduce = (GpudlReduceAttrs){2, {3, 2}, 1};
    return join(k, as_float(k, y), as_float(k, z), 1);
}

/* Never near a multiple of the divisor but 0, where the sign alone counts. */
static GpudlTensor *modulo(Case *k)
{
    GpudlTensor *a = node(k, GPUDL_OP_MOD, k->input, builder_scalar(&k->b, 4)),
                *b = node(k, GPUDL_OP_MOD, k->input, builder_scalar(&k->b, -4));

    b->producer->attrs.binary.fmod = 1;
    return join(k, flat(k, a), flat(k, b), 1);
}

static GpudlTensor *doubles(Case *k)
{
    GpudlTensor *x = node(k, GPUDL_OP_MUL, cast(k, k->x, GPUDL_DTYPE_F64), number(k, 0.7, GPUDL_DTYPE_F64));

    return as_float(k, node(k, GPUDL_OP_EXP, x, NULL));
}

/* ---- windows ----------------------------------------------------------------------------------------------------- */

static void set_window(GpudlTensor *y, gint n, gint kernel, gint stride, gint before, gint behind)
{
    GpudlWindowAttrs *w = &y->producer->attrs.window;

    w->n_spatial = n;
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        const gboolean is_there = i >= GPUDL_MAX_SPATIAL - n;

        w->kernel[i] = is_there ? kernel : 1;
        w->stride[i] = is_there ? stride : 1;
        w->dilation[i] = 1;
        w->pad_begin[i] = is_there ? before : 0;
        w->pad_end[i] = is_there ? behind : 0;
    }
}

static GpudlTensor *pool(Case *k, GpudlOp op, GpudlTensor *x, gint n, gint kernel, gint stride, gint pad)
{
    GpudlTensor *y = node(k, op, x, NULL);

    set_window(y, n, kernel, stride, pad, pad);
    return y;
}

static GpudlTensor *conv(Case *k, GpudlTensor *x, gint n, const gchar *weights, gint group)
{
    GpudlTensor *y =
        node3(k, GPUDL_OP_CONV, x, builder_random(&k->b, weights, -0.3, 0.3), builder_random(&k->b, "6", -1, 1));

    set_window(y, n, 3, 2, 1, 0);
    y->producer->attrs.window.group = group;
    y->producer->attrs.window.act = (GpudlAct){GPUDL_ACT_RELU, 0, 0};
    return y;
}

static GpudlTensor *windows1(Case *k)
{
    GpudlTensor *x = builder_reshape(&k->b, k->x, "0x16x-1"), *a = conv(k, x, 1, "6x8x3", 2),
                *b = pool(k, GPUDL_OP_MAX_POOL, x, 1, 3, 2, 1), *c = pool(k, GPUDL_OP_AVERAGE_POOL, x, 1, 4, 3, 1);

    c->producer->attrs.window.count_include_pad = 1;
    a = join(k, flat(k, a), flat(k, node(k, GPUDL_OP_GLOBAL_AVERAGE_POOL, a, NULL)), 1);
    return join(k, a, join(k, flat(k, b), flat(k, c), 1), 1);
}

static GpudlTensor *windows3(Case *k)
{
    GpudlTensor *x = builder_reshape(&k->b, k->x, "0x4x4x8x8"), *a = conv(k, x, 3, "6x4x3x3x3", 1),
                *b = pool(k, GPUDL_OP_MAX_POOL, x, 3, 2, 2, 0), *c = pool(k, GPUDL_OP_AVERAGE_POOL, x, 3, 3, 2, 1);

    a = join(k, flat(k, a), flat(k, node(k, GPUDL_OP_GLOBAL_MAX_POOL, a, NULL)), 1);
    return join(k, a, join(k, flat(k, b), flat(k, c), 1), 1);
}

/* Weights made of the input: of one frame. */
static GpudlTensor *weights_made(Case *k)
{
    GpudlTensor *w = builder_reshape(&k->b, k->input, "4x3x4x4"), *y = node(k, GPUDL_OP_CONV, k->input, w);

    set_window(y, 2, 4, 1, 1, 2);
    y->producer->attrs.window.group = 1;
    return flat(k, y);
}

/* Of integers: what is greatest is so in every precision. */
static GpudlTensor *maxima(Case *k)
{
    GpudlTensor *x = integers(k, GPUDL_DTYPE_I32), *inputs[] = {cast(k, x, GPUDL_DTYPE_F32)};
    GpudlNode *pools = gpudl_graph_add_node(k->b.graph, GPUDL_OP_MAX_POOL, "maxima", inputs, 1, NULL, 2);
    GpudlTensor *whole = pool(k, GPUDL_OP_MAX_POOL, x, 2, 3, 2, 1);

    set_window(pools->outputs[0], 2, 3, 2, 1, 1);
    return join(k, join(k, flat(k, pools->outputs[0]), as_float(k, pools->outputs[1]), 1), as_float(k, whole), 1);
}

/* What lies one below the other in another tensor is no picture to pools. */
static GpudlTensor *stacked(Case *k)
{
    GpudlTensor *a = builder_pool(&k->b, GPUDL_OP_MAX_POOL, k->x, 3, 1, 1),
                *b = builder_pool(&k->b, GPUDL_OP_AVERAGE_POOL, k->x, 2, 2, 0),
                *c = builder_conv(&k->b, k->x, 16, 16, 3, TRUE), *d = builder_conv(&k->b, k->x, 1, 16, 3, TRUE);
    GpudlTensor *g = node(k, GPUDL_OP_GLOBAL_AVERAGE_POOL, k->x, NULL);

    d->producer->attrs.window.group = 16;
    g = join(k, g, node(k, GPUDL_OP_GLOBAL_MAX_POOL, k->x, NULL), 2);
    a = join(k, join(k, a, c, 2), d, 2);
    return join(k, join(k, flat(k, a), flat(k, b), 1), flat(k, g), 1);
}

/* A convolution of the input at stride 2. */
static GpudlTensor *halved(Case *k, gint64 channels, gint taps)
{
    GpudlTensor *y = builder_conv(&k->b, k->input, 3, channels, taps, TRUE);

    y->producer->attrs.window.stride[1] = y->producer->attrs.window.stride[2] = 2;
    return y;
}

/* What networks begin with: maxima of such a convolution, of 7 x 7 and of 3 x 3; then what looks like them, but is read
 * twice, of averages, of other windows and of a convolution of more channels. */
static GpudlTensor *stems(Case *k)
{
    GpudlTensor *x = builder_act(&k->b, halved(k, 24, 7), GPUDL_ACT_RELU, 0, 0), *y, *z;

    y = flat(k, builder_pool(&k->b, GPUDL_OP_MAX_POOL, x, 3, 2, 1));
    x = halved(k, 8, 3);
    y = join(k, y, flat(k, builder_pool(&k->b, GPUDL_OP_MAX_POOL, x, 3, 2, 0)), 1);
    x = builder_act(&k->b, halved(k, 8, 3), GPUDL_ACT_SILU, 0, 0);
    z = flat(k, builder_pool(&k->b, GPUDL_OP_MAX_POOL, x, 3, 2, 1));
    y = join(k, y, join(k, flat(k, x), z, 1), 1);
    x = halved(k, 8, 7);
    y = join(k, y, flat(k, builder_pool(&k->b, GPUDL_OP_AVERAGE_POOL, x, 3, 2, 1)), 1);
    x = halved(k, 16, 3);
    y = join(k, y, flat(k, builder_pool(&k->b, GPUDL_OP_MAX_POOL, x, 2, 2, 0)), 1);
    x = builder_conv(&k->b, k->x, 16, 8, 3, TRUE);
    x->producer->attrs.window.stride[1] = x->producer->attrs.window.stride[2] = 2;
    return join(k, y, flat(k, builder_pool(&k->b, GPUDL_OP_MAX_POOL, x, 3, 2, 1)), 1);
}

/* ---- products ---------------------------------------------------------------------------------------------------- */

/* softmax(q k') v, of 2 heads */
static GpudlTensor *attention(Case *k)
{
    GpudlTensor *x = builder_transpose(&k->b, builder_reshape(&k->b, k->x, "0x2x8x64"), "0x1x3x2");
    GpudlTensor *q = node(k, GPUDL_OP_MATMUL, x, builder_random(&k->b, "8x5", -0.5, 0.5)),
                *keys = node(k, GPUDL_OP_MATMUL, x, builder_random(&k->b, "8x5", -0.5, 0.5)), *y;

    y = node(k, GPUDL_OP_MATMUL, q, builder_transpose(&k->b, keys, "0x1x3x2"));
    y = along(k, GPUDL_OP_SOFTMAX, y, NULL, 3);
    return flat(k, builder_transpose(&k->b, node(k, GPUDL_OP_MATMUL, y, x), "0x2x1x3"));
}

/* Batches of constant matrices, and vectors. */
static GpudlTensor *products(Case *k)
{
    GpudlTensor *a = node(k, GPUDL_OP_MATMUL, k->x, builder_random(&k->b, "16x8x3", -0.5, 0.5)),
                *b = node(k, GPUDL_OP_MATMUL, k->x, builder_random(&k->b, "8", -0.5, 0.5)),
                *c = node(k, GPUDL_OP_MATMUL, builder_random(&k->b, "8", -0.5, 0.5), k->x),
                *d = node(k, GPUDL_OP_MATMUL, builder_random(&k->b, "5x8", -0.5, 0.5), k->x);

    return join(k, join(k, flat(k, a), flat(k, b), 1), join(k, flat(k, c), flat(k, d), 1), 1);
}

static GpudlTensor *integer_product(Case *k)
{
    GpudlTensor *x = integers(k, GPUDL_DTYPE_I32);

    return as_float(k, node(k, GPUDL_OP_MATMUL, x, builder_transpose(&k->b, x, "0x1x3x2")));
}

/* Both made on the device, the first transposed, a full matrix added: of one frame. */
static GpudlTensor *transposed(Case *k)
{
    GpudlTensor *a = builder_reshape(&k->b, k->x, "32x32"),
                *y = node3(k, GPUDL_OP_GEMM, a, a, builder_random(&k->b, "32x32", -1, 1));

    y->producer->attrs.gemm = (GpudlGemmAttrs){.trans_a = 1, .alpha = 0.5f, .beta = 2, .act = {GPUDL_ACT_RELU, 0, 0}};
    return builder_reshape(&k->b, y, "1x-1");
}

/* ---- all --------------------------------------------------------------------------------------------------------- */

static const struct {
    const gchar *name;
    GpudlTensor *(*make)(Case *);
    GpudlTensor *(*make_of)(Builder *b, GpudlTensor *x); /* where make is NULL */
} cases[] = {{"pad-constant", pad_constant, NULL},
             {"pad-reflect", pad_reflect, NULL},
             {"pad-edge", pad_edge, NULL},
             {"pad-wrap", pad_wrap, NULL},
             {"resize-nearest", resize_nearest, NULL},
             {"resize-linear", resize_linear, NULL},
             {"resize-cubic", resize_cubic, NULL},
             {"lrn", normalise, NULL},
             {"norm-made", norm_made, NULL},
             {"norm-of-groups", norm_of_groups, NULL},
             {"softmax", softmax, NULL},
             {"log-softmax", log_softmax, NULL},
             {"gather", gather, NULL},
             {"gather-table", gather_table, NULL},
             {"dense", NULL, nets_dense},
             {"one-channel", NULL, nets_one_channel},
             {"depthwise-of-half", NULL, nets_depthwise_of_half},
             {"shuffled", NULL, nets_shuffled},
             {"shuffled-often", NULL, nets_shuffled_often},
             {"shuffled-twice", NULL, nets_shuffled_twice},
             {"slice-backwards", slice_backwards, NULL},
             {"slice-of-nothing", slice_of_nothing, NULL},
             {"move-integers", move_integers, NULL},
             {"expand-flags", expand_flags, NULL},
             {"flags", flags, NULL},
             {"where", where, NULL},
             {"arithmetic-int8", arithmetic8, NULL},
             {"arithmetic-int64", arithmetic64, NULL},
             {"reduce-integers", reduce_integers, NULL},
             {"modulo", modulo, NULL},
             {"doubles", doubles, NULL},
             {"windows-1d", windows1, NULL},
             {"windows-3d", windows3, NULL},
             {"weights-made", weights_made, NULL},
             {"maxima", maxima, NULL},
             {"stacked", stacked, NULL},
             {"stems", stems, NULL},
             {"attention", attention, NULL},
             {"products", products, NULL},
             {"integer-product", integer_product, NULL},
             {"transposed", transposed, NULL},
             {"activations", NULL, nets_activations},
             {"gates", NULL, nets_gates},
             {"blocks", NULL, nets_blocks},
             {"blocks-cropped", NULL, nets_cropped_blocks},
             {"means", NULL, nets_means},
             {"fires", NULL, nets_fires},
             {"turned", NULL, nets_turned}};

GpudlModel *nets_operator(guint i, const gchar **name, gchar **text)
{
    Case k = {.b = builder_new()};
    g_autoptr(GError) error = NULL;
    GpudlModel *model = NULL;

    *name = i < G_N_ELEMENTS(cases) ? cases[i].name : NULL;
    if (*name != NULL) {
        k.input = builder_input(&k.b, "1x3x8x8");
        k.x = builder_act(&k.b, builder_conv(&k.b, k.input, 3, 16, 3, TRUE), GPUDL_ACT_TANH, 0, 0);
        builder_output(&k.b, cases[i].make != NULL ? cases[i].make(&k) : cases[i].make_of(&k.b, k.x));
        if (!gpudl_graph_sort(k.b.graph, &error) || !gpudl_graph_infer(k.b.graph, 1, &error) ||
            !gpudl_graph_prove_batch(k.b.graph, NULL, &error) || !gpudl_passes_run(k.b.graph, NULL, &error))
            g_error("net of %s: %s", *name, error->message);
        *text = graph_histogram(k.b.graph);
        model = gpudl_model_new(g_steal_pointer(&k.b.graph), "net", NULL, &error);
        if (model == NULL)
            g_error("net of %s: %s", *name, error->message);
    }
    if (k.b.graph != NULL)
        gpudl_graph_free(k.b.graph);
    g_rand_free(k.b.rand);
    return model;
}
