/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data movement, and what goes along axes. */
#include <string.h>

#include "tf-layers.h"

static gboolean check_rank(TfBuild *build, gint64 rank, GError **error)
{
    if (rank < 0 || rank > GPUDL_MAX_RANK)
        return tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error,
                       "a tensor of rank %" G_GINT64_FORMAT ", at most %d is taken", rank, GPUDL_MAX_RANK);
    return TRUE;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* dims as attrs.shape means them: 0 keeps the input's dimension at that place. */
static GpudlTensor *emit_reshape(TfBuild *build, GpudlTensor *x, const gint64 *dims, gint rank, GError **error)
{
    GpudlAttrs attrs = {.shape.rank = rank};

    if (!check_rank(build, rank, error))
        return NULL;
    memcpy(attrs.shape.dims, dims, (gsize)rank * sizeof *dims);
    return tf_emit(build, GPUDL_OP_RESHAPE, &attrs, &x, 1, error);
}

GpudlTensor *tf_reshape(TfBuild *build, GpudlTensor *x, const gint64 *dims, gsize n, GError **error)
{
    for (gsize i = 0; i < n; i++)
        if (dims[i] == 0 || dims[i] < -1) {
            tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error, "a shape with an extent of %" G_GINT64_FORMAT, dims[i]);
            return NULL;
        }
    return emit_reshape(build, x, dims, (gint)MIN(n, GPUDL_MAX_RANK + 1), error);
}

GpudlTensor *tf_transpose(TfBuild *build, GpudlTensor *x, const gint64 *perm, gsize n, GError **error)
{
    GpudlAttrs attrs = {.transpose.rank = x->shape.rank};

    if (n != (gsize)x->shape.rank) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "an order of %" G_GSIZE_FORMAT " dimensions for a tensor of rank %d",
                n, x->shape.rank);
        return NULL;
    }
    for (gsize i = 0; i < n; i++)
        if (!tf_axis(build, perm[i], x->shape.rank, &attrs.transpose.perm[i], error))
            return NULL;
    return tf_emit(build, GPUDL_OP_TRANSPOSE, &attrs, &x, 1, error);
}

GpudlTensor *tf_expand_dims(TfBuild *build, GpudlTensor *x, gint64 axis, GError **error)
{
    const gint rank = x->shape.rank;
    gint64 dims[GPUDL_MAX_RANK + 1];
    gint32 at;

    if (!tf_axis(build, axis, rank + 1, &at, error))
        return NULL;
    for (gint i = 0; i <= rank; i++)
        dims[i] = i < at ? 0 : i == at ? 1 : x->shape.dims[i - 1];
    return emit_reshape(build, x, dims, rank + 1, error);
}

GpudlTensor *tf_squeeze(TfBuild *build, GpudlTensor *x, const gint64 *axes, gsize n, GError **error)
{
    const gint rank = x->shape.rank;
    gboolean drop[GPUDL_MAX_RANK] = {FALSE}, dropped = FALSE;
    gint64 dims[GPUDL_MAX_RANK];
    gint kept = 0;

    for (gsize i = 0; i < n; i++) {
        gint32 axis;

        if (!tf_axis(build, axes[i], rank, &axis, error))
            return NULL;
        if (x->shape.dims[axis] != 1) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error,
                    "dimension %d has an extent of %" G_GINT64_FORMAT ", expected 1 to take it out", axis,
                    (gint64)x->shape.dims[axis]);
            return NULL;
        }
        drop[axis] = TRUE;
    }
    for (gint i = 0; i < rank && n == 0; i++)
        drop[i] = x->shape.dims[i] == 1;
    for (gint i = 0; i < rank; i++) {
        dropped = dropped || drop[i];
        if (!drop[i])
            dims[kept++] = dropped ? x->shape.dims[i] : 0;
    }
    return emit_reshape(build, x, dims, kept, error);
}

GpudlTensor *tf_broadcast(TfBuild *build, GpudlTensor *x, const gint64 *dims, gsize n, GError **error)
{
    GpudlAttrs attrs = {.shape.rank = (gint32)MIN(n, GPUDL_MAX_RANK + 1)};

    if (!check_rank(build, attrs.shape.rank, error))
        return NULL;
    memcpy(attrs.shape.dims, dims, n * sizeof *dims);
    return tf_emit(build, GPUDL_OP_EXPAND, &attrs, &x, 1, error);
}

GpudlTensor *tf_shape(TfBuild *build, const GpudlTensor *x, GpudlDType dtype, GError **error)
{
    gint64 dims[GPUDL_MAX_RANK];
    GpudlTensor *vector;

    for (gint i = 0; i < x->shape.rank; i++)
        dims[i] = x->shape.dims[i];
    vector = tf_vector(build, dims, (gsize)x->shape.rank, error);
    return vector != NULL ? tf_cast(build, vector, dtype, error) : NULL;
}

/* ---- pieces ------------------------------------------------------------------------------------------------------ */

GpudlTensor *tf_concat(TfBuild *build, GpudlTensor *const *xs, guint n, gint64 axis, GError **error)
{
    GpudlAttrs attrs = {0};

    if (n == 0)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "no inputs"), NULL;
    if (!tf_axis(build, axis, xs[0]->shape.rank, &attrs.axis.axis, error))
        return NULL;
    return tf_emit(build, GPUDL_OP_CONCAT, &attrs, xs, n, error);
}

gboolean tf_split(TfBuild *build, GpudlTensor *x, gint64 axis, const gint64 *sizes, guint n, GpudlTensor **outputs,
                  GError **error)
{
    GpudlAttrs attrs = {0};
    gint64 extent, sum = 0;
    gint rest = -1;

    if (n < 1 || n > GPUDL_MAX_OUTPUTS)
        return tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error, "%u pieces, expected 1 to %d", n, GPUDL_MAX_OUTPUTS);
    if (!tf_axis(build, axis, x->shape.rank, &attrs.axis.axis, error))
        return FALSE;
    extent = x->shape.dims[attrs.axis.axis];
    if (sizes == NULL && extent % n != 0)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "an extent of %" G_GINT64_FORMAT " in %u equal pieces", extent,
                       n);
    attrs.axis.n_sizes = (gint32)n;
    for (guint i = 0; i < n; i++) {
        attrs.axis.sizes[i] = sizes != NULL ? sizes[i] : extent / n;
        if (attrs.axis.sizes[i] < 0)
            rest = (gint)i;
        else
            sum += MIN(attrs.axis.sizes[i], extent + 1);
    }
    if (rest >= 0)
        attrs.axis.sizes[rest] = MAX(extent - sum, 0);
    return tf_emit_many(build, GPUDL_OP_SPLIT, &attrs, &x, 1, outputs, n, error);
}

GpudlTensor *tf_pack(TfBuild *build, GpudlTensor *const *xs, guint n, gint64 axis, GError **error)
{
    g_autofree GpudlTensor **each = g_new0(GpudlTensor *, n + 1);

    for (guint i = 0; i < n; i++)
        if ((each[i] = tf_expand_dims(build, xs[i], axis, error)) == NULL)
            return NULL;
    return tf_concat(build, each, n, axis, error);
}

gboolean tf_unpack(TfBuild *build, GpudlTensor *x, gint64 axis, guint n, GpudlTensor **outputs, GError **error)
{
    gint32 at;

    if (!tf_axis(build, axis, x->shape.rank, &at, error))
        return FALSE;
    if (x->shape.dims[at] != n)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "an extent of %" G_GINT64_FORMAT " in %u tensors",
                       (gint64)x->shape.dims[at], n);
    if (!tf_split(build, x, at, NULL, n, outputs, error))
        return FALSE;
    for (guint i = 0; i < n; i++) {
        const gint64 axes[1] = {at};

        if ((outputs[i] = tf_squeeze(build, outputs[i], axes, 1, error)) == NULL)
            return FALSE;
    }
    return TRUE;
}

/* ---- slices ------------------------------------------------------------------------------------------------------ */

static gboolean has(gint64 mask, gsize i)
{
    return i < 32 && (mask >> i & 1) != 0;
}

/* One entry of a strided slice onto dimension `axis` of the input. */
static gboolean slice_axis(TfBuild *build, const GpudlTensor *x, gint axis, gint64 begin, gint64 end, gint64 stride,
                           gboolean from_start, gboolean to_end, gboolean shrink, GpudlSliceAttrs *slice,
                           GError **error)
{
    const gint64 extent = x->shape.dims[axis];

    if (stride == 0)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "a stride of 0");
    if (shrink) {
        const gint64 at = begin < 0 ? begin + extent : begin;

        if (at < 0 || at >= extent)
            return tf_fail(build, GPUDL_ERROR_FORMAT, error,
                           "index %" G_GINT64_FORMAT " of an extent of %" G_GINT64_FORMAT, begin, extent);
        slice->start[axis] = at;
        slice->end[axis] = at + 1;
        slice->step[axis] = 1;
        return TRUE;
    }
    slice->start[axis] = !from_start ? begin : stride > 0 ? 0 : G_MAXINT64;
    slice->end[axis] = !to_end ? end : stride > 0 ? G_MAXINT64 : G_MININT64;
    slice->step[axis] = stride;
    return TRUE;
}

GpudlTensor *tf_strided_slice(TfBuild *build, GpudlTensor *x, const gint64 *begin, const gint64 *end,
                              const gint64 *strides, gsize n, const TfMasks *masks, GError **error)
{
    const gint rank = x->shape.rank;
    GpudlAttrs attrs = {.slice.rank = rank};
    gboolean shrunk[GPUDL_MAX_RANK] = {FALSE}, changed = FALSE, seen = FALSE;
    gint before[GPUDL_MAX_RANK + 1] = {0}; /* new axes before each dimension */
    gint64 dims[2 * GPUDL_MAX_RANK + 2];
    gsize used = 0;
    gint axis = 0, out = 0, n_new = 0;

    for (gint i = 0; i < rank; i++) {
        attrs.slice.end[i] = G_MAXINT64;
        attrs.slice.step[i] = 1;
    }
    for (gsize i = 0; i < n; i++)
        used += !has(masks->new_axis, i) && !has(masks->ellipsis, i);
    for (gsize i = 0; i < n; i++) {
        if (has(masks->ellipsis, i) && !seen) {
            seen = TRUE;
            axis += MAX(rank - (gint)MIN(used, (gsize)rank), 0);
        } else if (has(masks->new_axis, i)) {
            if (++n_new > GPUDL_MAX_RANK)
                return check_rank(build, rank + n_new, error), NULL;
            before[axis]++;
            changed = TRUE;
        } else if (axis >= rank) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " indices into a tensor of rank %d", n, rank);
            return NULL;
        } else {
            shrunk[axis] = has(masks->shrink_axis, i);
            changed = changed || shrunk[axis];
            if (!slice_axis(build, x, axis, begin[i], end[i], strides[i], has(masks->begin, i), has(masks->end, i),
                            shrunk[axis], &attrs.slice, error))
                return NULL;
            axis++;
        }
    }
    x = tf_emit(build, GPUDL_OP_SLICE, &attrs, &x, 1, error);
    if (x == NULL || !changed)
        return x;
    for (gint i = 0; i <= rank; i++) {
        for (gint k = 0; k < before[i]; k++)
            dims[out++] = 1;
        if (i < rank && !shrunk[i]) {
            dims[out] = i == out ? 0 : x->shape.dims[i];
            out++;
        }
    }
    /* a dimension of extent 0 can't be written, and nothing but constants is empty */
    return emit_reshape(build, x, dims, out, error);
}

GpudlTensor *tf_slice(TfBuild *build, GpudlTensor *x, const gint64 *begin, const gint64 *size, gsize n, GError **error)
{
    GpudlAttrs attrs = {.slice.rank = x->shape.rank};

    if (n != (gsize)x->shape.rank) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " begins for a tensor of rank %d", n,
                x->shape.rank);
        return NULL;
    }
    for (gsize i = 0; i < n; i++) {
        const gint64 extent = x->shape.dims[i];

        if (begin[i] < 0 || begin[i] > extent || size[i] < -1 || size[i] > extent - begin[i]) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error,
                    "%" G_GINT64_FORMAT " from %" G_GINT64_FORMAT " on of an extent of %" G_GINT64_FORMAT, size[i],
                    begin[i], extent);
            return NULL;
        }
        attrs.slice.start[i] = begin[i];
        attrs.slice.end[i] = size[i] < 0 || begin[i] + size[i] == extent ? G_MAXINT64 : begin[i] + size[i];
        attrs.slice.step[i] = 1;
    }
    return tf_emit(build, GPUDL_OP_SLICE, &attrs, &x, 1, error);
}

/* ---- padding ----------------------------------------------------------------------------------------------------- */

GpudlTensor *tf_pad(TfBuild *build, GpudlTensor *x, GpudlTensor *pads, TfPadMode mode, double value, GError **error)
{
    const gint64 flat[1] = {-1};
    const gint rank = x->shape.rank;
    GpudlAttrs attrs = {
        .pad = {.rank = rank, .mode = mode == TF_PAD_REFLECT ? GPUDL_PAD_REFLECT : GPUDL_PAD_CONSTANT, .value = value}};
    g_autofree gint64 *values = NULL;
    gboolean ones = TRUE;
    gsize n;

    if ((pads = tf_reshape(build, pads, flat, 1, error)) == NULL ||
        !tf_ints(build, pads, "padding", &values, &n, error))
        return NULL;
    if (n != 2 * (gsize)rank) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " paddings for a tensor of rank %d", n, rank);
        return NULL;
    }
    for (gint i = 0; i < 2 * rank; i++) {
        if (values[i] < 0 || values[i] > G_MAXINT32) {
            tf_fail(build, GPUDL_ERROR_FORMAT, error, "a padding of %" G_GINT64_FORMAT, values[i]);
            return NULL;
        }
        ones = ones && values[i] <= 1;
        (i % 2 == 0 ? attrs.pad.begin : attrs.pad.end)[i / 2] = values[i];
    }
    if (mode == TF_PAD_SYMMETRIC) {
        if (!ones) {
            tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error, "symmetric padding by more than 1; REFLECT is taken");
            return NULL;
        }
        attrs.pad.mode = GPUDL_PAD_EDGE; /* the same by one */
    }
    return tf_emit(build, GPUDL_OP_PAD, &attrs, &x, 1, error);
}

/* ---- along axes -------------------------------------------------------------------------------------------------- */

GpudlTensor *tf_reduce(TfBuild *build, GpudlOp op, GpudlTensor *x, const gint64 *axes, gsize n, gboolean keep_dims,
                       GError **error)
{
    GpudlAttrs attrs = {.reduce.keepdims = keep_dims};

    if (n == 0)
        return tf_unary(build, GPUDL_OP_IDENTITY, x, error);
    for (gsize i = 0; i < n; i++) {
        gboolean twice = FALSE;
        gint32 axis;

        if (!tf_axis(build, axes[i], x->shape.rank, &axis, error))
            return NULL;
        for (gint k = 0; k < attrs.reduce.n_axes; k++)
            twice = twice || attrs.reduce.axes[k] == axis;
        if (!twice)
            attrs.reduce.axes[attrs.reduce.n_axes++] = axis;
    }
    return tf_emit(build, op, &attrs, &x, 1, error);
}

GpudlTensor *tf_gather(TfBuild *build, GpudlTensor *x, GpudlTensor *indices, gint64 axis, GError **error)
{
    GpudlTensor *inputs[2] = {x, indices};
    GpudlAttrs attrs = {0};

    if (!tf_axis(build, axis, x->shape.rank, &attrs.axis.axis, error))
        return NULL;
    return tf_emit(build, GPUDL_OP_GATHER, &attrs, inputs, 2, error);
}

GpudlTensor *tf_softmax(TfBuild *build, GpudlOp op, GpudlTensor *x, double beta, GError **error)
{
    GpudlAttrs attrs = {.axis.axis = x->shape.rank - 1};
    GpudlTensor *scale;

    if (x->shape.rank < 1) {
        tf_fail(build, GPUDL_ERROR_FORMAT, error, "an input of rank 0");
        return NULL;
    }
    if (beta != 1 && ((scale = tf_scalar(build, x->dtype, beta, error)) == NULL ||
                      (x = tf_binary(build, GPUDL_OP_MUL, x, scale, error)) == NULL))
        return NULL;
    return tf_emit(build, op, &attrs, &x, 1, error);
}

GpudlTensor *tf_rsqrt(TfBuild *build, GpudlTensor *x, GError **error)
{
    x = tf_unary(build, GPUDL_OP_SQRT, x, error);
    return x != NULL ? tf_unary(build, GPUDL_OP_RECIPROCAL, x, error) : NULL;
}
