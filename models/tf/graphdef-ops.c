/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of operators, and what each becomes. */
#include <string.h>

#include "graphdef-internal.h"

const Tensorflow__AttrValue *graphdef_attr(const Tensorflow__NodeDef *proto, const gchar *name)
{
    for (gsize i = 0; i < proto->n_attr; i++)
        if (proto->attr[i]->value != NULL && g_strcmp0(proto->attr[i]->key, name) == 0)
            return proto->attr[i]->value;
    return NULL;
}

static const Tensorflow__NodeDef *proto_of(const TfNode *node)
{
    return ((const GraphdefNode *)node)->proto;
}

static gint64 attr_int(const TfNode *node, const gchar *name, gint64 fallback)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(proto_of(node), name);

    return attr != NULL && attr->has_i ? attr->i : fallback;
}

static gboolean attr_bool(const TfNode *node, const gchar *name, gboolean fallback)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(proto_of(node), name);

    return attr != NULL && attr->has_b ? attr->b : fallback;
}

static float attr_float(const TfNode *node, const gchar *name, float fallback)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(proto_of(node), name);

    return attr != NULL && attr->has_f ? attr->f : fallback;
}

static gboolean attr_is(const TfNode *node, const gchar *name, const gchar *text)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(proto_of(node), name);

    return attr != NULL && attr->has_s && attr->s.len == strlen(text) && memcmp(attr->s.data, text, attr->s.len) == 0;
}

/* ---- windows and products ---------------------------------------------------------------------------------------- */

/* Height and width of a list of four; absent: 1. */
static gboolean two_of(TfNode *node, const gchar *name, gboolean channels_first, gint64 two[2], GError **error)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(proto_of(node), name);
    const gint first = channels_first ? 2 : 1;

    two[0] = two[1] = 1;
    if (attr == NULL || attr->list == NULL || attr->list->n_i == 0)
        return TRUE;
    if (attr->list->n_i != 4 || attr->list->i[0] != 1 || attr->list->i[channels_first ? 1 : 3] != 1)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "its %s go over frames or channels, expected height and width alone", name);
    two[0] = attr->list->i[first];
    two[1] = attr->list->i[first + 1];
    return TRUE;
}

static gboolean read_window(TfNode *node, TfWindow *window, GError **error)
{
    const Tensorflow__AttrValue *pads = graphdef_attr(proto_of(node), "explicit_paddings");

    *window = (TfWindow){.channels_first = attr_is(node, "data_format", "NCHW")};
    if (!two_of(node, "strides", window->channels_first, window->stride, error) ||
        !two_of(node, "dilations", window->channels_first, window->dilation, error))
        return FALSE;
    if (attr_is(node, "padding", "SAME")) {
        window->padding = TF_PADDING_SAME;
    } else if (attr_is(node, "padding", "VALID")) {
        window->padding = TF_PADDING_VALID;
    } else if (attr_is(node, "padding", "EXPLICIT") && pads != NULL && pads->list != NULL && pads->list->n_i == 8) {
        window->padding = TF_PADDING_EXPLICIT;
        for (gint i = 0; i < 2; i++) {
            window->begin[i] = pads->list->i[2 * ((window->channels_first ? 2 : 1) + i)];
            window->end[i] = pads->list->i[2 * ((window->channels_first ? 2 : 1) + i) + 1];
        }
    } else {
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "its padding is not SAME, VALID or EXPLICIT");
    }
    return TRUE;
}

/* Weights: height, width, input channels of a group, output channels. */
static gboolean map_conv(TfNode *node, GError **error)
{
    static const gint64 perm[] = {3, 2, 0, 1};
    const GpudlShape *x = &node->inputs[0]->shape, *w = &node->inputs[1]->shape;
    GpudlTensor *weights;
    gint64 channels;
    TfWindow window;

    if (x->rank != 4 || w->rank != 4)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "ranks %d and %d, expected 4", x->rank, w->rank);
    if (!read_window(node, &window, error))
        return FALSE;
    channels = x->dims[window.channels_first ? 1 : 3];
    if (w->dims[2] < 1 || channels % w->dims[2] != 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GINT64_FORMAT " channels for weights of %" G_GINT64_FORMAT, channels, (gint64)w->dims[2]);
    window.kernel[0] = w->dims[0];
    window.kernel[1] = w->dims[1];
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    return weights != NULL &&
           tf_done(node, tf_conv(node->build, node->inputs[0], weights, NULL, &window, channels / w->dims[2], error));
}

/* Weights: height, width, channels, outputs of each. */
static gboolean map_depthwise(TfNode *node, GError **error)
{
    static const gint64 perm[] = {2, 3, 0, 1};
    const GpudlShape *x = &node->inputs[0]->shape, *w = &node->inputs[1]->shape;
    GpudlTensor *weights;
    TfWindow window;

    if (x->rank != 4 || w->rank != 4)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "ranks %d and %d, expected 4", x->rank, w->rank);
    if (!read_window(node, &window, error))
        return FALSE;
    window.kernel[0] = w->dims[0];
    window.kernel[1] = w->dims[1];
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    if (weights != NULL) {
        const gint64 dims[] = {-1, 1, w->dims[0], w->dims[1]};

        weights = tf_reshape(node->build, weights, dims, 4, error);
    }
    return weights != NULL && tf_done(node, tf_conv(node->build, node->inputs[0], weights, NULL, &window,
                                                    x->dims[window.channels_first ? 1 : 3], error));
}

static gboolean map_pool(TfNode *node, GError **error)
{
    TfWindow window;

    return read_window(node, &window, error) && two_of(node, "ksize", window.channels_first, window.kernel, error) &&
           tf_done(node, tf_pool(node->build, node->row->op, node->inputs[0], &window, error));
}

static gboolean map_bias_add(TfNode *node, GError **error)
{
    const gint64 column[] = {-1, 1, 1};
    GpudlTensor *bias = node->inputs[1];

    if (attr_is(node, "data_format", "NCHW") && node->inputs[0]->shape.rank == 4 &&
        (bias = tf_reshape(node->build, bias, column, 3, error)) == NULL)
        return FALSE;
    return tf_done(node, tf_binary(node->build, GPUDL_OP_ADD, node->inputs[0], bias, error));
}

static gboolean map_batch_norm(TfNode *node, GError **error)
{
    if (attr_bool(node, "is_training", TRUE))
        return tf_fail(
            node->build, GPUDL_ERROR_UNSUPPORTED, error,
            "it normalises by the batch, as in training. Freeze the graph for inference (is_training=False)");
    return tf_done(node, tf_batch_norm(node->build, node->inputs, attr_float(node, "epsilon", 1e-4f),
                                       attr_is(node, "data_format", "NCHW"), error));
}

/* MatMul calls it transpose, BatchMatMul adj. */
static gboolean map_matmul(TfNode *node, GError **error)
{
    return tf_done(node, tf_matmul(node->build, node->inputs[0], node->inputs[1],
                                   attr_bool(node, "transpose_a", FALSE) || attr_bool(node, "adj_x", FALSE),
                                   attr_bool(node, "transpose_b", FALSE) || attr_bool(node, "adj_y", FALSE), error));
}

/* ---- element by element ------------------------------------------------------------------------------------------ */

static gboolean map_const(TfNode *node, GError **error)
{
    const Tensorflow__AttrValue *value = graphdef_attr(proto_of(node), "value");

    if (value == NULL || value->tensor == NULL)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "a constant without a value");
    return tf_done(node, graphdef_tensor(node->build, value->tensor, error));
}

static gboolean map_leaky(TfNode *node, GError **error)
{
    return tf_done(node, tf_activation(node->build, GPUDL_ACT_LEAKY_RELU, attr_float(node, "alpha", .2f), 0,
                                       node->inputs[0], error));
}

static gboolean map_selu(TfNode *node, GError **error)
{
    GpudlAttrs attrs = {.unary.act = {.alpha = 1.6732632423543772f}};
    GpudlTensor *y = tf_emit(node->build, GPUDL_OP_ELU, &attrs, node->inputs, 1, error), *scale;

    if (y == NULL)
        return FALSE;
    scale = tf_scalar(node->build, y->dtype, 1.0507009873554805, error);
    return scale != NULL && tf_done(node, tf_binary(node->build, GPUDL_OP_MUL, y, scale, error));
}

/* log(1 + exp(x)) = max(x, 0) + log(1 + exp(-|x|)) */
static gboolean map_softplus(TfNode *node, GError **error)
{
    TfBuild *build = node->build;
    GpudlTensor *x = node->inputs[0], *t, *one, *positive;

    if ((t = tf_unary(build, GPUDL_OP_ABS, x, error)) == NULL ||
        (t = tf_unary(build, GPUDL_OP_NEG, t, error)) == NULL ||
        (t = tf_unary(build, GPUDL_OP_EXP, t, error)) == NULL || (one = tf_scalar(build, x->dtype, 1, error)) == NULL ||
        (t = tf_binary(build, GPUDL_OP_ADD, t, one, error)) == NULL ||
        (t = tf_unary(build, GPUDL_OP_LOG, t, error)) == NULL ||
        (positive = tf_activation(build, GPUDL_ACT_RELU, 0, 0, x, error)) == NULL)
        return FALSE;
    return tf_done(node, tf_binary(build, GPUDL_OP_ADD, t, positive, error));
}

static gboolean map_cast(TfNode *node, GError **error)
{
    const Tensorflow__AttrValue *to = graphdef_attr(proto_of(node), "DstT");
    const GpudlDType dtype = graphdef_dtype(to != NULL ? to->type : 0);

    if (dtype == GPUDL_DTYPE_NONE)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a cast to another type");
    return tf_done(node, tf_cast(node->build, node->inputs[0], dtype, error));
}

/* ---- along axes -------------------------------------------------------------------------------------------------- */

static gboolean map_softmax(TfNode *node, GError **error)
{
    return tf_done(node, tf_softmax(node->build, node->row->op, node->inputs[0], 1, error));
}

static gboolean map_reduce(TfNode *node, GError **error)
{
    return tf_map_reduce(node, attr_bool(node, "keep_dims", FALSE), error);
}

/* ---- data movement ----------------------------------------------------------------------------------------------- */

static gboolean map_squeeze(TfNode *node, GError **error)
{
    const Tensorflow__AttrValue *axes = graphdef_attr(proto_of(node), "squeeze_dims");
    const gsize n = axes != NULL && axes->list != NULL ? axes->list->n_i : 0;

    return tf_done(node, tf_squeeze(node->build, node->inputs[0], n > 0 ? axes->list->i : NULL, n, error));
}

/* The axis comes last. */
static gboolean map_concat(TfNode *node, GError **error)
{
    gint64 axis;

    return tf_int(node->build, node->inputs[node->n_inputs - 1], "axis", &axis, error) &&
           tf_done(node, tf_concat(node->build, node->inputs, node->n_inputs - 1, axis, error));
}

static gboolean map_pack(TfNode *node, GError **error)
{
    return tf_done(node, tf_pack(node->build, node->inputs, node->n_inputs, attr_int(node, "axis", 0), error));
}

/* How many outputs it has. */
static gboolean pieces(const TfNode *node, const gchar *name, guint *n, GError **error)
{
    const gint64 value = attr_int(node, name, 0);

    *n = (guint)CLAMP(value, 0, GPUDL_MAX_OUTPUTS);
    return (value >= 1 && value <= GPUDL_MAX_OUTPUTS) ||
           tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "%" G_GINT64_FORMAT " pieces", value);
}

static gboolean map_unpack(TfNode *node, GError **error)
{
    guint n;

    return pieces(node, "num", &n, error) &&
           tf_unpack(node->build, node->inputs[0], attr_int(node, "axis", 0), n, node->outputs, error);
}

static gboolean map_split(TfNode *node, GError **error)
{
    guint n;

    return pieces(node, "num_split", &n, error) && tf_map_split(node, n, error);
}

static gboolean map_strided_slice(TfNode *node, GError **error)
{
    const TfMasks masks = {.begin = attr_int(node, "begin_mask", 0),
                           .end = attr_int(node, "end_mask", 0),
                           .ellipsis = attr_int(node, "ellipsis_mask", 0),
                           .new_axis = attr_int(node, "new_axis_mask", 0),
                           .shrink_axis = attr_int(node, "shrink_axis_mask", 0)};

    return tf_map_strided_slice(node, &masks, FALSE, error);
}

static gboolean map_mirror_pad(TfNode *node, GError **error)
{
    return tf_map_mirror_pad(node, attr_is(node, "mode", "SYMMETRIC"), error);
}

static gboolean map_shape(TfNode *node, GError **error)
{
    const Tensorflow__AttrValue *type = graphdef_attr(proto_of(node), "out_type");

    return tf_map_shape(node, graphdef_dtype(type != NULL ? type->type : 0), error);
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

static const TfOp table[] = {
    {"Abs", 1, 1, tf_map_unary, GPUDL_OP_ABS},
    {"Add", 2, 2, tf_map_binary, GPUDL_OP_ADD},
    {"AddN", 1, TF_MANY, tf_map_add_n},
    {"AddV2", 2, 2, tf_map_binary, GPUDL_OP_ADD},
    {"ArgMax", 2, 2, tf_map_arg_max},
    {"AvgPool", 1, 1, map_pool, GPUDL_OP_AVERAGE_POOL},
    {"BatchMatMul", 2, 2, map_matmul},
    {"BatchMatMulV2", 2, 2, map_matmul},
    {"BiasAdd", 2, 2, map_bias_add},
    {"Cast", 1, 1, map_cast},
    {"ConcatV2", 2, TF_MANY, map_concat},
    {"Const", 0, 0, map_const},
    {"Conv2D", 2, 2, map_conv},
    {"DepthwiseConv2dNative", 2, 2, map_depthwise},
    {"Elu", 1, 1, tf_map_elu},
    {"Exp", 1, 1, tf_map_unary, GPUDL_OP_EXP},
    {"ExpandDims", 2, 2, tf_map_expand_dims},
    {"FusedBatchNorm", 5, 5, map_batch_norm},
    {"FusedBatchNormV2", 5, 5, map_batch_norm},
    {"FusedBatchNormV3", 5, 5, map_batch_norm},
    {"Identity", 1, 1, tf_map_identity},
    {"LeakyRelu", 1, 1, map_leaky},
    {"Log", 1, 1, tf_map_unary, GPUDL_OP_LOG},
    {"LogSoftmax", 1, 1, map_softmax, GPUDL_OP_LOG_SOFTMAX},
    {"MatMul", 2, 2, map_matmul},
    {"Max", 2, 2, map_reduce, GPUDL_OP_REDUCE_MAX},
    {"MaxPool", 1, 1, map_pool, GPUDL_OP_MAX_POOL},
    {"Maximum", 2, 2, tf_map_binary, GPUDL_OP_MAX},
    {"Mean", 2, 2, map_reduce, GPUDL_OP_REDUCE_MEAN},
    {"Min", 2, 2, map_reduce, GPUDL_OP_REDUCE_MIN},
    {"Minimum", 2, 2, tf_map_binary, GPUDL_OP_MIN},
    {"MirrorPad", 2, 2, map_mirror_pad},
    {"Mul", 2, 2, tf_map_binary, GPUDL_OP_MUL},
    {"Neg", 1, 1, tf_map_unary, GPUDL_OP_NEG},
    {"Pack", 1, TF_MANY, map_pack},
    {"Pad", 2, 2, tf_map_pad},
    {"PadV2", 3, 3, tf_map_pad},
    {"PlaceholderWithDefault", 1, 1, tf_map_identity},
    {"Pow", 2, 2, tf_map_binary, GPUDL_OP_POW},
    {"RealDiv", 2, 2, tf_map_binary, GPUDL_OP_DIV},
    {"Relu", 1, 1, tf_map_act, .act = GPUDL_ACT_RELU},
    {"Relu6", 1, 1, tf_map_act, .act = GPUDL_ACT_CLIP, .alpha = 0, .beta = 6},
    {"Reshape", 2, 2, tf_map_reshape},
    {"Rsqrt", 1, 1, tf_map_rsqrt},
    {"Selu", 1, 1, map_selu},
    {"Shape", 1, 1, map_shape},
    {"Sigmoid", 1, 1, tf_map_act, .act = GPUDL_ACT_SIGMOID},
    {"Slice", 3, 3, tf_map_slice},
    {"Softmax", 1, 1, map_softmax, GPUDL_OP_SOFTMAX},
    {"Softplus", 1, 1, map_softplus},
    {"Split", 2, 2, map_split},
    {"Sqrt", 1, 1, tf_map_unary, GPUDL_OP_SQRT},
    {"Square", 1, 1, tf_map_square},
    {"SquaredDifference", 2, 2, tf_map_squared_difference},
    {"Squeeze", 1, 1, map_squeeze},
    {"StopGradient", 1, 1, tf_map_identity},
    {"StridedSlice", 4, 4, map_strided_slice},
    {"Sub", 2, 2, tf_map_binary, GPUDL_OP_SUB},
    {"Sum", 2, 2, map_reduce, GPUDL_OP_REDUCE_SUM},
    {"Tanh", 1, 1, tf_map_act, .act = GPUDL_ACT_TANH},
    {"Transpose", 2, 2, tf_map_transpose},
    {"Unpack", 1, 1, map_unpack},
};

const TfOp *graphdef_op_find(const gchar *name)
{
    return tf_op_find(table, G_N_ELEMENTS(table), name);
}
