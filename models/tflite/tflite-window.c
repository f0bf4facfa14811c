/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows, products, and the activations that operators carry. */
#include <math.h>

#include "tflite-internal.h"

/* ---- activations that operators carry ---------------------------------------------------------------------------- */

/* Where integers stand for an output whose zero is their smallest, they end at 0 and at their largest value: that is a
 * ReLU, or a part of one, that the file has no other trace of. */
static gboolean integer_range(const TfNode *node, float *high)
{
    const TfliteTensor *y = &tflite_node(node)->file->tensors[tflite_node(node)->op->outputs[0]];
    const gint64 zero = tflite_zero(y, 0);
    const gint64 lowest = y->dtype == GPUDL_DTYPE_I8 ? G_MININT8 : 0;

    if (y->n_scales != 1 || !(y->scales[0] > 0) || zero != lowest ||
        (y->dtype != GPUDL_DTYPE_I8 && y->dtype != GPUDL_DTYPE_U8))
        return FALSE;
    *high = 255 * y->scales[0];
    return TRUE;
}

GpudlTensor *tflite_activate(TfNode *node, GpudlTensor *y, GError **error)
{
    float low = -INFINITY, high = INFINITY, top;

    switch (tflite_options(node)->activation) {
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
                tflite_options(node)->activation);
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

gboolean tflite_done(TfNode *node, GpudlTensor *y, GError **error)
{
    return tf_done(node, y != NULL ? tflite_activate(node, y, error) : NULL);
}

/* ---- windows and products ---------------------------------------------------------------------------------------- */

static gboolean check_rank(TfNode *node, guint i, gint rank, GError **error)
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
gboolean tflite_map_conv(TfNode *node, GError **error)
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
    window_of(tflite_options(node), node->inputs[1]->shape.dims[1], node->inputs[1]->shape.dims[2], &window);
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    if (weights == NULL)
        return FALSE;
    return tflite_done(node,
                       tf_conv(node->build, node->inputs[0], weights, node->n_inputs > 2 ? node->inputs[2] : NULL,
                               &window, channels / each, error),
                       error);
}

/* Weights: 1, height, width, channels, those made of one input channel side by side. */
gboolean tflite_map_depthwise(TfNode *node, GError **error)
{
    static const gint64 perm[] = {3, 0, 1, 2};
    GpudlTensor *weights;
    TfWindow window;

    if (!check_rank(node, 0, 4, error) || !check_rank(node, 1, 4, error))
        return FALSE;
    if (node->inputs[1]->shape.dims[0] != 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "weights with %" G_GINT64_FORMAT " in dimension 0",
                       (gint64)node->inputs[1]->shape.dims[0]);
    window_of(tflite_options(node), node->inputs[1]->shape.dims[1], node->inputs[1]->shape.dims[2], &window);
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    if (weights == NULL)
        return FALSE;
    return tflite_done(node,
                       tf_conv(node->build, node->inputs[0], weights, node->n_inputs > 2 ? node->inputs[2] : NULL,
                               &window, node->inputs[0]->shape.dims[3], error),
                       error);
}

/* The output's shape, weights: output channels, height, width, input channels; the input, bias. */
gboolean tflite_map_conv_transpose(TfNode *node, GError **error)
{
    static const gint64 perm[] = {3, 0, 1, 2};
    g_autofree gint64 *dims = NULL;
    GpudlTensor *weights;
    TfWindow window;
    gsize n;

    if (!check_rank(node, 1, 4, error) || !check_rank(node, 2, 4, error) ||
        !tf_ints(node->build, node->inputs[0], "output shape", &dims, &n, error))
        return FALSE;
    if (n != 4)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "an output of rank %" G_GSIZE_FORMAT ", expected 4", n);
    window_of(tflite_options(node), node->inputs[1]->shape.dims[1], node->inputs[1]->shape.dims[2], &window);
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    return weights != NULL &&
           tflite_done(node,
                       tf_conv_transpose(node->build, node->inputs[2], weights,
                                         node->n_inputs > 3 ? node->inputs[3] : NULL, &window, dims + 1, 1, error),
                       error);
}

gboolean tflite_map_pool(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);
    TfWindow window;

    window_of(options, options->filter_h, options->filter_w, &window);
    return tflite_done(node, tf_pool(node->build, node->row->op, node->inputs[0], &window, error), error);
}

gboolean tflite_map_l2_pool(TfNode *node, GError **error)
{
    const TfliteOptions *options = tflite_options(node);
    GpudlTensor *y = tf_binary(node->build, GPUDL_OP_MUL, node->inputs[0], node->inputs[0], error);
    TfWindow window;

    window_of(options, options->filter_h, options->filter_w, &window);
    return y != NULL && (y = tf_pool(node->build, GPUDL_OP_AVERAGE_POOL, y, &window, error)) != NULL &&
           tflite_done(node, tf_unary(node->build, GPUDL_OP_SQRT, y, error), error);
}

gboolean tflite_map_dense(TfNode *node, GError **error)
{
    const GpudlTensor *x = node->inputs[0];
    GpudlTensor *y;

    if (tflite_options(node)->shuffled)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "shuffled weights are not taken");
    y = tf_dense(node->build, node->inputs[0], node->inputs[1], node->n_inputs > 2 ? node->inputs[2] : NULL, error);
    if (y != NULL && tflite_options(node)->keep_dims && x->shape.rank != 2 && x->shape.rank > 0) {
        gint64 dims[GPUDL_MAX_RANK];

        for (gint i = 0; i < x->shape.rank; i++)
            dims[i] = x->shape.dims[i];
        dims[x->shape.rank - 1] = y->shape.dims[1];
        y = tf_reshape(node->build, y, dims, (gsize)x->shape.rank, error);
    }
    return tflite_done(node, y, error);
}

gboolean tflite_map_batch_matmul(TfNode *node, GError **error)
{
    return tf_done(node, tf_matmul(node->build, node->inputs[0], node->inputs[1], tflite_options(node)->adj_x,
                                   tflite_options(node)->adj_y, error));
}
