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

gint64 graphdef_int(const TfNode *node, const gchar *name, gint64 fallback)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(graphdef_proto(node), name);

    return attr != NULL && attr->has_i ? attr->i : fallback;
}

gboolean graphdef_bool(const TfNode *node, const gchar *name, gboolean fallback)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(graphdef_proto(node), name);

    return attr != NULL && attr->has_b ? attr->b : fallback;
}

float graphdef_float(const TfNode *node, const gchar *name, float fallback)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(graphdef_proto(node), name);

    return attr != NULL && attr->has_f ? attr->f : fallback;
}

gboolean graphdef_is(const TfNode *node, const gchar *name, const gchar *text)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(graphdef_proto(node), name);

    return attr != NULL && attr->has_s && attr->s.len == strlen(text) && memcmp(attr->s.data, text, attr->s.len) == 0;
}

/* ---- element by element ------------------------------------------------------------------------------------------ */

static gboolean map_const(TfNode *node, GError **error)
{
    const Tensorflow__AttrValue *value = graphdef_attr(graphdef_proto(node), "value");

    if (value == NULL || value->tensor == NULL)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "a constant without a value");
    return tf_done(node, graphdef_tensor(node->build, value->tensor, error));
}

static gboolean map_leaky(TfNode *node, GError **error)
{
    return tf_done(node, tf_activation(node->build, GPUDL_ACT_LEAKY_RELU, graphdef_float(node, "alpha", .2f), 0,
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
    const Tensorflow__AttrValue *to = graphdef_attr(graphdef_proto(node), "DstT");
    const GpudlDType dtype = graphdef_dtype(to != NULL ? to->type : 0);

    if (dtype == GPUDL_DTYPE_NONE)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a cast to another type");
    return tf_done(node, tf_cast(node->build, node->inputs[0], dtype, error));
}

/* 1 - erf(x) */
static gboolean map_erfc(TfNode *node, GError **error)
{
    GpudlTensor *y = tf_unary(node->build, GPUDL_OP_ERF, node->inputs[0], error), *one;

    return y != NULL && (one = tf_scalar(node->build, y->dtype, 1, error)) != NULL &&
           tf_done(node, tf_binary(node->build, GPUDL_OP_SUB, one, y, error));
}

static gboolean map_softsign(TfNode *node, GError **error)
{
    TfBuild *build = node->build;
    GpudlTensor *x = node->inputs[0], *t = tf_unary(build, GPUDL_OP_ABS, x, error), *one;

    return t != NULL && (one = tf_scalar(build, x->dtype, 1, error)) != NULL &&
           (t = tf_binary(build, GPUDL_OP_ADD, t, one, error)) != NULL &&
           tf_done(node, tf_binary(build, GPUDL_OP_DIV, x, t, error));
}

/* Each output is the input of its number. */
static gboolean map_identity_n(TfNode *node, GError **error)
{
    if (node->n_inputs > GPUDL_MAX_OUTPUTS)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "%u inputs, at most %d are taken", node->n_inputs,
                       GPUDL_MAX_OUTPUTS);
    for (guint i = 0; i < node->n_inputs; i++)
        node->outputs[i] = node->inputs[i];
    return TRUE;
}

/* The range is in attributes, or in inputs. */
static gboolean map_fake_quant(TfNode *node, GError **error)
{
    double low = (double)graphdef_float(node, "min", -6), high = (double)graphdef_float(node, "max", 6);

    if (node->n_inputs == 3 && (!tf_number(node->build, node->inputs[1], "min", &low, error) ||
                                !tf_number(node->build, node->inputs[2], "max", &high, error)))
        return FALSE;
    return tf_done(node, tf_fake_quant(node->build, node->inputs[0], low, high, graphdef_int(node, "num_bits", 8),
                                       graphdef_bool(node, "narrow_range", FALSE), error));
}

/* ---- along axes -------------------------------------------------------------------------------------------------- */

static gboolean map_softmax(TfNode *node, GError **error)
{
    return tf_done(node, tf_softmax(node->build, node->row->op, node->inputs[0], 1, error));
}

static gboolean map_reduce(TfNode *node, GError **error)
{
    return tf_map_reduce(node, graphdef_bool(node, "keep_dims", FALSE), error);
}

static gboolean map_response(TfNode *node, GError **error)
{
    return tf_done(node, tf_lrn(node->build, node->inputs[0], graphdef_int(node, "depth_radius", 5),
                                graphdef_float(node, "bias", 1), graphdef_float(node, "alpha", 1),
                                graphdef_float(node, "beta", .5f), error));
}

/* ---- data movement ----------------------------------------------------------------------------------------------- */

static gboolean map_squeeze(TfNode *node, GError **error)
{
    const Tensorflow__AttrValue *axes = graphdef_attr(graphdef_proto(node), "squeeze_dims");
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
    return tf_done(node, tf_pack(node->build, node->inputs, node->n_inputs, graphdef_int(node, "axis", 0), error));
}

/* How many outputs it has. */
static gboolean pieces(const TfNode *node, const gchar *name, guint *n, GError **error)
{
    const gint64 value = graphdef_int(node, name, 0);

    *n = (guint)CLAMP(value, 0, GPUDL_MAX_OUTPUTS);
    return (value >= 1 && value <= GPUDL_MAX_OUTPUTS) ||
           tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "%" G_GINT64_FORMAT " pieces", value);
}

static gboolean map_unpack(TfNode *node, GError **error)
{
    guint n;

    return pieces(node, "num", &n, error) &&
           tf_unpack(node->build, node->inputs[0], graphdef_int(node, "axis", 0), n, node->outputs, error);
}

static gboolean map_split(TfNode *node, GError **error)
{
    guint n;

    return pieces(node, "num_split", &n, error) && tf_map_split(node, n, error);
}

static gboolean map_strided_slice(TfNode *node, GError **error)
{
    const TfMasks masks = {.begin = graphdef_int(node, "begin_mask", 0),
                           .end = graphdef_int(node, "end_mask", 0),
                           .ellipsis = graphdef_int(node, "ellipsis_mask", 0),
                           .new_axis = graphdef_int(node, "new_axis_mask", 0),
                           .shrink_axis = graphdef_int(node, "shrink_axis_mask", 0)};

    return tf_map_strided_slice(node, &masks, FALSE, error);
}

static gboolean map_mirror_pad(TfNode *node, GError **error)
{
    return tf_map_mirror_pad(node, graphdef_is(node, "mode", "SYMMETRIC"), error);
}

static gboolean map_shape(TfNode *node, GError **error)
{
    const Tensorflow__AttrValue *type = graphdef_attr(graphdef_proto(node), "out_type");

    return tf_map_shape(node, graphdef_dtype(type != NULL ? type->type : 0), error);
}

/* The axis comes first. */
static gboolean map_old_concat(TfNode *node, GError **error)
{
    gint64 axis;

    return tf_int(node->build, node->inputs[0], "axis", &axis, error) &&
           tf_done(node, tf_concat(node->build, node->inputs + 1, node->n_inputs - 1, axis, error));
}

static gboolean map_split_v(TfNode *node, GError **error)
{
    guint n;

    return pieces(node, "num_split", &n, error) && tf_map_split_v(node, n, error);
}

/* GatherV2 has an axis. */
static gboolean map_gather(TfNode *node, GError **error)
{
    const gint64 batch = graphdef_int(node, "batch_dims", 0);
    gint64 axis = 0;

    if (batch != 0)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "batch_dims %" G_GINT64_FORMAT ", 0 is taken",
                       batch);
    return (node->n_inputs < 3 || tf_int(node->build, node->inputs[2], "axis", &axis, error)) &&
           tf_done(node, tf_gather(node->build, node->inputs[0], node->inputs[1], axis, error));
}

static gboolean map_broadcast(TfNode *node, GError **error)
{
    return tf_map_broadcast(node, 0, error);
}

static gboolean map_fill(TfNode *node, GError **error)
{
    return tf_map_broadcast(node, 1, error);
}

static gboolean map_size(TfNode *node, GError **error)
{
    const gint64 n = gpudl_shape_elements(&node->inputs[0]->shape);

    return tf_done(node, tf_scalar(node->build, GPUDL_DTYPE_I32, (double)n, error));
}

static gboolean map_resize(TfNode *node, GError **error)
{
    const TfResize how = {.linear = strcmp(node->row->name, "ResizeBilinear") == 0,
                          .align_corners = graphdef_bool(node, "align_corners", FALSE),
                          .half_pixel_centers = graphdef_bool(node, "half_pixel_centers", FALSE)};

    return tf_done(node, tf_resize(node->build, node->inputs[0], node->inputs[1], &how, error));
}

/* NHWC or NCHW; with four channels in a vector: for GPUs alone. */
static gboolean map_depth(TfNode *node, GError **error)
{
    const gint64 block = graphdef_int(node, "block_size", 0);
    const gboolean first = graphdef_is(node, "data_format", "NCHW");
    const gboolean deeper = strcmp(node->row->name, "SpaceToDepth") == 0;

    if (graphdef_is(node, "data_format", "NCHW_VECT_C"))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "data_format NCHW_VECT_C, NHWC and NCHW are taken");
    return tf_done(node, deeper ? tf_space_to_depth(node->build, node->inputs[0], block, first, error)
                                : tf_depth_to_space(node->build, node->inputs[0], block, first, error));
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* beside those in tf-ops.c */
static const TfOp table[] = {
    {"Add", 2, 2, tf_map_binary, GPUDL_OP_ADD},
    {"AddV2", 2, 2, tf_map_binary, GPUDL_OP_ADD},
    {"AvgPool", 1, 1, graphdef_map_pool, GPUDL_OP_AVERAGE_POOL},
    {"BatchMatMul", 2, 2, graphdef_map_matmul},
    {"BatchMatMulV2", 2, 2, graphdef_map_matmul},
    {"BatchMatMulV3", 2, 2, graphdef_map_matmul},
    {"BatchNormWithGlobalNormalization", 5, 5, graphdef_map_old_batch_norm},
    {"BiasAdd", 2, 2, graphdef_map_bias_add},
    {"BiasAddV1", 2, 2, graphdef_map_bias_add},
    {"BroadcastTo", 2, 2, map_broadcast},
    {"Cast", 1, 1, map_cast, .passes_choice = TRUE},
    {"CheckNumerics", 1, 1, tf_map_identity},
    {"Concat", 2, TF_MANY, map_old_concat},
    {"ConcatV2", 2, TF_MANY, map_concat},
    {"Const", 0, 0, map_const},
    {"Conv2D", 2, 2, graphdef_map_conv},
    {"Conv2DBackpropInput", 3, 3, graphdef_map_conv_transpose},
    {"DepthToSpace", 1, 1, map_depth},
    {"DepthwiseConv2dNative", 2, 2, graphdef_map_depthwise},
    {"Div", 2, 2, tf_map_binary, GPUDL_OP_DIV},
    {"EnsureShape", 1, 1, tf_map_identity},
    {"Erf", 1, 1, tf_map_unary, GPUDL_OP_ERF},
    {"Erfc", 1, 1, map_erfc},
    {"FakeQuantWithMinMaxArgs", 1, 1, map_fake_quant},
    {"FakeQuantWithMinMaxVars", 3, 3, map_fake_quant},
    {"Fill", 2, 2, map_fill},
    {"FusedBatchNorm", 5, 5, graphdef_map_batch_norm},
    {"FusedBatchNormV2", 5, 5, graphdef_map_batch_norm},
    {"FusedBatchNormV3", 5, 5, graphdef_map_batch_norm},
    {"Gather", 2, 2, map_gather},
    {"GatherV2", 3, 3, map_gather},
    {"Identity", 1, 1, tf_map_identity, .passes_choice = TRUE},
    {"IdentityN", 1, TF_MANY, map_identity_n},
    {"Inv", 1, 1, tf_map_unary, GPUDL_OP_RECIPROCAL},
    {"LRN", 1, 1, map_response},
    {"LeakyRelu", 1, 1, map_leaky},
    {"LogSoftmax", 1, 1, map_softmax, GPUDL_OP_LOG_SOFTMAX},
    {"MatMul", 2, 2, graphdef_map_matmul},
    {"Max", 2, 2, map_reduce, GPUDL_OP_REDUCE_MAX},
    {"MaxPool", 1, 1, graphdef_map_pool, GPUDL_OP_MAX_POOL},
    {"Maximum", 2, 2, tf_map_binary, GPUDL_OP_MAX},
    {"Mean", 2, 2, map_reduce, GPUDL_OP_REDUCE_MEAN},
    {"Min", 2, 2, map_reduce, GPUDL_OP_REDUCE_MIN},
    {"Minimum", 2, 2, tf_map_binary, GPUDL_OP_MIN},
    {"MirrorPad", 2, 2, map_mirror_pad},
    {"Mul", 2, 2, tf_map_binary, GPUDL_OP_MUL},
    {"OnesLike", 1, 1, tf_map_zeros_like, .alpha = 1},
    {"Pack", 1, TF_MANY, map_pack},
    {"PlaceholderWithDefault", 1, 1, tf_map_identity},
    {"Pow", 2, 2, tf_map_binary, GPUDL_OP_POW},
    {"PreventGradient", 1, 1, tf_map_identity},
    {"Prod", 2, 2, map_reduce, GPUDL_OP_REDUCE_PROD},
    {"RealDiv", 2, 2, tf_map_binary, GPUDL_OP_DIV},
    {"Reciprocal", 1, 1, tf_map_unary, GPUDL_OP_RECIPROCAL},
    {"Reshape", 2, 2, tf_map_reshape, .passes_choice = TRUE},
    {"ResizeBilinear", 2, 2, map_resize},
    {"ResizeNearestNeighbor", 2, 2, map_resize},
    {"Rint", 1, 1, tf_map_unary, GPUDL_OP_ROUND},
    {"Selu", 1, 1, map_selu},
    {"Shape", 1, 1, map_shape},
    {"Size", 1, 1, map_size},
    {"Snapshot", 1, 1, tf_map_identity, .passes_choice = TRUE},
    {"Softmax", 1, 1, map_softmax, GPUDL_OP_SOFTMAX},
    {"Softplus", 1, 1, map_softplus},
    {"Softsign", 1, 1, map_softsign},
    {"SpaceToDepth", 1, 1, map_depth},
    {"Split", 2, 2, map_split},
    {"SplitV", 3, 3, map_split_v},
    {"Squeeze", 1, 1, map_squeeze, .passes_choice = TRUE},
    {"StopGradient", 1, 1, tf_map_identity, .passes_choice = TRUE},
    {"StridedSlice", 4, 4, map_strided_slice},
    {"Sub", 2, 2, tf_map_binary, GPUDL_OP_SUB},
    {"Sum", 2, 2, map_reduce, GPUDL_OP_REDUCE_SUM},
    {"Unpack", 1, 1, map_unpack},
};

const TfOp *graphdef_op_find(const gchar *name)
{
    return tf_op_find(table, G_N_ELEMENTS(table), name, FALSE);
}
