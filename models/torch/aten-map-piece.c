/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Pieces of tensors, and tensors of pieces; borders; other sizes of pictures. */
#include <math.h>
#include <string.h>

#include "aten-internal.h"
#include "engine/graph/shape.h"
#include "engine/limits.h"
#include "kernels/resize.h"

static gboolean read_axis(AtenNode *node, const GpudlTensor *x, gint *axis, GError **error)
{
    gint64 dim;

    if (!aten_int(node, "dim", 0, &dim, error) || !aten_axis(node, dim, x->shape.rank, axis, error))
        return FALSE;
    if (x->shape.rank == 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "a piece of a scalar");
    return TRUE;
}

/* ---- joined ------------------------------------------------------------------------------------------------------ */

/* All in the widest type; a vector of no elements is as if it were not there. */
gboolean aten_map_cat(AtenNode *node, GError **error)
{
    guint n, kept = 0;
    g_autofree GpudlTensor **xs = aten_tensors(node, "tensors", &n, error);
    gint64 dim;

    if (xs == NULL || !aten_int(node, "dim", 0, &dim, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if (xs[i]->shape.rank != 1 || xs[i]->shape.dims[0] != 0)
            xs[kept++] = xs[i];
    for (guint i = 1; i < kept; i++)
        if (xs[i]->dtype != xs[0]->dtype)
            return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "%s joined with %s",
                           gpudl_dtype_name(xs[0]->dtype), gpudl_dtype_name(xs[i]->dtype));
    return aten_done(node, kept == 1 ? xs[0] : tf_concat(node->build, xs, kept, dim, error));
}

gboolean aten_map_stack(AtenNode *node, GError **error)
{
    guint n;
    g_autofree GpudlTensor **xs = aten_tensors(node, "tensors", &n, error);
    gint64 dim;

    return xs != NULL && aten_int(node, "dim", 0, &dim, error) &&
           aten_done(node, tf_pack(node->build, xs, n, dim, error));
}

/* ---- apart ------------------------------------------------------------------------------------------------------- */

static gboolean emit_split(AtenNode *node, GpudlTensor *x, gint axis, const gint64 *sizes, guint n, GError **error)
{
    GpudlTensor *ys[GPUDL_MAX_OUTPUTS];

    return tf_split(node->build, x, axis, sizes, n, ys, error) && aten_done_list(node, ys, n);
}

/* Pieces of this extent, the last one smaller. */
static gboolean split_by(AtenNode *node, GpudlTensor *x, gint axis, gint64 each, GError **error)
{
    const gint64 extent = x->shape.dims[axis], n = each > 0 ? extent / each + (extent % each != 0) : 0;
    gint64 sizes[GPUDL_MAX_OUTPUTS];

    if (n < 1 || n > GPUDL_MAX_OUTPUTS)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "an extent of %" G_GINT64_FORMAT " in pieces of %" G_GINT64_FORMAT "; at most %d are taken",
                       extent, each, GPUDL_MAX_OUTPUTS);
    for (gint64 i = 0; i < n; i++)
        sizes[i] = MIN(each, extent - i * each);
    return emit_split(node, x, axis, sizes, (guint)n, error);
}

/* The second argument: one size for all, or one for each. */
gboolean aten_map_split(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    const AtenValue *size = aten_arg(node, node->names[1]);
    gint64 sizes[GPUDL_MAX_OUTPUTS];
    gint axis;
    guint n;

    if (x == NULL || !read_axis(node, x, &axis, error) ||
        !aten_ints(node, node->names[1], sizes, GPUDL_MAX_OUTPUTS, &n, error))
        return FALSE;
    if (size == NULL || n == 0)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "no sizes");
    return size->kind == ATEN_LIST ? emit_split(node, x, axis, sizes, n, error)
                                   : split_by(node, x, axis, sizes[0], error);
}

gboolean aten_map_chunk(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 n;
    gint axis;

    if (x == NULL || !read_axis(node, x, &axis, error) || !aten_int(node, "chunks", 1, &n, error))
        return FALSE;
    if (n < 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GINT64_FORMAT " chunks", n);
    return split_by(node, x, axis, x->shape.dims[axis] / n + (x->shape.dims[axis] % n != 0), error);
}

/* Without a dimension whose extent is 1. */
static GpudlTensor *drop(AtenNode *node, GpudlTensor *x, gint axis, GError **error)
{
    gint64 dims[GPUDL_MAX_RANK];
    guint n = 0;

    for (gint i = 0; i < x->shape.rank; i++)
        if (i != axis)
            dims[n++] = i < axis ? 0 : i == axis + 1 ? -1 : x->shape.dims[i];
    return aten_reshape(node, x, dims, n, error);
}

gboolean aten_map_unbind(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *ys[GPUDL_MAX_OUTPUTS];
    gint axis;
    guint n;

    if (x == NULL || !read_axis(node, x, &axis, error))
        return FALSE;
    if (x->shape.dims[axis] < 1 || x->shape.dims[axis] > GPUDL_MAX_OUTPUTS)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "%" G_GINT64_FORMAT " pieces, at most %d are taken",
                       (gint64)x->shape.dims[axis], GPUDL_MAX_OUTPUTS);
    n = (guint)x->shape.dims[axis];
    if (!tf_split(node->build, x, axis, NULL, n, ys, error))
        return FALSE;
    for (guint i = 0; i < n; i++)
        if ((ys[i] = drop(node, ys[i], axis, error)) == NULL)
            return FALSE;
    return aten_done_list(node, ys, n);
}

/* start..end by step along one dimension */
static GpudlTensor *emit_slice(AtenNode *node, GpudlTensor *x, gint axis, gint64 start, gint64 end, gint64 step,
                               GError **error)
{
    GpudlAttrs attrs = {.slice.rank = x->shape.rank};

    for (gint i = 0; i < x->shape.rank; i++) {
        attrs.slice.end[i] = G_MAXINT64;
        attrs.slice.step[i] = 1;
    }
    attrs.slice.start[axis] = start;
    attrs.slice.end[axis] = end;
    attrs.slice.step[axis] = step;
    return tf_emit(node->build, GPUDL_OP_SLICE, &attrs, &x, 1, error);
}

gboolean aten_map_select(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 index, at;
    gint axis;

    if (x == NULL || !read_axis(node, x, &axis, error) || !aten_int(node, "index", 0, &index, error))
        return FALSE;
    at = index < 0 ? index + x->shape.dims[axis] : index;
    if (at < 0 || at >= x->shape.dims[axis])
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "index %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT, index,
                       (gint64)x->shape.dims[axis]);
    x = emit_slice(node, x, axis, at, at + 1, 1, error);
    return x != NULL && aten_done(node, drop(node, x, axis, error));
}

gboolean aten_map_slice(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 start, end, step;
    gint axis;

    if (x == NULL || !read_axis(node, x, &axis, error) || !aten_int(node, "start", 0, &start, error) ||
        !aten_int(node, "end", G_MAXINT64, &end, error) || !aten_int(node, "step", 1, &step, error))
        return FALSE;
    if (step < 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "a step of %" G_GINT64_FORMAT, step);
    /* all of it, as is written for dimensions that are left alone */
    if (start == 0 && step == 1 && end >= x->shape.dims[axis])
        return aten_done(node, x);
    return aten_done(node, emit_slice(node, x, axis, start, end, step, error));
}

/* What src says in the place of a slice: pieces before and behind it stay. */
gboolean aten_map_slice_scatter(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *src = x != NULL ? aten_tensor(node, "src", error) : NULL;
    GpudlTensor *pieces[3];
    gint64 start, end, step, extent;
    guint n = 0;
    gint axis;

    if (src == NULL || !read_axis(node, x, &axis, error) || !aten_int(node, "start", 0, &start, error) ||
        !aten_int(node, "end", G_MAXINT64, &end, error) || !aten_int(node, "step", 1, &step, error))
        return FALSE;
    extent = x->shape.dims[axis];
    start = CLAMP(start < 0 ? start + extent : start, 0, extent);
    end = CLAMP(end < 0 ? end + extent : end, start, extent);
    if (step != 1 || src->shape.rank != x->shape.rank || src->shape.dims[axis] != end - start)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a slice by steps, or of another extent");
    if (start > 0 && (pieces[n++] = emit_slice(node, x, axis, 0, start, 1, error)) == NULL)
        return FALSE;
    pieces[n++] = src;
    if (end < extent && (pieces[n++] = emit_slice(node, x, axis, end, G_MAXINT64, 1, error)) == NULL)
        return FALSE;
    return aten_done(node, n == 1 ? src : tf_concat(node->build, pieces, n, axis, error));
}

gboolean aten_map_narrow(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 start, length;
    gint axis;

    if (x == NULL || !read_axis(node, x, &axis, error) || !aten_int(node, "start", 0, &start, error) ||
        !aten_int(node, "length", 0, &length, error))
        return FALSE;
    start = start < 0 ? start + x->shape.dims[axis] : start;
    if (start < 0 || length < 0 || start > x->shape.dims[axis] || length > x->shape.dims[axis] - start)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "%" G_GINT64_FORMAT " from %" G_GINT64_FORMAT " on of %" G_GINT64_FORMAT, length, start,
                       (gint64)x->shape.dims[axis]);
    return aten_done(node, emit_slice(node, x, axis, start, start + length, 1, error));
}

/* ---- by indices -------------------------------------------------------------------------------------------------- */

static gboolean gather(AtenNode *node, GpudlTensor *x, GpudlTensor *indices, gint axis, GError **error)
{
    if (indices->dtype != GPUDL_DTYPE_I64 && indices->dtype != GPUDL_DTYPE_I32)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "indices of %s, expected integers",
                       gpudl_dtype_name(indices->dtype));
    return aten_done(node, tf_gather(node->build, x, indices, axis, error));
}

gboolean aten_map_index_select(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *indices;
    gint axis;

    return x != NULL && read_axis(node, x, &axis, error) && (indices = aten_tensor(node, "index", error)) != NULL &&
           gather(node, x, indices, axis, error);
}

/* Numbers of weights that are indices, each counted from the front, in the shape given. NULL with error. */
static gint64 *read_indices(AtenNode *node, GpudlTensor *indices, const GpudlShape *shape, gint64 extent,
                            GError **error)
{
    const gsize n = (gsize)gpudl_shape_elements(shape);
    gint64 *values;

    if (indices->data == NULL) {
        tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                "several tensors of indices of which one depends on the network's input");
        return NULL;
    }
    if ((indices->dtype != GPUDL_DTYPE_I64 && indices->dtype != GPUDL_DTYPE_I32) || n == 0) {
        tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "indices of %s, expected integers, and at least one",
                gpudl_dtype_name(indices->dtype));
        return NULL;
    }
    if (!aten_spend(node, 2 * n * sizeof *values, error) ||
        (indices = tf_cast(node->build, indices, GPUDL_DTYPE_I64, error)) == NULL ||
        (indices = tf_broadcast(node->build, indices, shape->dims, (gsize)shape->rank, error)) == NULL)
        return NULL;
    if (indices->data == NULL) { /* too much to be done at load time */
        aten_spend(node, G_MAXUINT64, error);
        return NULL;
    }
    values = g_memdup2(g_bytes_get_data(indices->data, NULL), n * sizeof *values);
    for (gsize i = 0; i < n; i++) {
        if (values[i] < -extent || values[i] >= extent) {
            tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                    "index %" G_GINT64_FORMAT " of a dimension of %" G_GINT64_FORMAT, values[i], extent);
            g_free(values);
            return NULL;
        }
        values[i] += values[i] < 0 ? extent : 0;
    }
    return values;
}

/* x[:, a, b]: what tensors of indices of dimensions that follow one another say together, as one of these dimensions
 * taken as one. They are weights. */
static gboolean index_together(AtenNode *node, GpudlTensor *x, const AtenValue *list, gint first, gint last,
                               GError **error)
{
    GpudlShape shape = {0};
    gint64 dims[GPUDL_MAX_RANK], *together = NULL;
    GpudlTensor *indices;
    gsize n;
    gint rank = 0;

    for (gint i = first; i <= last; i++)
        if (!gpudl_broadcast(&shape, &list->items[i].tensor->shape))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                           "tensors of indices of shapes that don't go together");
    n = (gsize)gpudl_shape_elements(&shape);
    for (gint i = first; i <= last; i++) {
        g_autofree gint64 *values = read_indices(node, list->items[i].tensor, &shape, x->shape.dims[i], error);

        if (values == NULL) {
            g_free(together);
            return FALSE;
        }
        for (gsize j = 0; together != NULL && j < n; j++)
            values[j] += together[j] * x->shape.dims[i];
        g_free(together);
        together = g_steal_pointer(&values);
    }
    for (gint i = 0; i < x->shape.rank; i++) {
        if (i > first && i <= last)
            dims[rank - 1] *= x->shape.dims[i];
        else
            dims[rank++] = x->shape.dims[i];
    }
    indices =
        tf_constant(node->build, GPUDL_DTYPE_I64, &shape, g_bytes_new_take(together, n * sizeof *together), error);
    return indices != NULL && (x = aten_view(node, x, dims, (guint)rank, error)) != NULL &&
           gather(node, x, indices, first, error);
}

/* x[:, indices]: a tensor of indices, or several of neighbours, among dimensions that are taken whole. */
gboolean aten_map_index(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    const AtenValue *list = aten_arg(node, "indices");
    gint axis = -1, last = -1;

    if (x == NULL)
        return FALSE;
    if (list == NULL || list->kind != ATEN_LIST || list->n_items > (guint)x->shape.rank)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its indices are no list of at most %d", x->shape.rank);
    for (guint i = 0; i < list->n_items; i++) {
        if (list->items[i].kind == ATEN_NONE)
            continue;
        if (list->items[i].kind != ATEN_TENSOR || list->items[i].tensor == NULL || !aten_is_current(&list->items[i]))
            return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "indices that are no tensor");
        if (axis >= 0 && last != (gint)i - 1)
            return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                           "several tensors of indices with a dimension between them that is taken whole");
        axis = axis < 0 ? (gint)i : axis;
        last = (gint)i;
    }
    if (axis < 0)
        return aten_done(node, x);
    if (last > axis)
        return index_together(node, x, list, axis, last, error);
    return gather(node, x, list->items[axis].tensor, axis, error);
}

/* The end of each dimension comes to its front. */
gboolean aten_map_roll(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 shifts[GPUDL_MAX_RANK], dims[GPUDL_MAX_RANK];
    guint n, n_dims;

    if (x == NULL || !aten_ints(node, "shifts", shifts, GPUDL_MAX_RANK, &n, error) ||
        !aten_ints(node, "dims", dims, GPUDL_MAX_RANK, &n_dims, error))
        return FALSE;
    if (n != n_dims || n == 0)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "%u shifts of %u dimensions", n, n_dims);
    for (guint i = 0; i < n; i++) {
        GpudlTensor *two[2];
        gint64 by;
        gint axis;

        if (!aten_axis(node, dims[i], x->shape.rank, &axis, error))
            return FALSE;
        by = x->shape.dims[axis] > 0 ? shifts[i] % x->shape.dims[axis] : 0;
        by = by < 0 ? by + x->shape.dims[axis] : by;
        if (by == 0)
            continue;
        if ((two[0] = emit_slice(node, x, axis, x->shape.dims[axis] - by, G_MAXINT64, 1, error)) == NULL ||
            (two[1] = emit_slice(node, x, axis, 0, x->shape.dims[axis] - by, 1, error)) == NULL ||
            (x = tf_concat(node->build, two, 2, axis, error)) == NULL)
            return FALSE;
    }
    return aten_done(node, x);
}

/* ---- borders ----------------------------------------------------------------------------------------------------- */

static gboolean pad_mode(AtenNode *node, gint32 *mode, GError **error)
{
    static const gchar *const names[] = {[GPUDL_PAD_CONSTANT] = "constant",
                                         [GPUDL_PAD_REFLECT] = "reflect",
                                         [GPUDL_PAD_EDGE] = "replicate",
                                         [GPUDL_PAD_WRAP] = "circular"};
    const gchar *name = g_str_has_prefix(node->row->name, "reflection")    ? "reflect"
                        : g_str_has_prefix(node->row->name, "replication") ? "replicate"
                                                                           : "constant";

    if (strcmp(node->row->name, "pad") == 0 && !aten_text(node, "mode", "constant", &name, error))
        return FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++)
        if (strcmp(names[i], name) == 0) {
            *mode = (gint32)i;
            return TRUE;
        }
    return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "mode '%s'", name);
}

/* Two numbers a dimension, the last dimension's first. */
gboolean aten_map_pad(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 pads[2 * GPUDL_MAX_RANK];
    GpudlAttrs attrs = {0};
    double value = 0;
    guint n;

    if (x == NULL || !aten_ints(node, node->names[1], pads, 2 * GPUDL_MAX_RANK, &n, error) ||
        !pad_mode(node, &attrs.pad.mode, error) || (node->n_names > 2 && !aten_number(node, "value", 0, &value, error)))
        return FALSE;
    if (n % 2 != 0 || (gint)n / 2 > x->shape.rank)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%u paddings for a tensor of rank %d", n, x->shape.rank);
    attrs.pad.rank = x->shape.rank;
    attrs.pad.value = value;
    for (guint i = 0; i < n; i++) {
        const gint axis = x->shape.rank - 1 - (gint)i / 2;

        if (pads[i] < G_MININT16 || pads[i] > G_MAXINT16)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "a padding of %" G_GINT64_FORMAT, pads[i]);
        (i % 2 == 0 ? attrs.pad.begin : attrs.pad.end)[axis] = pads[i];
    }
    return aten_done(node, tf_emit(node->build, GPUDL_OP_PAD, &attrs, &x, 1, error));
}

/* ---- other sizes ------------------------------------------------------------------------------------------------- */

/* Extents of height and width, and the factors where they are said. */
static gboolean read_size(AtenNode *node, const GpudlTensor *x, GpudlResizeAttrs *resize, GError **error)
{
    const AtenValue *factors = aten_arg(node, "scale_factors");
    gint64 size[2];
    guint n;

    if (!aten_ints(node, "output_size", size, 2, &n, error))
        return FALSE;
    for (guint i = 0; i < 2; i++) {
        const gchar *name = i == 0 ? "scales_h" : "scales_w";
        double factor = 0;

        if (factors != NULL && factors->kind == ATEN_LIST && factors->n_items == 2)
            factor =
                factors->items[i].kind == ATEN_NUMBER ? factors->items[i].number : (double)factors->items[i].integer;
        else if (strstr(node->row->args, name) != NULL && !aten_number(node, name, 0, &factor, error))
            return FALSE;
        if (n != 2)
            size[i] = factor > 0 && factor < G_MAXINT16 ? (gint64)floor((double)x->shape.dims[2 + i] * factor) : 0;
        if (size[i] < 1 || size[i] > G_MAXINT16 || !(factor >= 0))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                           "a size of %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT " by a factor of %g", size[i],
                           (gint64)x->shape.dims[2 + i], factor);
        resize->sizes[2 + i] = size[i];
        resize->scale[2 + i] = factor;
    }
    return TRUE;
}

gboolean aten_map_upsample(AtenNode *node, GError **error)
{
    const gchar *name = node->row->name;
    const gboolean nearest = strstr(name, "nearest") != NULL, exact = strstr(name, "exact") != NULL;
    const gboolean smooth = strstr(name, "_aa") != NULL; /* as Pillow does it */
    GpudlTensor *x = aten_tensor(node, node->names[0], error);
    GpudlAttrs attrs = {0};
    gboolean corners = FALSE;

    if (x == NULL || (!nearest && !aten_flag(node, "align_corners", FALSE, &corners, error)))
        return FALSE;
    if (x->shape.rank != 4)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "a tensor of rank %d, expected 4", x->shape.rank);
    if (smooth && corners)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "antialiased with align_corners, without it is taken");
    attrs.resize.rank = 4;
    attrs.resize.mode = nearest                           ? GPUDL_SAMPLE_NEAREST
                        : strstr(name, "bicubic") != NULL ? GPUDL_SAMPLE_CUBIC
                                                          : GPUDL_SAMPLE_LINEAR;
    attrs.resize.coordinate = corners             ? GPUDL_SAMPLE_ALIGN_CORNERS
                              : nearest && !exact ? GPUDL_SAMPLE_ASYMMETRIC
                                                  : GPUDL_SAMPLE_HALF_PIXEL;
    attrs.resize.nearest = exact ? GPUDL_SAMPLE_PREFER_CEIL : GPUDL_SAMPLE_FLOOR;
    attrs.resize.antialias = attrs.resize.exclude_outside = smooth;
    attrs.resize.cubic_a = smooth ? -.5f : -.75f;
    return read_size(node, x, &attrs.resize, error) &&
           aten_done(node, tf_emit(node->build, GPUDL_OP_RESIZE, &attrs, &x, 1, error));
}
