/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data movement: any type, values unchanged. */
#include "ops.h"
#include "shape.h"

static gboolean check_known_type(const GpudlNode *node, GError **error)
{
    return gpudl_check_type(node, 0, GPUDL_TYPES_ALL, "a known type", error);
}

/* Attributes that say a rank must say the input's. */
static gboolean check_attr_rank(const GpudlNode *node, int rank, GError **error)
{
    if (rank == node->inputs[0]->shape.rank)
        return TRUE;
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "attributes for rank %d, the input has rank %d", rank,
                           node->inputs[0]->shape.rank);
}

static gboolean check_axis(const GpudlNode *node, GError **error)
{
    if (node->attrs.axis.axis < node->inputs[0]->shape.rank)
        return TRUE;
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d of an input of rank %d", node->attrs.axis.axis,
                           node->inputs[0]->shape.rank);
}

static gboolean fail_reshape(const GpudlNode *node, GError **error)
{
    GpudlShape target = {.rank = node->attrs.shape.rank};
    g_autofree gchar *from = gpudl_shape_to_string(&node->inputs[0]->shape);
    g_autofree gchar *to = NULL;

    for (int i = 0; i < target.rank; i++)
        target.dims[i] = node->attrs.shape.dims[i];
    to = gpudl_shape_to_string(&target);
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%s cannot become %s", from, to);
}

gboolean gpudl_infer_reshape(GpudlNode *node, GError **error)
{
    const GpudlShapeAttrs *attrs = &node->attrs.shape;
    const GpudlShape *x = &node->inputs[0]->shape;
    GpudlShape out = {.rank = attrs->rank};
    gint64 n = gpudl_shape_elements(x), known;
    int rest = -1;

    if (!check_known_type(node, error))
        return FALSE;
    for (int i = 0; i < attrs->rank; i++) {
        out.dims[i] = attrs->dims[i];
        if (attrs->dims[i] == 0) {
            if (i >= x->rank)
                return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                       "dimension %d is to be copied from an input of rank %d", i, x->rank);
            out.dims[i] = x->dims[i];
        } else if (attrs->dims[i] == -1) {
            if (rest >= 0)
                return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "dimensions %d and %d are both -1", rest, i);
            rest = i;
            out.dims[i] = 1;
        }
    }
    known = gpudl_shape_elements(&out);
    if (known < 0 || n < 0)
        return fail_reshape(node, error);
    if (rest >= 0) {
        if (known == 0 || n % known != 0)
            return fail_reshape(node, error);
        out.dims[rest] = n / known;
    } else if (known != n) {
        return fail_reshape(node, error);
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_transpose(GpudlNode *node, GError **error)
{
    const GpudlTransposeAttrs *attrs = &node->attrs.transpose;
    const GpudlShape *x = &node->inputs[0]->shape;
    gboolean taken[GPUDL_MAX_RANK] = {FALSE};
    GpudlShape out = {.rank = x->rank};

    if (!check_known_type(node, error) || !check_attr_rank(node, attrs->rank, error))
        return FALSE;
    for (int i = 0; i < x->rank; i++) {
        if (attrs->perm[i] >= x->rank || taken[attrs->perm[i]])
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "entry %d, %d, makes perm no permutation of 0 to %d", i, attrs->perm[i],
                                   x->rank - 1);
        taken[attrs->perm[i]] = TRUE;
        out.dims[i] = x->dims[attrs->perm[i]];
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_concat(GpudlNode *node, GError **error)
{
    int axis = node->attrs.axis.axis;
    GpudlShape out = node->inputs[0]->shape;

    if (!check_known_type(node, error) || !check_axis(node, error) || !gpudl_check_same_types(node, 1, error))
        return FALSE;
    for (guint i = 1; i < node->n_inputs; i++) {
        GpudlShape expected = out;

        if (!gpudl_check_rank(node, i, out.rank, out.rank, error))
            return FALSE;
        expected.dims[axis] = node->inputs[i]->shape.dims[axis];
        if (!gpudl_check_shape(node, i, &expected, "input 0's but for the axis", error))
            return FALSE;
        if (__builtin_add_overflow(out.dims[axis], expected.dims[axis], &out.dims[axis]))
            return gpudl_node_fail(node, GPUDL_ERROR_LIMIT, error, "the extents along axis %d overflow", axis);
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_split(GpudlNode *node, GError **error)
{
    const GpudlAxisAttrs *attrs = &node->attrs.axis;
    const GpudlShape *x = &node->inputs[0]->shape;
    gint64 sum = 0;

    if (!check_known_type(node, error) || !check_axis(node, error))
        return FALSE;
    if ((guint)attrs->n_sizes != node->n_outputs)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%d sizes for %u outputs", attrs->n_sizes,
                               node->n_outputs);
    for (int i = 0; i < attrs->n_sizes; i++)
        if (__builtin_add_overflow(sum, attrs->sizes[i], &sum))
            sum = G_MAXINT64;
    if (sum != x->dims[attrs->axis])
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                               "the sizes' sum is %" G_GINT64_FORMAT ", the input's axis %d has %" G_GINT64_FORMAT, sum,
                               attrs->axis, (gint64)x->dims[attrs->axis]);
    for (guint i = 0; i < node->n_outputs; i++) {
        node->outputs[i]->dtype = node->inputs[0]->dtype;
        node->outputs[i]->shape = *x;
        node->outputs[i]->shape.dims[attrs->axis] = attrs->sizes[i];
    }
    return TRUE;
}

/* Number of elements start, start + step, ... before end, with ONNX's clamping. */
static gint64 slice_extent(gint64 dim, gint64 start, gint64 end, gint64 step)
{
    gint64 low = step > 0 ? 0 : -1, high = step > 0 ? dim : dim - 1;

    if (dim == 0)
        return 0;
    start = start < 0 ? start + dim : start;
    end = end < 0 ? end + dim : end;
    start = CLAMP(start, 0, high);
    end = CLAMP(end, low, high);
    /* a longer step reaches no second element, and its negation could overflow */
    step = CLAMP(step, -dim - 1, dim + 1);
    if (step > 0)
        return end > start ? (end - start - 1) / step + 1 : 0;
    return start > end ? (start - end - 1) / -step + 1 : 0;
}

gboolean gpudl_infer_slice(GpudlNode *node, GError **error)
{
    const GpudlSliceAttrs *attrs = &node->attrs.slice;
    const GpudlShape *x = &node->inputs[0]->shape;
    GpudlShape out = {.rank = x->rank};

    if (!check_known_type(node, error) || !check_attr_rank(node, attrs->rank, error))
        return FALSE;
    for (int i = 0; i < x->rank; i++) {
        if (attrs->step[i] == 0)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "step of axis %d is 0", i);
        out.dims[i] = slice_extent(x->dims[i], attrs->start[i], attrs->end[i], attrs->step[i]);
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_pad(GpudlNode *node, GError **error)
{
    const GpudlPadAttrs *attrs = &node->attrs.pad;
    const GpudlShape *x = &node->inputs[0]->shape;
    GpudlShape out = {.rank = x->rank};

    if (!check_known_type(node, error) || !check_attr_rank(node, attrs->rank, error))
        return FALSE;
    for (int i = 0; i < x->rank; i++) {
        gint64 most = MAX(attrs->begin[i], attrs->end[i]), least = MIN(attrs->begin[i], attrs->end[i]);
        /* how far a mode can reach into the input once */
        gint64 reach = attrs->mode == GPUDL_PAD_REFLECT ? x->dims[i] - 1 : x->dims[i];

        if (attrs->mode != GPUDL_PAD_CONSTANT && least < 0)
            return gpudl_node_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                                   "padding %" G_GINT64_FORMAT " of axis %d; cropping needs the mode constant", least,
                                   i);
        if (attrs->mode == GPUDL_PAD_EDGE && most > 0 && x->dims[i] == 0)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d is empty: no edge to repeat", i);
        if ((attrs->mode == GPUDL_PAD_REFLECT || attrs->mode == GPUDL_PAD_WRAP) && most > 0 && most > reach)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "padding %" G_GINT64_FORMAT " of axis %d, whose extent %" G_GINT64_FORMAT
                                   " allows %" G_GINT64_FORMAT,
                                   most, i, (gint64)x->dims[i], MAX(reach, 0));
        /* the attributes' range keeps this from overflowing: the input is bounded by GPUDL_LIMIT_TENSOR_BYTES */
        out.dims[i] = x->dims[i] + attrs->begin[i] + attrs->end[i];
        if (out.dims[i] < 0 || -least > x->dims[i])
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "padding %" G_GINT64_FORMAT ", %" G_GINT64_FORMAT
                                   " of axis %d crops more than its %" G_GINT64_FORMAT,
                                   (gint64)attrs->begin[i], (gint64)attrs->end[i], i, (gint64)x->dims[i]);
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_expand(GpudlNode *node, GError **error)
{
    const GpudlShapeAttrs *attrs = &node->attrs.shape;
    GpudlShape out = node->inputs[0]->shape, target = {.rank = attrs->rank};

    for (int i = 0; i < attrs->rank; i++)
        target.dims[i] = attrs->dims[i];
    if (!check_known_type(node, error))
        return FALSE;
    if (!gpudl_broadcast(&out, &target)) {
        g_autofree gchar *from = gpudl_shape_to_string(&node->inputs[0]->shape);
        g_autofree gchar *to = gpudl_shape_to_string(&target);

        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%s does not broadcast to %s", from, to);
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_gather(GpudlNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape, *indices = &node->inputs[1]->shape;
    int axis = node->attrs.axis.axis, rank = x->rank - 1 + indices->rank;
    GpudlShape out = {0};

    if (!check_known_type(node, error) || !check_axis(node, error) ||
        !gpudl_check_type(node, 1, GPUDL_TYPES(GPUDL_DTYPE_I32) | GPUDL_TYPES(GPUDL_DTYPE_I64), "int32 or int64",
                          error))
        return FALSE;
    if (rank > GPUDL_MAX_RANK)
        return gpudl_node_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "the output has rank %d, at most %d is taken",
                               rank, GPUDL_MAX_RANK);
    for (int i = 0; i < axis; i++)
        out.dims[out.rank++] = x->dims[i];
    for (int i = 0; i < indices->rank; i++)
        out.dims[out.rank++] = indices->dims[i];
    for (int i = axis + 1; i < x->rank; i++)
        out.dims[out.rank++] = x->dims[i];
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_identity(GpudlNode *node, GError **error)
{
    if (!check_known_type(node, error))
        return FALSE;
    return gpudl_set_output(node, node->inputs[0]->dtype, &node->inputs[0]->shape);
}
