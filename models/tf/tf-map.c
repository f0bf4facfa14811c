/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tf-map.h"

#include <string.h>

const TfOp *tf_op_find(const TfOp *table, gsize n, const gchar *name)
{
    for (gsize i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    return NULL;
}

gboolean tf_done(TfNode *node, GpudlTensor *y)
{
    node->outputs[0] = y;
    return y != NULL;
}

/* ---- element by element -------------------------------------------------------------------------------------------
 */

gboolean tf_map_identity(TfNode *node, GError **error)
{
    return tf_done(node, node->inputs[0]);
}

gboolean tf_map_unary(TfNode *node, GError **error)
{
    return tf_done(node, tf_unary(node->build, node->row->op, node->inputs[0], error));
}

gboolean tf_map_binary(TfNode *node, GError **error)
{
    return tf_done(node, tf_binary(node->build, node->row->op, node->inputs[0], node->inputs[1], error));
}

gboolean tf_map_act(TfNode *node, GError **error)
{
    return tf_done(
        node, tf_activation(node->build, node->row->act, node->row->alpha, node->row->beta, node->inputs[0], error));
}

gboolean tf_map_elu(TfNode *node, GError **error)
{
    GpudlAttrs attrs = {.unary.act = {.alpha = 1}};

    return tf_done(node, tf_emit(node->build, GPUDL_OP_ELU, &attrs, node->inputs, 1, error));
}

gboolean tf_map_square(TfNode *node, GError **error)
{
    return tf_done(node, tf_binary(node->build, GPUDL_OP_MUL, node->inputs[0], node->inputs[0], error));
}

gboolean tf_map_squared_difference(TfNode *node, GError **error)
{
    GpudlTensor *d = tf_binary(node->build, GPUDL_OP_SUB, node->inputs[0], node->inputs[1], error);

    return tf_done(node, d != NULL ? tf_binary(node->build, GPUDL_OP_MUL, d, d, error) : NULL);
}

gboolean tf_map_rsqrt(TfNode *node, GError **error)
{
    return tf_done(node, tf_rsqrt(node->build, node->inputs[0], error));
}

gboolean tf_map_add_n(TfNode *node, GError **error)
{
    GpudlTensor *sum = node->inputs[0];

    for (guint i = 1; i < node->n_inputs && sum != NULL; i++)
        sum = tf_binary(node->build, GPUDL_OP_ADD, sum, node->inputs[i], error);
    return tf_done(node, sum);
}

/* ---- along axes ---------------------------------------------------------------------------------------------------
 */

gboolean tf_map_reduce(TfNode *node, gboolean keep_dims, GError **error)
{
    g_autofree gint64 *axes = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1], "axes", &axes, &n, error) &&
           tf_done(node, tf_reduce(node->build, node->row->op, node->inputs[0], axes, n, keep_dims, error));
}

/* The scores stand for the choice among them. */
gboolean tf_map_arg_max(TfNode *node, GError **error)
{
    gint64 axis;

    if (!tf_int(node->build, node->inputs[1], "axis", &axis, error))
        return FALSE;
    if (axis != -1 && axis != node->inputs[0]->shape.rank - 1)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "the best along dimension %" G_GINT64_FORMAT "; along the last one is taken", axis);
    node->cut = TRUE;
    return tf_done(node, node->inputs[0]);
}

/* ---- data movement ------------------------------------------------------------------------------------------------
 */

gboolean tf_map_reshape(TfNode *node, GError **error)
{
    g_autofree gint64 *dims = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1], "shape", &dims, &n, error) &&
           tf_done(node, tf_reshape(node->build, node->inputs[0], dims, n, error));
}

gboolean tf_map_expand_dims(TfNode *node, GError **error)
{
    gint64 axis;

    return tf_int(node->build, node->inputs[1], "axis", &axis, error) &&
           tf_done(node, tf_expand_dims(node->build, node->inputs[0], axis, error));
}

gboolean tf_map_transpose(TfNode *node, GError **error)
{
    g_autofree gint64 *perm = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1], "order", &perm, &n, error) &&
           tf_done(node, tf_transpose(node->build, node->inputs[0], perm, n, error));
}

gboolean tf_map_split(TfNode *node, guint n, GError **error)
{
    gint64 axis;

    return tf_int(node->build, node->inputs[0], "axis", &axis, error) &&
           tf_split(node->build, node->inputs[1], axis, NULL, n, node->outputs, error);
}

gboolean tf_map_slice(TfNode *node, GError **error)
{
    g_autofree gint64 *begin = NULL, *size = NULL;
    gsize n, n_size;

    if (!tf_ints(node->build, node->inputs[1], "begin", &begin, &n, error) ||
        !tf_ints(node->build, node->inputs[2], "size", &size, &n_size, error))
        return FALSE;
    if (n != n_size)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " begins, %" G_GSIZE_FORMAT " sizes",
                       n, n_size);
    return tf_done(node, tf_slice(node->build, node->inputs[0], begin, size, n, error));
}

gboolean tf_map_strided_slice(TfNode *node, const TfMasks *masks, gboolean offset, GError **error)
{
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
    for (gsize i = 0; i < n && offset; i++)
        end[i] += begin[i];
    return tf_done(node, tf_strided_slice(node->build, node->inputs[0], begin, end, strides, n, masks, error));
}

gboolean tf_map_pad(TfNode *node, GError **error)
{
    double value = 0;

    if (node->n_inputs > 2 && node->inputs[2] != NULL &&
        !tf_number(node->build, node->inputs[2], "value", &value, error))
        return FALSE;
    return tf_done(node, tf_pad(node->build, node->inputs[0], node->inputs[1], TF_PAD_CONSTANT, value, error));
}

gboolean tf_map_mirror_pad(TfNode *node, gboolean symmetric, GError **error)
{
    return tf_done(node, tf_pad(node->build, node->inputs[0], node->inputs[1],
                                symmetric ? TF_PAD_SYMMETRIC : TF_PAD_REFLECT, 0, error));
}

gboolean tf_map_shape(TfNode *node, GpudlDType dtype, GError **error)
{
    return tf_done(node, tf_shape(node->build, node->inputs[0],
                                  dtype == GPUDL_DTYPE_I64 ? GPUDL_DTYPE_I64 : GPUDL_DTYPE_I32, error));
}
