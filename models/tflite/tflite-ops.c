/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of operators, and what each becomes. */
#include <string.h>

#include "tflite-internal.h"

/* ---- element by element ------------------------------------------------------------------------------------------ */

static gboolean map_binary(TfNode *node, GError **error)
{
    return tflite_done(node, tf_binary(node->build, node->row->op, node->inputs[0], node->inputs[1], error), error);
}

static gboolean map_leaky(TfNode *node, GError **error)
{
    return tf_done(
        node, tf_activation(node->build, GPUDL_ACT_LEAKY_RELU, tflite_options(node)->alpha, 0, node->inputs[0], error));
}

static gboolean map_gelu(TfNode *node, GError **error)
{
    return tf_done(node,
                   tf_activation(node->build, tflite_options(node)->approximate ? GPUDL_ACT_GELU_TANH : GPUDL_ACT_GELU,
                                 0, 0, node->inputs[0], error));
}

/* Integers are what they stand for already; half floats are not floats yet. */
static gboolean map_dequantize(TfNode *node, GError **error)
{
    return tf_done(node, tf_cast(node->build, node->inputs[0], GPUDL_DTYPE_F32, error));
}

/* A picture's bytes come in as the numbers they are. */
static gboolean map_cast(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);
    const GpudlDType to = options->to != GPUDL_DTYPE_NONE
                              ? options->to
                              : tflite_node(node)->file->tensors[tflite_node(node)->op->outputs[0]].dtype;

    if (to == GPUDL_DTYPE_NONE)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a cast to another type");
    return tf_done(node, tf_cast(node->build, node->inputs[0], to, error));
}

static gboolean map_fake_quant(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);

    return tf_done(node, tf_fake_quant(node->build, node->inputs[0], (double)options->low, (double)options->high,
                                       options->bits, options->narrow, error));
}

/* ---- along axes -------------------------------------------------------------------------------------------------- */

static gboolean map_softmax(TfNode *node, GError **error)
{
    const double beta =
        tflite_node(node)->op->has_options && node->row->needs_options ? (double)tflite_options(node)->beta : 1;

    return tf_done(node, tf_softmax(node->build, node->row->op, node->inputs[0], beta, error));
}

static gboolean map_reduce(TfNode *node, GError **error)
{
    return tf_map_reduce(node, tflite_options(node)->keep_dims, error);
}

/* Divided by the root of the sum of its squares, or by 1e-6 where that is less. */
static gboolean map_l2_norm(TfNode *node, GError **error)
{
    TfBuild *build = node->build;
    GpudlTensor *x = node->inputs[0], *y, *least;
    const gint64 axes[1] = {-1};

    return (y = tf_binary(build, GPUDL_OP_MUL, x, x, error)) != NULL &&
           (y = tf_reduce(build, GPUDL_OP_REDUCE_SUM, y, axes, 1, TRUE, error)) != NULL &&
           (y = tf_unary(build, GPUDL_OP_SQRT, y, error)) != NULL &&
           (least = tf_scalar(build, x->dtype, 1e-6, error)) != NULL &&
           (y = tf_binary(build, GPUDL_OP_MAX, y, least, error)) != NULL &&
           tf_done(node, tf_binary(build, GPUDL_OP_DIV, x, y, error));
}

static gboolean map_response(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);

    return tf_done(node, tf_lrn(node->build, node->inputs[0], options->radius, options->bias, options->alpha,
                                options->beta, error));
}

/* ---- data movement ----------------------------------------------------------------------------------------------- */

static gboolean map_reshape(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);
    g_autofree gint64 *dims = NULL;
    gsize n = options->n_dims;

    if (node->n_inputs > 1 && node->inputs[1] != NULL)
        return tf_ints(node->build, node->inputs[1], "shape", &dims, &n, error) &&
               tf_done(node, tf_reshape(node->build, node->inputs[0], dims, n, error));
    if (!tflite_node(node)->op->has_options || n > GPUDL_MAX_RANK)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "it does not say to which shape");
    dims = g_new(gint64, n + 1);
    for (gsize i = 0; i < n; i++)
        dims[i] = options->dims[i];
    return tf_done(node, tf_reshape(node->build, node->inputs[0], dims, n, error));
}

static gboolean map_squeeze(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);
    gint64 axes[GPUDL_MAX_RANK];

    if (options->n_dims > GPUDL_MAX_RANK)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " dimensions", options->n_dims);
    for (gsize i = 0; i < options->n_dims; i++)
        axes[i] = options->dims[i];
    return tf_done(node, tf_squeeze(node->build, node->inputs[0], axes, options->n_dims, error));
}

static gboolean map_concat(TfNode *node, GError **error)
{
    return tflite_done(node, tf_concat(node->build, node->inputs, node->n_inputs, tflite_options(node)->axis, error),
                       error);
}

static gboolean map_pack(TfNode *node, GError **error)
{
    return tf_done(node, tf_pack(node->build, node->inputs, node->n_inputs, tflite_options(node)->axis, error));
}

static gboolean map_unpack(TfNode *node, GError **error)
{
    return tf_unpack(node->build, node->inputs[0], tflite_options(node)->axis, (guint)tflite_node(node)->op->n_outputs,
                     node->outputs, error);
}

static gboolean map_split(TfNode *node, GError **error)
{
    return tf_map_split(node, (guint)tflite_node(node)->op->n_outputs, error);
}

static gboolean map_strided_slice(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);
    const TfMasks masks = {.begin = options->begin_mask,
                           .end = options->end_mask,
                           .ellipsis = options->ellipsis_mask,
                           .new_axis = options->new_axis_mask,
                           .shrink_axis = options->shrink_axis_mask};

    return tf_map_strided_slice(node, &masks, options->offset, error);
}

static gboolean map_mirror_pad(TfNode *node, GError **error)
{
    return tf_map_mirror_pad(node, tflite_options(node)->symmetric, error);
}

static gboolean map_gather(TfNode *node, GError **error)
{
    if (tflite_options(node)->batch_dims != 0)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "batch_dims %d, 0 is taken",
                       tflite_options(node)->batch_dims);
    return tf_done(node, tf_gather(node->build, node->inputs[0], node->inputs[1], tflite_options(node)->axis, error));
}

static gboolean map_shape(TfNode *node, GError **error)
{
    return tf_map_shape(node, tflite_options(node)->to, error);
}

static gboolean map_broadcast(TfNode *node, GError **error)
{
    return tf_map_broadcast(node, 0, error);
}

static gboolean map_fill(TfNode *node, GError **error)
{
    return tf_map_broadcast(node, 1, error);
}

static gboolean map_split_v(TfNode *node, GError **error)
{
    return tf_map_split_v(node, (guint)tflite_node(node)->op->n_outputs, error);
}

static gboolean map_resize(TfNode *node, GError **error)
{
    const TfResize how = {.linear = strcmp(node->row->name, "RESIZE_BILINEAR") == 0,
                          .align_corners = tflite_options(node)->align_corners,
                          .half_pixel_centers = tflite_options(node)->half_pixel_centers};

    return tf_done(node, tf_resize(node->build, node->inputs[0], node->inputs[1], &how, error));
}

static gboolean map_space_to_depth(TfNode *node, GError **error)
{
    return tf_done(node, tf_space_to_depth(node->build, node->inputs[0], tflite_options(node)->block, FALSE, error));
}

static gboolean map_depth_to_space(TfNode *node, GError **error)
{
    return tf_done(node, tf_depth_to_space(node->build, node->inputs[0], tflite_options(node)->block, FALSE, error));
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

/* beside those in tf/tf-ops.c */
static const TfOp table[] = {
    {"ADD", 2, 2, map_binary, GPUDL_OP_ADD},
    {"AVERAGE_POOL_2D", 1, 1, tflite_map_pool, GPUDL_OP_AVERAGE_POOL, .needs_options = TRUE},
    {"BATCH_MATMUL", 2, 2, tflite_map_batch_matmul},
    {"BROADCAST_TO", 2, 2, map_broadcast},
    {"CAST", 1, 1, map_cast, .passes_choice = TRUE},
    {"CONCATENATION", 1, TF_MANY, map_concat, .needs_options = TRUE},
    {"CONV_2D", 2, 3, tflite_map_conv, .needs_options = TRUE},
    {"DEPTHWISE_CONV_2D", 2, 3, tflite_map_depthwise, .needs_options = TRUE},
    {"DEPTH_TO_SPACE", 1, 1, map_depth_to_space, .needs_options = TRUE},
    {"DEQUANTIZE", 1, 1, map_dequantize},
    {"DIV", 2, 2, map_binary, GPUDL_OP_DIV},
    {"FAKE_QUANT", 1, 1, map_fake_quant, .needs_options = TRUE},
    {"FILL", 2, 2, map_fill},
    {"FULLY_CONNECTED", 2, 3, tflite_map_dense, .needs_options = TRUE},
    {"GATHER", 2, 2, map_gather},
    {"GELU", 1, 1, map_gelu},
    {"HARD_SWISH", 1, 1, tf_map_act, .act = GPUDL_ACT_HARD_SWISH},
    {"L2_NORMALIZATION", 1, 1, map_l2_norm},
    {"L2_POOL_2D", 1, 1, tflite_map_l2_pool, .needs_options = TRUE},
    {"LEAKY_RELU", 1, 1, map_leaky, .needs_options = TRUE},
    {"LOCAL_RESPONSE_NORMALIZATION", 1, 1, map_response, .needs_options = TRUE},
    {"LOG_SOFTMAX", 1, 1, map_softmax, GPUDL_OP_LOG_SOFTMAX},
    {"MAXIMUM", 2, 2, map_binary, GPUDL_OP_MAX},
    {"MAX_POOL_2D", 1, 1, tflite_map_pool, GPUDL_OP_MAX_POOL, .needs_options = TRUE},
    {"MEAN", 2, 2, map_reduce, GPUDL_OP_REDUCE_MEAN},
    {"MINIMUM", 2, 2, map_binary, GPUDL_OP_MIN},
    {"MIRROR_PAD", 2, 2, map_mirror_pad, .needs_options = TRUE},
    {"MUL", 2, 2, map_binary, GPUDL_OP_MUL},
    {"PACK", 1, TF_MANY, map_pack, .needs_options = TRUE},
    {"POW", 2, 2, map_binary, GPUDL_OP_POW},
    {"PRELU", 2, 2, map_binary, GPUDL_OP_PRELU},
    {"QUANTIZE", 1, 1, map_dequantize},
    {"REDUCE_MAX", 2, 2, map_reduce, GPUDL_OP_REDUCE_MAX},
    {"REDUCE_MIN", 2, 2, map_reduce, GPUDL_OP_REDUCE_MIN},
    {"REDUCE_PROD", 2, 2, map_reduce, GPUDL_OP_REDUCE_PROD},
    {"RELU_0_TO_1", 1, 1, tf_map_act, .act = GPUDL_ACT_CLIP, .alpha = 0, .beta = 1},
    {"RELU_N1_TO_1", 1, 1, tf_map_act, .act = GPUDL_ACT_CLIP, .alpha = -1, .beta = 1},
    {"RESHAPE", 1, 2, map_reshape, .passes_choice = TRUE},
    {"RESIZE_BILINEAR", 2, 2, map_resize, .needs_options = TRUE},
    {"RESIZE_NEAREST_NEIGHBOR", 2, 2, map_resize, .needs_options = TRUE},
    {"SHAPE", 1, 1, map_shape},
    {"SOFTMAX", 1, 1, map_softmax, GPUDL_OP_SOFTMAX, .needs_options = TRUE},
    {"SPACE_TO_DEPTH", 1, 1, map_space_to_depth, .needs_options = TRUE},
    {"SPLIT", 2, 2, map_split},
    {"SPLIT_V", 3, 3, map_split_v},
    {"SQUEEZE", 1, 1, map_squeeze, .passes_choice = TRUE},
    {"STRIDED_SLICE", 4, 4, map_strided_slice, .needs_options = TRUE},
    {"SUB", 2, 2, map_binary, GPUDL_OP_SUB},
    {"SUM", 2, 2, map_reduce, GPUDL_OP_REDUCE_SUM},
    {"TRANSPOSE_CONV", 3, 4, tflite_map_conv_transpose, .needs_options = TRUE},
    {"UNPACK", 1, 1, map_unpack, .needs_options = TRUE},
};

const TfOp *tflite_op_find(const gchar *name)
{
    return tf_op_find(table, G_N_ELEMENTS(table), name, TRUE);
}
