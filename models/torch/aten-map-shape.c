/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The same values in another shape or order. */
#include <string.h>

#include "aten-internal.h"

/* ---- unchanged --------------------------------------------------------------------------------------------------- */

gboolean aten_map_same(AtenNode *node, GError **error)
{
    return aten_done(node, aten_tensor(node, node->names[0], error));
}

gboolean aten_map_dropout(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "input", error);
    gboolean train;
    double p;

    if (x == NULL || !aten_flag(node, "train", FALSE, &train, error) || !aten_number(node, "p", 0, &p, error))
        return FALSE;
    if (train && p > 0)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "it was exported in training mode. model.eval() before torch.export.export() says that it is "
                       "to classify");
    return aten_done(node, x);
}

/* Another type, or that of another tensor. */
gboolean aten_map_to(AtenNode *node, GError **error)
{
    const AtenValue *other = aten_arg(node, "other");
    GpudlTensor *x = aten_tensor(node, "self", error);
    GpudlDType dtype = GPUDL_DTYPE_NONE;

    if (x == NULL)
        return FALSE;
    if (other != NULL && other->kind == ATEN_TENSOR && other->tensor != NULL)
        dtype = other->tensor->dtype;
    else if (!aten_dtype(node, "dtype", &dtype, error))
        return FALSE;
    return aten_done(node, dtype != GPUDL_DTYPE_NONE ? tf_cast(node->build, x, dtype, error) : x);
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* Whether a tensor is a piece of another, in whose memory it may not begin. */
static gboolean is_piece(const GpudlTensor *x)
{
    while (x->producer != NULL && (x->producer->op == GPUDL_OP_RESHAPE || x->producer->op == GPUDL_OP_TRANSPOSE))
        x = x->producer->inputs[0];
    return x->producer != NULL && (x->producer->op == GPUDL_OP_SLICE || x->producer->op == GPUDL_OP_SPLIT);
}

/* view, reshape; as_strided where nothing but the shape changes. An offset counts from the memory's begin. */
gboolean aten_map_view(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    const AtenValue *given = aten_arg(node, "storage_offset");
    gint64 dims[GPUDL_MAX_RANK], strides[GPUDL_MAX_RANK], offset, elements = 1;
    guint n, n_strides, wide = 0;

    if (x != NULL && g_str_has_suffix(node->row->name, "_as")) {
        const GpudlTensor *other = aten_tensor(node, "other", error);

        return other != NULL && aten_done(node, aten_view(node, x, other->shape.dims, (guint)other->shape.rank, error));
    }
    if (x == NULL || !aten_ints(node, node->names[1], dims, GPUDL_MAX_RANK, &n, error))
        return FALSE;
    if (strcmp(node->row->name, "as_strided") != 0)
        return aten_done(node, aten_view(node, x, dims, n, error));
    if (!aten_ints(node, "stride", strides, GPUDL_MAX_RANK, &n_strides, error) ||
        !aten_int(node, "storage_offset", 0, &offset, error))
        return FALSE;
    for (gint i = 0; i < x->shape.rank; i++)
        wide += x->shape.dims[i] != 1;
    for (guint i = n; i-- > 0;) {
        /* in memory the input has its one dimension's order, whatever its strides */
        if (n_strides != n || dims[i] < 0 || (dims[i] != 1 && strides[i] != elements))
            wide = 2;
        if (__builtin_mul_overflow(elements, dims[i], &elements))
            wide = 2;
    }
    if (given != NULL && given->kind != ATEN_NONE && is_piece(x))
        wide = 2;
    if (wide > 1 || offset != 0 || elements != gpudl_shape_elements(&x->shape))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "a view by strides of more than one dimension, which depends on how memory is laid out");
    return aten_done(node, aten_view(node, x, dims, n, error));
}

gboolean aten_map_flatten(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dims[GPUDL_MAX_RANK], from, to;
    gint begin, end;
    guint n = 0;

    if (x == NULL || !aten_int(node, "start_dim", 0, &from, error) || !aten_int(node, "end_dim", -1, &to, error) ||
        !aten_axis(node, from, x->shape.rank, &begin, error) || !aten_axis(node, to, x->shape.rank, &end, error))
        return FALSE;
    if (begin > end)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "from dimension %d to %d", begin, end);
    for (gint i = 0; i < begin; i++)
        dims[n++] = 0;
    dims[n++] = -1;
    for (gint i = end + 1; i < x->shape.rank; i++)
        dims[n++] = x->shape.dims[i];
    return aten_done(node, aten_reshape(node, x, dims, n, error));
}

/* One dimension becomes several. */
gboolean aten_map_unflatten(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 sizes[GPUDL_MAX_RANK], dims[2 * GPUDL_MAX_RANK], dim, known = 1;
    guint n, n_dims = 0;
    gint axis;

    if (x == NULL || !aten_int(node, "dim", 0, &dim, error) || !aten_axis(node, dim, x->shape.rank, &axis, error) ||
        !aten_ints(node, "sizes", sizes, GPUDL_MAX_RANK, &n, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (sizes[i] > 0 && __builtin_mul_overflow(known, sizes[i], &known))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its sizes overflow");
    for (gint i = 0; i < x->shape.rank; i++) {
        if (i != axis) {
            dims[n_dims++] = i < axis ? 0 : x->shape.dims[i];
            continue;
        }
        for (guint k = 0; k < n; k++)
            dims[n_dims++] = sizes[k] > 0 ? sizes[k] : x->shape.dims[i] / known;
    }
    return aten_done(node, aten_reshape(node, x, dims, n_dims, error));
}

gboolean aten_map_squeeze(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dims[GPUDL_MAX_RANK], out[GPUDL_MAX_RANK];
    gboolean drop[GPUDL_MAX_RANK] = {FALSE}, dropped = FALSE, rest = FALSE;
    guint n, kept = 0;

    if (x == NULL || !aten_ints(node, "dim", dims, GPUDL_MAX_RANK, &n, error))
        return FALSE;
    for (gint i = 0; i < x->shape.rank && n == 0; i++)
        drop[i] = x->shape.dims[i] == 1;
    for (guint i = 0; i < n; i++) {
        gint axis;

        if (!aten_axis(node, dims[i], x->shape.rank, &axis, error))
            return FALSE;
        drop[axis] = x->shape.rank > 0 && x->shape.dims[axis] == 1;
    }
    for (gint i = 0; i < x->shape.rank; i++) {
        dropped = dropped || drop[i];
        if (!drop[i])
            out[kept++] = !dropped ? 0 : rest ? x->shape.dims[i] : -1;
        rest = rest || (dropped && !drop[i]);
    }
    return aten_done(node, dropped ? aten_reshape(node, x, out, kept, error) : x);
}

gboolean aten_map_unsqueeze(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 dims[GPUDL_MAX_RANK + 1], dim;
    gint axis;

    if (x == NULL || !aten_int(node, "dim", 0, &dim, error) || !aten_axis(node, dim, x->shape.rank + 1, &axis, error))
        return FALSE;
    for (gint i = 0; i <= x->shape.rank; i++)
        dims[i] = i < axis ? 0 : i == axis ? 1 : i == axis + 1 ? -1 : x->shape.dims[i - 1];
    return aten_done(node, aten_reshape(node, x, dims, (guint)x->shape.rank + 1, error));
}

/* -1 keeps an extent; dimensions may be added in front. */
gboolean aten_map_expand(AtenNode *node, GError **error)
{
    const AtenValue *other = node->n_names > 1 ? aten_arg(node, "other") : NULL;
    GpudlTensor *x = aten_tensor(node, "self", error), *like;
    gint64 dims[GPUDL_MAX_RANK];
    guint n, front;

    if (x == NULL)
        return FALSE;
    if (other != NULL) {
        if ((like = aten_tensor(node, "other", error)) == NULL)
            return FALSE;
        n = (guint)like->shape.rank;
        memcpy(dims, like->shape.dims, sizeof dims);
    } else if (!aten_ints(node, "size", dims, GPUDL_MAX_RANK, &n, error)) {
        return FALSE;
    }
    if (n < (guint)x->shape.rank)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%u extents for a tensor of rank %d", n, x->shape.rank);
    front = n - (guint)x->shape.rank;
    for (guint i = 0; i < n; i++) {
        const gint64 old = i < front ? 1 : x->shape.dims[i - front];

        if (dims[i] < -1 || dims[i] == 0 || (dims[i] == -1 && i < front))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "an extent of %" G_GINT64_FORMAT, dims[i]);
        dims[i] = dims[i] == -1 || dims[i] == old ? 1 : dims[i];
    }
    return aten_done(node, tf_broadcast(node->build, x, dims, n, error));
}

/* The second in the type and the shape of the first, whose values are gone. */
gboolean aten_map_copy(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *y;
    gint64 dims[GPUDL_MAX_RANK];

    if (x == NULL || (y = aten_tensor(node, "src", error)) == NULL)
        return FALSE;
    for (gint i = x->shape.rank - 1, k = y->shape.rank - 1; i >= 0 || k >= 0; i--, k--) {
        const gint64 old = k >= 0 ? y->shape.dims[k] : 1;

        if (i < 0 || (old != 1 && old != x->shape.dims[i]))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "what is copied does not fit in its place");
        dims[i] = old == x->shape.dims[i] ? 1 : x->shape.dims[i];
    }
    if (y->dtype != x->dtype && (y = tf_cast(node->build, y, x->dtype, error)) == NULL)
        return FALSE;
    return aten_done(node, gpudl_shape_equal(&x->shape, &y->shape)
                               ? y
                               : tf_broadcast(node->build, y, dims, (gsize)x->shape.rank, error));
}

/* ---- order ------------------------------------------------------------------------------------------------------- */

gboolean aten_map_permute(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 perm[GPUDL_MAX_RANK];
    guint n;

    return x != NULL && aten_ints(node, "dims", perm, GPUDL_MAX_RANK, &n, error) &&
           aten_done(node, tf_transpose(node->build, x, perm, n, error));
}

static gboolean swap(AtenNode *node, GpudlTensor *x, gint64 a, gint64 b, GError **error)
{
    gint64 perm[GPUDL_MAX_RANK];
    gint from, to;

    if (!aten_axis(node, a, x->shape.rank, &from, error) || !aten_axis(node, b, x->shape.rank, &to, error))
        return FALSE;
    for (gint i = 0; i < x->shape.rank; i++)
        perm[i] = i == from ? to : i == to ? from : i;
    return aten_done(node, tf_transpose(node->build, x, perm, (gsize)x->shape.rank, error));
}

gboolean aten_map_transpose(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 a, b;

    return x != NULL && aten_int(node, node->names[1], 0, &a, error) && aten_int(node, node->names[2], 0, &b, error) &&
           swap(node, x, a, b, error);
}

gboolean aten_map_t(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);

    if (x == NULL || x->shape.rank < 2)
        return aten_done(node, x);
    if (x->shape.rank > 2)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "of a tensor of rank %d", x->shape.rank);
    return swap(node, x, 0, 1, error);
}

/* N x C r r x H x W to N x C x H r x W r, or back. */
gboolean aten_map_pixel_shuffle(AtenNode *node, GError **error)
{
    static const gint64 spread[] = {0, 1, 4, 2, 5, 3}, gathered[] = {0, 1, 3, 5, 2, 4};
    const gboolean up = strcmp(node->row->name, "pixel_shuffle") == 0;
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 r, c, h, w;

    if (x == NULL || !aten_int(node, up ? "upscale_factor" : "downscale_factor", 1, &r, error))
        return FALSE;
    if (x->shape.rank != 4 || r < 1 || r > G_MAXINT16)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "by %" G_GINT64_FORMAT " of a tensor of rank %d", r,
                       x->shape.rank);
    c = x->shape.dims[1];
    h = x->shape.dims[2];
    w = x->shape.dims[3];
    if (up ? c % (r * r) != 0 : h % r != 0 || w % r != 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "extents that %" G_GINT64_FORMAT " does not divide", r);
    {
        const gint64 up_from[] = {0, c / (r * r), r, r, h, w}, up_to[] = {0, c / (r * r), h * r, w * r};
        const gint64 down_from[] = {0, c, h / r, r, w / r, r}, down_to[] = {0, c * r * r, h / r, w / r};

        x = aten_reshape(node, x, up ? up_from : down_from, 6, error);
        x = x != NULL ? tf_transpose(node->build, x, up ? spread : gathered, 6, error) : NULL;
        return x != NULL && aten_done(node, aten_reshape(node, x, up ? up_to : down_to, 4, error));
    }
}

gboolean aten_map_channel_shuffle(AtenNode *node, GError **error)
{
    static const gint64 perm[] = {0, 2, 1, 3, 4};
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 groups;

    if (x == NULL || !aten_int(node, "groups", 1, &groups, error))
        return FALSE;
    if (x->shape.rank != 4 || groups < 1 || x->shape.dims[1] % groups != 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GINT64_FORMAT " groups of a tensor of rank %d",
                       groups, x->shape.rank);
    {
        const gint64 *d = x->shape.dims;
        const gint64 apart[] = {0, groups, d[1] / groups, d[2], d[3]}, together[] = {0, d[1], d[2], d[3]};

        x = aten_reshape(node, x, apart, 5, error);
        x = x != NULL ? tf_transpose(node->build, x, perm, 5, error) : NULL;
        return x != NULL && aten_done(node, aten_reshape(node, x, together, 4, error));
    }
}
