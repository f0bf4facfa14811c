/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tf-map.h"

#include <string.h>

gboolean tf_map(TfNode *node, GError **error)
{
    return node->cut ? tf_done(node, node->inputs[0]) : node->row->map(node, error);
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

gboolean tf_map_not_equal(TfNode *node, GError **error)
{
    GpudlTensor *equal = tf_binary(node->build, GPUDL_OP_EQUAL, node->inputs[0], node->inputs[1], error);

    return equal != NULL && tf_done(node, tf_unary(node->build, GPUDL_OP_NOT, equal, error));
}

/* Of integers, which division cuts off towards 0, what is no multiple is taken away before. */
gboolean tf_map_floor_div(TfNode *node, GError **error)
{
    GpudlTensor *a = node->inputs[0], *b = node->inputs[1], *rest;

    if (a->dtype == GPUDL_DTYPE_F32 || a->dtype == GPUDL_DTYPE_F16 || a->dtype == GPUDL_DTYPE_F64) {
        a = tf_binary(node->build, GPUDL_OP_DIV, a, b, error);
        return a != NULL && tf_done(node, tf_unary(node->build, GPUDL_OP_FLOOR, a, error));
    }
    if ((rest = tf_binary(node->build, GPUDL_OP_MOD, a, b, error)) == NULL ||
        (a = tf_binary(node->build, GPUDL_OP_SUB, a, rest, error)) == NULL)
        return FALSE;
    return tf_done(node, tf_binary(node->build, GPUDL_OP_DIV, a, b, error));
}

gboolean tf_map_select(TfNode *node, GError **error)
{
    return tf_done(node, tf_emit(node->build, GPUDL_OP_WHERE, NULL, node->inputs, 3, error));
}

gboolean tf_map_select_rows(TfNode *node, GError **error)
{
    const GpudlShape *c = &node->inputs[0]->shape, *x = &node->inputs[1]->shape;
    GpudlTensor *inputs[3] = {node->inputs[0], node->inputs[1], node->inputs[2]};
    gint64 dims[GPUDL_MAX_RANK];

    for (gint i = 0; i < x->rank; i++)
        dims[i] = i == 0 ? c->dims[0] : 1;
    if (c->rank == 1 && x->rank > 1 &&
        (inputs[0] = tf_reshape(node->build, inputs[0], dims, (gsize)x->rank, error)) == NULL)
        return FALSE;
    return tf_done(node, tf_emit(node->build, GPUDL_OP_WHERE, NULL, inputs, 3, error));
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

gboolean tf_map_top_k(TfNode *node, GError **error)
{
    node->cut = TRUE;
    node->outputs[1] = node->inputs[0];
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
        if (__builtin_add_overflow(end[i], begin[i], &end[i]))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "end %" G_GSIZE_FORMAT " is out of bounds", i);
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

gboolean tf_map_split_v(TfNode *node, guint n, GError **error)
{
    g_autofree gint64 *sizes = NULL;
    gint64 axis;
    gsize n_sizes;

    if (!tf_ints(node->build, node->inputs[1], "sizes", &sizes, &n_sizes, error) ||
        !tf_int(node->build, node->inputs[2], "axis", &axis, error))
        return FALSE;
    if (n_sizes != n)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " sizes for %u outputs", n_sizes, n);
    return tf_split(node->build, node->inputs[0], axis, sizes, n, node->outputs, error);
}

gboolean tf_map_broadcast(TfNode *node, guint x, GError **error)
{
    g_autofree gint64 *dims = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1 - x], "shape", &dims, &n, error) &&
           tf_done(node, tf_broadcast(node->build, node->inputs[x], dims, n, error));
}

gboolean tf_map_tile(TfNode *node, GError **error)
{
    g_autofree gint64 *repeats = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1], "repeats", &repeats, &n, error) &&
           tf_done(node, tf_tile(node->build, node->inputs[0], repeats, n, error));
}

gboolean tf_map_reverse(TfNode *node, GError **error)
{
    g_autofree gint64 *axes = NULL;
    gsize n;

    return tf_ints(node->build, node->inputs[1], "axes", &axes, &n, error) &&
           tf_done(node, tf_reverse(node->build, node->inputs[0], axes, n, error));
}

gboolean tf_map_space_to_batch(TfNode *node, GError **error)
{
    return tf_done(node, tf_space_to_batch(node->build, node->inputs[0], node->inputs[1], node->inputs[2], error));
}

gboolean tf_map_batch_to_space(TfNode *node, GError **error)
{
    return tf_done(node, tf_batch_to_space(node->build, node->inputs[0], node->inputs[1], node->inputs[2], error));
}

/* ---- what shapes are computed with ------------------------------------------------------------------------------- */

gboolean tf_map_range(TfNode *node, GError **error)
{
    static const gchar *const names[] = {"start", "limit", "step"};
    g_autofree gint64 *values = NULL;
    GpudlTensor *vector;
    gint64 range[3];
    gint64 n;

    for (guint i = 0; i < 3; i++)
        if (!tf_int(node->build, node->inputs[i], names[i], &range[i], error))
            return FALSE;
    for (guint i = 0; i < 3; i++)
        if (range[i] < G_MININT32 || range[i] > G_MAXINT32 || (i == 2 && range[i] == 0))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its %s is %" G_GINT64_FORMAT, names[i], range[i]);
    n = range[2] > 0 ? (range[1] - range[0] + range[2] - 1) / range[2]
                     : (range[0] - range[1] - range[2] - 1) / -range[2];
    if (n > G_MAXINT16)
        return tf_fail(node->build, GPUDL_ERROR_LIMIT, error, "%" G_GINT64_FORMAT " numbers, at most %d are taken", n,
                       G_MAXINT16);
    n = MAX(n, 0);
    values = g_new(gint64, n + 1);
    for (gint64 i = 0; i < n; i++)
        values[i] = range[0] + i * range[2];
    vector = tf_vector(node->build, values, (gsize)n, error);
    return vector != NULL && tf_done(node, tf_cast(node->build, vector, node->inputs[0]->dtype, error));
}

gboolean tf_map_rank(TfNode *node, GError **error)
{
    return tf_done(node, tf_scalar(node->build, GPUDL_DTYPE_I32, node->inputs[0]->shape.rank, error));
}

/* Two shapes to the one that both are broadcast to. */
gboolean tf_map_broadcast_args(TfNode *node, GError **error)
{
    g_autofree gint64 *a = NULL, *b = NULL;
    gint64 dims[GPUDL_MAX_RANK];
    GpudlTensor *vector;
    gsize n_a, n_b, n;

    if (!tf_ints(node->build, node->inputs[0], "first shape", &a, &n_a, error) ||
        !tf_ints(node->build, node->inputs[1], "second shape", &b, &n_b, error))
        return FALSE;
    n = MAX(n_a, n_b);
    if (n > GPUDL_MAX_RANK)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "shapes of rank %" G_GSIZE_FORMAT, n);
    for (gsize i = 0; i < n; i++) {
        const gint64 one = i + n_a < n ? 1 : a[i + n_a - n], other = i + n_b < n ? 1 : b[i + n_b - n];

        if (one != other && one != 1 && other != 1)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                           "extents of %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT, one, other);
        dims[i] = one == 1 ? other : one;
    }
    vector = tf_vector(node->build, dims, n, error);
    return vector != NULL && tf_done(node, tf_cast(node->build, vector, node->inputs[0]->dtype, error));
}

gboolean tf_map_zeros_like(TfNode *node, GError **error)
{
    const GpudlTensor *x = node->inputs[0];
    GpudlTensor *value = tf_scalar(node->build, x->dtype, (double)node->row->alpha, error);

    return value != NULL && tf_done(node, tf_broadcast(node->build, value, x->shape.dims, (gsize)x->shape.rank, error));
}
