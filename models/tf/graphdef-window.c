/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows, products, and what is done per channel. */
#include "graphdef-internal.h"

/* ---- windows and products ---------------------------------------------------------------------------------------- */

/* Height and width of a list of four; absent: 1. */
static gboolean two_of(TfNode *node, const gchar *name, gboolean channels_first, gint64 two[2], GError **error)
{
    const Tensorflow__AttrValue *attr = graphdef_attr(graphdef_proto(node), name);
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
    const Tensorflow__AttrValue *pads = graphdef_attr(graphdef_proto(node), "explicit_paddings");

    *window = (TfWindow){.channels_first = graphdef_is(node, "data_format", "NCHW")};
    if (!two_of(node, "strides", window->channels_first, window->stride, error) ||
        !two_of(node, "dilations", window->channels_first, window->dilation, error))
        return FALSE;
    if (graphdef_is(node, "padding", "SAME")) {
        window->padding = TF_PADDING_SAME;
    } else if (graphdef_is(node, "padding", "VALID")) {
        window->padding = TF_PADDING_VALID;
    } else if (graphdef_is(node, "padding", "EXPLICIT") && pads != NULL && pads->list != NULL && pads->list->n_i == 8) {
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
gboolean graphdef_map_conv(TfNode *node, GError **error)
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
gboolean graphdef_map_depthwise(TfNode *node, GError **error)
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

gboolean graphdef_map_pool(TfNode *node, GError **error)
{
    TfWindow window;

    return read_window(node, &window, error) && two_of(node, "ksize", window.channels_first, window.kernel, error) &&
           tf_done(node, tf_pool(node->build, node->row->op, node->inputs[0], &window, error));
}

gboolean graphdef_map_bias_add(TfNode *node, GError **error)
{
    const gint64 column[] = {-1, 1, 1};
    GpudlTensor *bias = node->inputs[1];

    if (graphdef_is(node, "data_format", "NCHW") && node->inputs[0]->shape.rank == 4 &&
        (bias = tf_reshape(node->build, bias, column, 3, error)) == NULL)
        return FALSE;
    return tf_done(node, tf_binary(node->build, GPUDL_OP_ADD, node->inputs[0], bias, error));
}

gboolean graphdef_map_batch_norm(TfNode *node, GError **error)
{
    if (graphdef_bool(node, "is_training", TRUE))
        return tf_fail(
            node->build, GPUDL_ERROR_UNSUPPORTED, error,
            "it normalises by the batch, as in training. Freeze the graph for inference (is_training=False)");
    return tf_done(node, tf_batch_norm(node->build, node->inputs, graphdef_float(node, "epsilon", 1e-4f),
                                       graphdef_is(node, "data_format", "NCHW"), error));
}

/* MatMul calls it transpose, BatchMatMul adj. */
gboolean graphdef_map_matmul(TfNode *node, GError **error)
{
    return tf_done(node,
                   tf_matmul(node->build, node->inputs[0], node->inputs[1],
                             graphdef_bool(node, "transpose_a", FALSE) || graphdef_bool(node, "adj_x", FALSE),
                             graphdef_bool(node, "transpose_b", FALSE) || graphdef_bool(node, "adj_y", FALSE), error));
}

/* Normalised by constants, before there was FusedBatchNorm: x, mean, variance, offset, scale. */
gboolean graphdef_map_old_batch_norm(TfNode *node, GError **error)
{
    GpudlTensor *const *in = node->inputs;
    GpudlTensor *ordered[5] = {in[0], in[4], in[3], in[1], in[2]};

    if (!graphdef_bool(node, "scale_after_normalization", FALSE)) {
        GpudlTensor *one = tf_scalar(node->build, in[1]->dtype, 1, error);

        ordered[1] =
            one != NULL ? tf_broadcast(node->build, one, in[1]->shape.dims, (gsize)in[1]->shape.rank, error) : NULL;
    }
    return ordered[1] != NULL &&
           tf_done(node,
                   tf_batch_norm(node->build, ordered, graphdef_float(node, "variance_epsilon", 0), FALSE, error));
}

/* The output's shape, weights: height, width, output channels of a group, input channels; the input. */
gboolean graphdef_map_conv_transpose(TfNode *node, GError **error)
{
    static const gint64 perm[] = {3, 2, 0, 1};
    const GpudlShape *w = &node->inputs[1]->shape;
    g_autofree gint64 *dims = NULL;
    GpudlTensor *weights;
    gint64 channels;
    TfWindow window;
    gsize n;

    if (w->rank != 4)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "weights of rank %d, expected 4", w->rank);
    if (!read_window(node, &window, error) || !tf_ints(node->build, node->inputs[0], "output shape", &dims, &n, error))
        return FALSE;
    channels = n == 4 ? dims[window.channels_first ? 1 : 3] : 0;
    if (channels < 1 || w->dims[2] < 1 || channels % w->dims[2] != 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "an output of rank %" G_GSIZE_FORMAT " with %" G_GINT64_FORMAT
                       " channels for weights of %" G_GINT64_FORMAT,
                       n, channels, (gint64)w->dims[2]);
    window.kernel[0] = w->dims[0];
    window.kernel[1] = w->dims[1];
    window.exact = TRUE;
    weights = tf_transpose(node->build, node->inputs[1], perm, 4, error);
    return weights != NULL &&
           tf_done(node, tf_conv_transpose(node->build, node->inputs[2], weights, NULL, &window,
                                           dims + (window.channels_first ? 2 : 1), channels / w->dims[2], error));
}
