/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data movement. */
#include <string.h>

#include "caffe-internal.h"

/* Each top is what the layer reads. */
gboolean caffe_map_copy(CaffeLayer *layer, GError **error)
{
    for (guint i = 0; i < layer->n_outputs; i++) {
        layer->outputs[i] = caffe_emit(layer, GPUDL_OP_IDENTITY, NULL, layer->inputs, 1, layer->proto->top[i], error);
        if (layer->outputs[i] == NULL)
            return FALSE;
    }
    return TRUE;
}

gboolean caffe_map_concat(CaffeLayer *layer, GError **error)
{
    const Caffe__ConcatParameter *p = layer->proto->concat_param;
    const gint64 value = p == NULL ? 1 : p->has_concat_dim ? (gint64)p->concat_dim : p->axis;
    GpudlAttrs attrs = {0};

    if (p != NULL && p->has_concat_dim && p->has_axis)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "both axis and concat_dim, expected one of them");
    return caffe_axis(layer, value, layer->inputs[0]->shape.rank, &attrs.axis.axis, error) &&
           caffe_emit_top(layer, GPUDL_OP_CONCAT, &attrs, layer->inputs, layer->n_inputs, error);
}

gboolean caffe_map_slice(CaffeLayer *layer, GError **error)
{
    static const Caffe__SliceParameter usual = CAFFE__SLICE_PARAMETER__INIT;
    const Caffe__SliceParameter *p = layer->proto->slice_param != NULL ? layer->proto->slice_param : &usual;
    const guint n = layer->n_outputs;
    const GpudlShape *x = &layer->inputs[0]->shape;
    gint64 last = 0, extent;
    gint32 axis;

    if (p->has_slice_dim && p->has_axis)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "both axis and slice_dim, expected one of them");
    if (!caffe_axis(layer, p->has_slice_dim ? (gint64)p->slice_dim : p->axis, x->rank, &axis, error))
        return FALSE;
    extent = x->dims[axis];
    if (p->n_slice_point > 0 && p->n_slice_point != n - 1)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " slice_point for %u tops, expected %u",
                          p->n_slice_point, n, n - 1);
    if (p->n_slice_point == 0 && extent % n != 0)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                          "%" G_GINT64_FORMAT " along axis %d are no multiple of %u tops", extent, axis, n);
    for (guint i = 0; i < n; i++) {
        GpudlAttrs attrs = {.slice.rank = x->rank};
        gint64 end = extent;

        if (p->n_slice_point == 0)
            end = last + extent / n;
        else if (i < n - 1)
            end = p->slice_point[i];
        if (end <= last || end > extent)
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                              "a slice from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT " of %" G_GINT64_FORMAT
                              ", expected rising points",
                              last, end, extent);
        for (gint k = 0; k < x->rank; k++) {
            attrs.slice.end[k] = G_MAXINT64;
            attrs.slice.step[k] = 1;
        }
        attrs.slice.start[axis] = last;
        attrs.slice.end[axis] = end;
        layer->outputs[i] = caffe_emit(layer, GPUDL_OP_SLICE, &attrs, layer->inputs, 1, layer->proto->top[i], error);
        if (layer->outputs[i] == NULL)
            return FALSE;
        last = end;
    }
    return TRUE;
}

/* Of the second bottom nothing but the size counts. */
gboolean caffe_map_crop(CaffeLayer *layer, GError **error)
{
    static const Caffe__CropParameter usual = CAFFE__CROP_PARAMETER__INIT;
    const Caffe__CropParameter *p = layer->proto->crop_param != NULL ? layer->proto->crop_param : &usual;
    const GpudlShape *x = &layer->inputs[0]->shape, *to = &layer->inputs[1]->shape;
    GpudlAttrs attrs = {.slice.rank = x->rank};
    gint32 axis;

    if (!caffe_axis(layer, p->axis, x->rank, &axis, error))
        return FALSE;
    if (to->rank != x->rank)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "bottoms of %d and %d dimensions, expected the same number",
                          x->rank, to->rank);
    if (axis < 1)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "axis 0: a choice among frames");
    if (p->n_offset > 1 && p->n_offset != (gsize)(x->rank - axis))
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " offset, expected 1 or %d", p->n_offset,
                          x->rank - axis);
    for (gint i = 0; i < x->rank; i++) {
        const gint64 offset = i < axis || p->n_offset == 0 ? 0 : p->offset[p->n_offset > 1 ? i - axis : 0];

        if (i >= axis && offset + to->dims[i] > x->dims[i])
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                              "%" G_GINT64_FORMAT " elements from %" G_GINT64_FORMAT " on along axis %d, which has "
                              "%" G_GINT64_FORMAT,
                              (gint64)to->dims[i], offset, i, (gint64)x->dims[i]);
        attrs.slice.start[i] = offset;
        attrs.slice.end[i] = i < axis ? G_MAXINT64 : offset + to->dims[i];
        attrs.slice.step[i] = 1;
    }
    return caffe_emit_top(layer, GPUDL_OP_SLICE, &attrs, layer->inputs, 1, error);
}

gboolean caffe_map_reshape(CaffeLayer *layer, GError **error)
{
    const Caffe__ReshapeParameter *p = layer->proto->reshape_param;
    const GpudlShape *x = &layer->inputs[0]->shape;
    const gsize n = p != NULL && p->shape != NULL ? p->shape->n_dim : 0;
    gint64 dims[GPUDL_MAX_RANK];
    gint32 first, end;
    gint rank = 0;

    if (p == NULL)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "no reshape_param");
    first = p->axis >= 0 ? p->axis : x->rank + p->axis + 1;
    if (first < 0 || first > x->rank || p->num_axes < -1 || p->num_axes > x->rank - first)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "axis %d, num_axes %d of what has %d dimensions", p->axis,
                          p->num_axes, x->rank);
    end = p->num_axes < 0 ? x->rank : first + p->num_axes;
    if ((gsize)(first + x->rank - end) + n > GPUDL_MAX_RANK)
        return caffe_fail(layer, GPUDL_ERROR_UNSUPPORTED, error, "more than %d dimensions", GPUDL_MAX_RANK);
    for (gint i = 0; i < first; i++)
        dims[rank++] = x->dims[i];
    for (gsize i = 0; i < n; i++) {
        const gint64 dim = p->shape->dim[i];

        if (dim < -1 || (dim == 0 && first + (gint64)i >= x->rank))
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "dim %" G_GINT64_FORMAT " at index %" G_GSIZE_FORMAT,
                              dim, i);
        dims[rank++] = dim == 0 ? x->dims[first + (gint)i] : dim;
    }
    for (gint i = end; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    if (rank > 0 && dims[0] == x->dims[0])
        dims[0] = 0; /* the batch, whatever it will be */
    return caffe_top(layer, caffe_reshape(layer, layer->inputs[0], dims, rank, error), error);
}

gboolean caffe_map_flatten(CaffeLayer *layer, GError **error)
{
    static const Caffe__FlattenParameter usual = CAFFE__FLATTEN_PARAMETER__INIT;
    const Caffe__FlattenParameter *p = layer->proto->flatten_param != NULL ? layer->proto->flatten_param : &usual;
    const GpudlShape *x = &layer->inputs[0]->shape;
    gint64 dims[GPUDL_MAX_RANK], flat = 1;
    gint32 first, last;
    gint rank = 0;

    if (!caffe_axis(layer, p->axis, x->rank, &first, error) || !caffe_axis(layer, p->end_axis, x->rank, &last, error))
        return FALSE;
    if (last < first || first == 0)
        return caffe_fail(layer, first == 0 ? GPUDL_ERROR_UNSUPPORTED : GPUDL_ERROR_FORMAT, error,
                          "axis %d to end_axis %d, expected them to rise and to leave frames apart", first, last);
    for (gint i = first; i <= last; i++)
        flat *= x->dims[i];
    for (gint i = 0; i < first; i++)
        dims[rank++] = i == 0 ? 0 : x->dims[i];
    dims[rank++] = flat;
    for (gint i = last + 1; i < x->rank; i++)
        dims[rank++] = x->dims[i];
    return caffe_top(layer, caffe_reshape(layer, layer->inputs[0], dims, rank, error), error);
}

/* Axes that are not named come behind in their order. */
gboolean caffe_map_permute(CaffeLayer *layer, GError **error)
{
    const Caffe__PermuteParameter *p = layer->proto->permute_param;
    const gint32 rank = layer->inputs[0]->shape.rank;
    GpudlAttrs attrs = {.transpose.rank = rank};
    gboolean used[GPUDL_MAX_RANK] = {FALSE};
    gint n = 0;

    for (gsize i = 0; p != NULL && i < p->n_order; i++) {
        if (p->order[i] >= (guint32)rank || used[p->order[i]])
            return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "order has %u, expected each of 0 to %d once at most",
                              p->order[i], rank - 1);
        used[p->order[i]] = TRUE;
        attrs.transpose.perm[n++] = (gint32)p->order[i];
    }
    for (gint32 i = 0; i < rank; i++)
        if (!used[i])
            attrs.transpose.perm[n++] = i;
    return caffe_emit_top(layer, GPUDL_OP_TRANSPOSE, &attrs, layer->inputs, 1, error);
}

gboolean caffe_map_shuffle(CaffeLayer *layer, GError **error)
{
    const Caffe__ShuffleChannelParameter *p = layer->proto->shuffle_channel_param;
    const GpudlShape *x = &layer->inputs[0]->shape;
    const gint64 group = p != NULL ? p->group : 1;
    GpudlAttrs turn = {.transpose = {.rank = 5, .perm = {0, 2, 1, 3, 4}}};
    GpudlTensor *y;

    if (x->rank != 4 || group < 1 || x->dims[1] % group != 0)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error,
                          "group is %" G_GINT64_FORMAT ", expected a divisor of the channels of N x C x H x W", group);
    {
        const gint64 apart[] = {0, group, x->dims[1] / group, x->dims[2], x->dims[3]};
        const gint64 whole[] = {0, x->dims[1], x->dims[2], x->dims[3]};

        return (y = caffe_reshape(layer, layer->inputs[0], apart, 5, error)) != NULL &&
               (y = caffe_emit(layer, GPUDL_OP_TRANSPOSE, &turn, &y, 1, NULL, error)) != NULL &&
               caffe_top(layer, caffe_reshape(layer, y, whole, 4, error), error);
    }
}
