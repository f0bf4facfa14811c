/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The table of operators, and what each becomes. */
#include <math.h>
#include <string.h>

#include "tflite-internal.h"

static gboolean done(TfliteNode *node, GpudlTensor *y)
{
    node->outputs[0] = y;
    return y != NULL;
}

/* ---- activations that operators carry ---------------------------------------------------------------------------- */

/* Where integers stand for an output whose zero is their smallest, they end at 0 and at their largest value: that is a
 * ReLU, or a part of one, that the file has no other trace of. */
static gboolean integer_range(const TfliteNode *node, float *high)
{
    const TfliteTensor *y = &node->file->tensors[node->op->outputs[0]];
    const gint64 zero = y->n_zeros > 0 ? y->zeros[0] : 0;
    const gint64 lowest = y->dtype == GPUDL_DTYPE_I8 ? G_MININT8 : 0;

    if (y->n_scales != 1 || !(y->scales[0] > 0) || zero != lowest ||
        (y->dtype != GPUDL_DTYPE_I8 && y->dtype != GPUDL_DTYPE_U8))
        return FALSE;
    *high = 255 * y->scales[0];
    return TRUE;
}

static GpudlTensor *activate(TfliteNode *node, GpudlTensor *y, GError **error)
{
    float low = -INFINITY, high = INFINITY, top;

    switch (node->op->options.activation) {
    case 0:
        break;
    case 1:
        low = 0;
        break;
    case 2:
        low = -1;
        high = 1;
        break;
    case 3:
        low = 0;
        high = 6;
        break;
    case 4:
        return tf_activation(node->build, GPUDL_ACT_TANH, 0, 0, y, error);
    default:
        tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "the activation with number %d is not taken",
                node->op->options.activation);
        return NULL;
    }
    if (integer_range(node, &top)) {
        low = MAX(low, 0);
        high = MIN(high, top);
    }
    if (low == -INFINITY && high == INFINITY)
        return y;
    if (low == 0 && high == INFINITY)
        return tf_activation(node->build, GPUDL_ACT_RELU, 0, 0, y, error);
    return tf_activation(node->build, GPUDL_ACT_CLIP, low, high, y, error);
}

static gboolean done_activated(TfliteNode *node, GpudlTensor *y, GError **error)
{
    return done(node, y != NULL ? activate(node, y, error) : NULL);
}

/* ---- windows and products ---------------------------------------------------------------------------------------- */

static gboolean check_rank(TfliteNode *node, guint i, gint rank, GError **error)
{
    const gint found = node->inputs[i]->shape.rank;

    return found == rank ||
           tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "input %u has rank %d, expected %d", i, found, rank);
}

static void window_of(const TfliteOptions *options, gint64 height, gint64 width, TfWindow *window)
{
    *window = (TfWindow){.kernel = {height, width},
                         .stride = {options->stride_h, options->stride_w},
                         .dilation = {MAX(options->dilation_h, 1), MAX(options->dilation_w, 1)},
                         .padding = options->valid ? TF_PADDING_VALID : TF_PADDING_SAME};
}

/* Weights: output channels, height, width, input channels of a group. */
static gboolean map_conv(TfliteNode *node, GError **error)
{
    static const gint64 perm[] = {0, 3, 1, 2};
    GpudlTensor *weights;
    TfWindow window;
    gint64 channels, each;

    if (!check_rank(node, 0, 4, error) || !check_rank(node, 1, 4, error))
        return FALSE;
    channels = node->inputs[0]->shape.dims[3];
    each = node->inputs[1]->shape.dims[3];
    if (each < 1 || channels % each != 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GINT64_FORMAT " channels for weights of %" G_GINT64_FORMAT, channels, each);
    window_of(&node->op->options, node->inputs[1]->shape.dims[1], node->inputs[1]->shape.dims[2], &window);
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    if (weights == NULL)
        return FALSE;
    return done_activated(node,
                          tf_conv(node->build, node->inputs[0], weights, node->n_inputs > 2 ? node->inputs[2] : NULL,
                                  &window, channels / each, error),
                          error);
}

/* Weights: 1, height, width, channels, those made of one input channel side by side. */
static gboolean map_depthwise(TfliteNode *node, GError **error)
{
    static const gint64 perm[] = {3, 0, 1, 2};
    GpudlTensor *weights;
    TfWindow window;

    if (!check_rank(node, 0, 4, error) || !check_rank(node, 1, 4, error))
        return FALSE;
    if (node->inputs[1]->shape.dims[0] != 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "weights with %" G_GINT64_FORMAT " in dimension 0",
                       (gint64)node->inputs[1]->shape.dims[0]);
    window_of(&node->op->options, node->inputs[1]->shape.dims[1], node->inputs[1]->shape.dims[2], &window);
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    if (weights == NULL)
        return FALSE;
    return done_activated(node,
                          tf_conv(node->build, node->inputs[0], weights, node->n_inputs > 2 ? node->inputs[2] : NULL,
                                  &window, node->inputs[0]->shape.dims[3], error),
                          error);
}

static gboolean map_pool(TfliteNode *node, GError **error)
{
    const TfliteOptions *options = &node->op->options;
    TfWindow window;

    window_of(options, options->filter_h, options->filter_w, &window);
    return done_activated(node, tf_pool(node->build, node->row->op, node->inputs[0], &window, error), error);
}

static gboolean map_dense(TfliteNode *node, GError **error)
{
    const GpudlTensor *x = node->inputs[0];
    GpudlTensor *y;

    if (node->op->options.shuffled)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "shuffled weights are not taken");
    y = tf_dense(node->build, node->inputs[0], node->inputs[1], node->n_inputs > 2 ? node->inputs[2] : NULL, error);
    if (y != NULL && node->op->options.keep_dims && x->shape.rank != 2 && x->shape.rank > 0) {
        gint64 dims[GPUDL_MAX_RANK];

        for (gint i = 0; i < x->shape.rank; i++)
            dims[i] = x->shape.dims[i];
        dims[x->shape.rank - 1] = y->shape.dims[1];
        y = tf_reshape(node->build, y, dims, (gsize)x->shape.rank, error);
    }
    return done_activated(node, y, error);
}

static gboolean map_batch_matmul(TfliteNode *node, GError **error)
{
    return done(node, tf_matmul(node->build, node->inputs[0], node->inputs[1], node->op->options.adj_x,
                                node->op->options.adj_y, error));
}

/* ---- element by element ------------------------------------------------------------------------------------------ */

static gboolean map_binary(TfliteNode *node, GError **error)
{
    return done_activated(node, tf_binary(node->build, node->row->op, node->inputs[0], node->inputs[1], error), error);
}

static gboolean map_unary(TfliteNode *node, GError **error)
{
    return done(node, tf_unary(node->build, node->row->op, node->inputs[0], error));
}

static gboolean map_act(TfliteNode *node, GError **error)
{
    return done(node,
                tf_activation(node->build, node->row->act, node->row->alpha, node->row->beta, node->inputs[0], error));
}

static gboolean map_leaky(TfliteNode *node, GError **error)
{
    return done(node,
                tf_activation(node->build, GPUDL_ACT_LEAKY_RELU, node->op->options.alpha, 0, node->inputs[0], error));
}

static gboolean map_gelu(TfliteNode *node, GError **error)
{
    return done(node, tf_activation(node->build, node->op->options.approximate ? GPUDL_ACT_GELU_TANH : GPUDL_ACT_GELU,
                                    0, 0, node->inputs[0], error));
}

static gboolean map_elu(TfliteNode *node, GError **error)
{
    GpudlAttrs attrs = {.unary.act = {.kind = GPUDL_ACT_NONE, .alpha = 1}};

    return done(node, tf_emit(node->build, GPUDL_OP_ELU, &attrs, node->inputs, 1, error));
}

static gboolean map_square(TfliteNode *node, GError **error)
{
    return done(node, tf_binary(node->build, GPUDL_OP_MUL, node->inputs[0], node->inputs[0], error));
}

static gboolean map_squared_difference(TfliteNode *node, GError **error)
{
    GpudlTensor *d = tf_binary(node->build, GPUDL_OP_SUB, node->inputs[0], node->inputs[1], error);

    return done(node, d != NULL ? tf_binary(node->build, GPUDL_OP_MUL, d, d, error) : NULL);
}

static gboolean map_rsqrt(TfliteNode *node, GError **error)
{
    return done(node, tf_rsqrt(node->build, node->inputs[0], error));
}

static gboolean map_add_n(TfliteNode *node, GError **error)
{
    GpudlTensor *sum = node->inputs[0];

    for (guint i = 1; i < node->n_inputs && sum != NULL; i++)
        sum = tf_binary(node->build, GPUDL_OP_ADD, sum, node->inputs[i], error);
    return done(node, sum);
}

/* Integers are what they stand for already; half floats are not floats yet. */
static gboolean map_dequantize(TfliteNode *node, GError **error)
{
    return done(node, tf_cast(node->build, node->inputs[0], GPUDL_DTYPE_F32, error));
}

/* A picture's bytes come in as the numbers they are. */
static gboolean map_cast(TfliteNode *node, GError **error)
{
    const TfliteOptions *options = &node->op->options;
    const GpudlDType to =
        options->to != GPUDL_DTYPE_NONE ? options->to : node->file->tensors[node->op->outputs[0]].dtype;

    if (to == GPUDL_DTYPE_NONE)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a cast to another type");
    return done(node, tf_cast(node->build, node->inputs[0], to, error));
}

static gboolean map_select(TfliteNode *node, GError **error)
{
    return done(node, tf_emit(node->build, GPUDL_OP_WHERE, NULL, node->inputs, 3, error));
}

/* ---- along axes -------------------------------------------------------------------------------------------------- */

static gboolean map_softmax(TfliteNode *node, GError **error)
{
    const double beta = node->op->has_options && node->row->needs_options ? (double)node->op->options.beta : 1;

    return done(node, tf_softmax(node->build, node->row->op, node->inputs[0], beta, error));
}

static gboolean map_reduce(TfliteNode *node, GError **error)
{
    g_autofree gint64 *axes = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1], "axes", &axes, &n, error) &&
           done(node,
                tf_reduce(node->build, node->row->op, node->inputs[0], axes, n, node->op->options.keep_dims, error));
}

/* The scores stand for the choice among them. */
static gboolean map_arg_max(TfliteNode *node, GError **error)
{
    gint64 axis;

    if (!tf_int(node->build, node->inputs[1], "axis", &axis, error))
        return FALSE;
    if (axis != -1 && axis != node->inputs[0]->shape.rank - 1)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "the best along dimension %" G_GINT64_FORMAT "; along the last one is taken", axis);
    node->cut = TRUE;
    return done(node, node->inputs[0]);
}

/* ---- data movement ----------------------------------------------------------------------------------------------- */

static gboolean map_reshape(TfliteNode *node, GError **error)
{
    const TfliteOptions *options = &node->op->options;
    g_autofree gint64 *dims = NULL;
    gsize n = options->n_dims;

    if (node->n_inputs > 1 && node->inputs[1] != NULL)
        return tf_ints(node->build, node->inputs[1], "shape", &dims, &n, error) &&
               done(node, tf_reshape(node->build, node->inputs[0], dims, n, error));
    if (!node->op->has_options || n > GPUDL_MAX_RANK)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "it does not say to which shape");
    dims = g_new(gint64, n + 1);
    for (gsize i = 0; i < n; i++)
        dims[i] = options->dims[i];
    return done(node, tf_reshape(node->build, node->inputs[0], dims, n, error));
}

static gboolean map_squeeze(TfliteNode *node, GError **error)
{
    const TfliteOptions *options = &node->op->options;
    gint64 axes[GPUDL_MAX_RANK];

    if (options->n_dims > GPUDL_MAX_RANK)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " dimensions", options->n_dims);
    for (gsize i = 0; i < options->n_dims; i++)
        axes[i] = options->dims[i];
    return done(node, tf_squeeze(node->build, node->inputs[0], axes, options->n_dims, error));
}

static gboolean map_expand_dims(TfliteNode *node, GError **error)
{
    gint64 axis;

    return tf_int(node->build, node->inputs[1], "axis", &axis, error) &&
           done(node, tf_expand_dims(node->build, node->inputs[0], axis, error));
}

static gboolean map_transpose(TfliteNode *node, GError **error)
{
    g_autofree gint64 *perm = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1], "order", &perm, &n, error) &&
           done(node, tf_transpose(node->build, node->inputs[0], perm, n, error));
}

static gboolean map_concat(TfliteNode *node, GError **error)
{
    return done_activated(node, tf_concat(node->build, node->inputs, node->n_inputs, node->op->options.axis, error),
                          error);
}

static gboolean map_pack(TfliteNode *node, GError **error)
{
    return done(node, tf_pack(node->build, node->inputs, node->n_inputs, node->op->options.axis, error));
}

static gboolean map_unpack(TfliteNode *node, GError **error)
{
    return tf_unpack(node->build, node->inputs[0], node->op->options.axis, (guint)node->op->n_outputs, node->outputs,
                     error);
}

static gboolean map_split(TfliteNode *node, GError **error)
{
    gint64 axis;

    return tf_int(node->build, node->inputs[0], "axis", &axis, error) &&
           tf_split(node->build, node->inputs[1], axis, NULL, (guint)node->op->n_outputs, node->outputs, error);
}

static gboolean map_split_v(TfliteNode *node, GError **error)
{
    g_autofree gint64 *sizes = NULL;
    gint64 axis;
    gsize n;

    if (!tf_ints(node->build, node->inputs[1], "sizes", &sizes, &n, error) ||
        !tf_int(node->build, node->inputs[2], "axis", &axis, error))
        return FALSE;
    if (n != node->op->n_outputs)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GSIZE_FORMAT " sizes for %" G_GSIZE_FORMAT " outputs", n, node->op->n_outputs);
    return tf_split(node->build, node->inputs[0], axis, sizes, (guint)n, node->outputs, error);
}

static gboolean map_slice(TfliteNode *node, GError **error)
{
    g_autofree gint64 *begin = NULL, *size = NULL;
    gsize n, n_size;

    if (!tf_ints(node->build, node->inputs[1], "begin", &begin, &n, error) ||
        !tf_ints(node->build, node->inputs[2], "size", &size, &n_size, error))
        return FALSE;
    if (n != n_size)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " begins, %" G_GSIZE_FORMAT " sizes",
                       n, n_size);
    return done(node, tf_slice(node->build, node->inputs[0], begin, size, n, error));
}

static gboolean map_strided_slice(TfliteNode *node, GError **error)
{
    const TfliteOptions *options = &node->op->options;
    const TfMasks masks = {.begin = options->begin_mask,
                           .end = options->end_mask,
                           .ellipsis = options->ellipsis_mask,
                           .new_axis = options->new_axis_mask,
                           .shrink_axis = options->shrink_axis_mask};
    g_autofree gint64 *begin = NULL, *end = NULL, *strides = NULL;
    gsize n, n_end, n_strides;

    if (!tf_ints(node->build, node->inputs[1], "begin", &begin, &n, error) ||
        !tf_ints(node->build, node->inputs[2], "end", &end, &n_end, error) ||
        !tf_ints(node->build, node->inputs[3], "strides", &strides, &n_strides, error))
        return FALSE;
    if (n != n_end || n != n_strides)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GSIZE_FORMAT " begins, %" G_GSIZE_FORMAT " ends, %" G_GSIZE_FORMAT " strides", n, n_end,
                       n_strides);
    for (gsize i = 0; i < n && options->offset; i++)
        end[i] += begin[i];
    return done(node, tf_strided_slice(node->build, node->inputs[0], begin, end, strides, n, &masks, error));
}

static gboolean map_pad(TfliteNode *node, GError **error)
{
    double value = 0;

    if (node->n_inputs > 2 && node->inputs[2] != NULL &&
        !tf_number(node->build, node->inputs[2], "value", &value, error))
        return FALSE;
    return done(node, tf_pad(node->build, node->inputs[0], node->inputs[1], TF_PAD_CONSTANT, value, error));
}

static gboolean map_mirror_pad(TfliteNode *node, GError **error)
{
    return done(node, tf_pad(node->build, node->inputs[0], node->inputs[1],
                             node->op->options.symmetric ? TF_PAD_SYMMETRIC : TF_PAD_REFLECT, 0, error));
}

static gboolean map_gather(TfliteNode *node, GError **error)
{
    if (node->op->options.batch_dims != 0)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "batch_dims %d, 0 is taken",
                       node->op->options.batch_dims);
    return done(node, tf_gather(node->build, node->inputs[0], node->inputs[1], node->op->options.axis, error));
}

static gboolean map_shape(TfliteNode *node, GError **error)
{
    const GpudlDType to = node->op->options.to == GPUDL_DTYPE_I64 ? GPUDL_DTYPE_I64 : GPUDL_DTYPE_I32;

    return done(node, tf_shape(node->build, node->inputs[0], to, error));
}

/* BROADCAST_TO x, shape; FILL shape, x */
static gboolean map_broadcast(TfliteNode *node, GError **error)
{
    const guint x = strcmp(node->row->name, "FILL") == 0;
    g_autofree gint64 *dims = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1 - x], "shape", &dims, &n, error) &&
           done(node, tf_broadcast(node->build, node->inputs[x], dims, n, error));
}

/* ---- the table --------------------------------------------------------------------------------------------------- */

#define MANY G_MAXUINT

static const TfliteOp table[] = {
    {"ABS", 1, 1, FALSE, map_unary, GPUDL_OP_ABS},
    {"ADD", 2, 2, FALSE, map_binary, GPUDL_OP_ADD},
    {"ADD_N", 1, MANY, FALSE, map_add_n},
    {"ARG_MAX", 2, 2, FALSE, map_arg_max},
    {"AVERAGE_POOL_2D", 1, 1, TRUE, map_pool, GPUDL_OP_AVERAGE_POOL},
    {"BATCH_MATMUL", 2, 2, FALSE, map_batch_matmul},
    {"BROADCAST_TO", 2, 2, FALSE, map_broadcast},
    {"CAST", 1, 1, FALSE, map_cast},
    {"CEIL", 1, 1, FALSE, map_unary, GPUDL_OP_CEIL},
    {"CONCATENATION", 1, MANY, TRUE, map_concat},
    {"CONV_2D", 2, 3, TRUE, map_conv},
    {"DEPTHWISE_CONV_2D", 2, 3, TRUE, map_depthwise},
    {"DEQUANTIZE", 1, 1, FALSE, map_dequantize},
    {"DIV", 2, 2, FALSE, map_binary, GPUDL_OP_DIV},
    {"ELU", 1, 1, FALSE, map_elu},
    {"EXP", 1, 1, FALSE, map_unary, GPUDL_OP_EXP},
    {"EXPAND_DIMS", 2, 2, FALSE, map_expand_dims},
    {"FILL", 2, 2, FALSE, map_broadcast},
    {"FLOOR", 1, 1, FALSE, map_unary, GPUDL_OP_FLOOR},
    {"FULLY_CONNECTED", 2, 3, TRUE, map_dense},
    {"GATHER", 2, 2, FALSE, map_gather},
    {"GELU", 1, 1, FALSE, map_gelu},
    {"GREATER", 2, 2, FALSE, map_binary, GPUDL_OP_GREATER},
    {"HARD_SWISH", 1, 1, FALSE, map_act, .act = GPUDL_ACT_HARD_SWISH},
    {"LEAKY_RELU", 1, 1, TRUE, map_leaky},
    {"LESS", 2, 2, FALSE, map_binary, GPUDL_OP_LESS},
    {"LOG", 1, 1, FALSE, map_unary, GPUDL_OP_LOG},
    {"LOGISTIC", 1, 1, FALSE, map_act, .act = GPUDL_ACT_SIGMOID},
    {"LOG_SOFTMAX", 1, 1, FALSE, map_softmax, GPUDL_OP_LOG_SOFTMAX},
    {"MAXIMUM", 2, 2, FALSE, map_binary, GPUDL_OP_MAX},
    {"MAX_POOL_2D", 1, 1, TRUE, map_pool, GPUDL_OP_MAX_POOL},
    {"MEAN", 2, 2, FALSE, map_reduce, GPUDL_OP_REDUCE_MEAN},
    {"MINIMUM", 2, 2, FALSE, map_binary, GPUDL_OP_MIN},
    {"MIRROR_PAD", 2, 2, TRUE, map_mirror_pad},
    {"MUL", 2, 2, FALSE, map_binary, GPUDL_OP_MUL},
    {"NEG", 1, 1, FALSE, map_unary, GPUDL_OP_NEG},
    {"PACK", 1, MANY, TRUE, map_pack},
    {"PAD", 2, 2, FALSE, map_pad},
    {"PADV2", 3, 3, FALSE, map_pad},
    {"POW", 2, 2, FALSE, map_binary, GPUDL_OP_POW},
    {"PRELU", 2, 2, FALSE, map_binary, GPUDL_OP_PRELU},
    {"QUANTIZE", 1, 1, FALSE, map_dequantize},
    {"REDUCE_MAX", 2, 2, FALSE, map_reduce, GPUDL_OP_REDUCE_MAX},
    {"REDUCE_MIN", 2, 2, FALSE, map_reduce, GPUDL_OP_REDUCE_MIN},
    {"REDUCE_PROD", 2, 2, FALSE, map_reduce, GPUDL_OP_REDUCE_PROD},
    {"RELU", 1, 1, FALSE, map_act, .act = GPUDL_ACT_RELU},
    {"RELU6", 1, 1, FALSE, map_act, .act = GPUDL_ACT_CLIP, .alpha = 0, .beta = 6},
    {"RELU_0_TO_1", 1, 1, FALSE, map_act, .act = GPUDL_ACT_CLIP, .alpha = 0, .beta = 1},
    {"RELU_N1_TO_1", 1, 1, FALSE, map_act, .act = GPUDL_ACT_CLIP, .alpha = -1, .beta = 1},
    {"RESHAPE", 1, 2, FALSE, map_reshape},
    {"ROUND", 1, 1, FALSE, map_unary, GPUDL_OP_ROUND},
    {"RSQRT", 1, 1, FALSE, map_rsqrt},
    {"SELECT_V2", 3, 3, FALSE, map_select},
    {"SHAPE", 1, 1, FALSE, map_shape},
    {"SLICE", 3, 3, FALSE, map_slice},
    {"SOFTMAX", 1, 1, TRUE, map_softmax, GPUDL_OP_SOFTMAX},
    {"SPLIT", 2, 2, FALSE, map_split},
    {"SPLIT_V", 3, 3, FALSE, map_split_v},
    {"SQRT", 1, 1, FALSE, map_unary, GPUDL_OP_SQRT},
    {"SQUARE", 1, 1, FALSE, map_square},
    {"SQUARED_DIFFERENCE", 2, 2, FALSE, map_squared_difference},
    {"SQUEEZE", 1, 1, FALSE, map_squeeze},
    {"STRIDED_SLICE", 4, 4, TRUE, map_strided_slice},
    {"SUB", 2, 2, FALSE, map_binary, GPUDL_OP_SUB},
    {"SUM", 2, 2, FALSE, map_reduce, GPUDL_OP_REDUCE_SUM},
    {"TANH", 1, 1, FALSE, map_act, .act = GPUDL_ACT_TANH},
    {"TRANSPOSE", 2, 2, FALSE, map_transpose},
    {"UNPACK", 1, 1, TRUE, map_unpack},
};

const TfliteOp *tflite_op_find(const gchar *name)
{
    for (guint i = 0; i < G_N_ELEMENTS(table); i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}
