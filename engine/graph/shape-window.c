/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of products, windows, and what works per channel. */
#include "kernels/resize.h"
#include "ops.h"
#include "shape.h"

#define FLOAT_TEXT "a float type"
/* Most that RESIZE makes anything larger or smaller. */
#define MAX_RESIZE 4096

static const gchar axis_names[GPUDL_MAX_SPATIAL][8] = {"depth", "height", "width"};

/* Rank, and that the spatial arrays are neutral in front of the tensor's own dimensions. */
static gboolean check_window(const GpudlNode *node, GError **error)
{
    const GpudlWindowAttrs *w = &node->attrs.window;
    const GpudlShape *x = &node->inputs[0]->shape;

    if (!gpudl_check_rank(node, 0, 3, 2 + GPUDL_MAX_SPATIAL, error))
        return FALSE;
    if (w->n_spatial != x->rank - 2)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                               "%d spatial dimensions, but the input, of rank %d, has %d", w->n_spatial, x->rank,
                               x->rank - 2);
    for (int i = 0; i < GPUDL_MAX_SPATIAL - w->n_spatial; i++) {
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->dilation[i] != 1 || w->pad_begin[i] != 0 || w->pad_end[i] != 0)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "window attributes for %s, which the input of rank %d does not have", axis_names[i],
                                   x->rank);
    }
    for (int i = 0; i < x->rank; i++)
        if (x->dims[i] < 1)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "the input is empty (dimension %d is 0)", i);
    return TRUE;
}

/* Spatial part of the output's shape. All numbers fit 64 bits with room: attributes have 32. */
static gboolean window_output(const GpudlNode *node, gboolean pool, GpudlShape *out, GError **error)
{
    const GpudlWindowAttrs *w = &node->attrs.window;
    const GpudlShape *x = &node->inputs[0]->shape;

    for (int i = 2; i < x->rank; i++) {
        int s = GPUDL_MAX_SPATIAL - w->n_spatial + i - 2;
        gint64 window = (gint64)(w->kernel[s] - 1) * w->dilation[s] + 1;
        gint64 padded, n;

        if (__builtin_add_overflow(x->dims[i], (gint64)w->pad_begin[s] + w->pad_end[s], &padded))
            return gpudl_node_fail(node, GPUDL_ERROR_LIMIT, error, "the padded %s overflows", axis_names[s]);
        if (window > padded)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "a window of %" G_GINT64_FORMAT " does not fit the padded %s, %" G_GINT64_FORMAT,
                                   window, axis_names[s], padded);
        if (pool && (w->pad_begin[s] >= window || w->pad_end[s] >= window))
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "padding %d, %d of the %s must be below the window's %" G_GINT64_FORMAT,
                                   w->pad_begin[s], w->pad_end[s], axis_names[s], window);
        /* then no window can step over the input and see padding alone */
        if (pool && w->kernel[s] > 1 && w->dilation[s] > x->dims[i])
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "dilation %d is larger than the %s, %" G_GINT64_FORMAT, w->dilation[s],
                                   axis_names[s], (gint64)x->dims[i]);
        n = (padded - window) / w->stride[s] + 1;
        /* rounded up, but no window may begin in the padding behind the input */
        if (pool && w->ceil_mode && (padded - window) % w->stride[s] != 0 &&
            n * w->stride[s] < x->dims[i] + w->pad_begin[s])
            n++;
        out->dims[i] = n;
    }
    return TRUE;
}

gboolean gpudl_infer_conv(GpudlNode *node, GError **error)
{
    const GpudlWindowAttrs *attrs = &node->attrs.window;
    const GpudlShape *x = &node->inputs[0]->shape, *w = &node->inputs[1]->shape;
    GpudlShape out = {.rank = x->rank}, bias = {.rank = 1};

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, FLOAT_TEXT, error) || !gpudl_check_same_types(node, 1, error) ||
        !check_window(node, error) || !gpudl_check_rank(node, 1, x->rank, x->rank, error))
        return FALSE;
    for (int i = 2; i < x->rank; i++) {
        int s = GPUDL_MAX_SPATIAL - attrs->n_spatial + i - 2;

        if (w->dims[i] != attrs->kernel[s])
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "kernel %s is %d, the weights' is %" G_GINT64_FORMAT, axis_names[s],
                                   attrs->kernel[s], (gint64)w->dims[i]);
    }
    if (w->dims[0] < 1 || w->dims[1] < 1)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "the weights are empty");
    if (x->dims[1] % attrs->group != 0 || w->dims[0] % attrs->group != 0)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                               "%d groups do not divide %" G_GINT64_FORMAT " input and %" G_GINT64_FORMAT
                               " output channels",
                               attrs->group, (gint64)x->dims[1], (gint64)w->dims[0]);
    if (w->dims[1] != x->dims[1] / attrs->group)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                               "the weights have %" G_GINT64_FORMAT
                               " input channels a group, the input %" G_GINT64_FORMAT " channels in %d groups",
                               (gint64)w->dims[1], (gint64)x->dims[1], attrs->group);
    out.dims[0] = x->dims[0];
    out.dims[1] = bias.dims[0] = w->dims[0];
    if (!window_output(node, FALSE, &out, error))
        return FALSE;
    if (node->n_inputs > 2 && node->inputs[2] != NULL &&
        !gpudl_check_shape(node, 2, &bias, "one value an output channel", error))
        return FALSE;
    if (node->n_inputs > 3 && node->inputs[3] != NULL && !gpudl_check_shape(node, 3, &out, "the output's shape", error))
        return FALSE;
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_pool(GpudlNode *node, GError **error)
{
    const gboolean max = node->op == GPUDL_OP_MAX_POOL;
    GpudlShape out = node->inputs[0]->shape;

    if (!gpudl_check_type(node, 0, max ? GPUDL_TYPES_NUMBER : GPUDL_TYPES_FLOAT, max ? "a number type" : FLOAT_TEXT,
                          error) ||
        !check_window(node, error) || !window_output(node, TRUE, &out, error))
        return FALSE;
    if (node->n_outputs > 1) {
        node->outputs[1]->dtype = GPUDL_DTYPE_I64;
        node->outputs[1]->shape = out;
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_global_pool(GpudlNode *node, GError **error)
{
    GpudlShape out = node->inputs[0]->shape;

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, FLOAT_TEXT, error) ||
        !gpudl_check_rank(node, 0, 3, 2 + GPUDL_MAX_SPATIAL, error))
        return FALSE;
    for (int i = 2; i < out.rank; i++) {
        if (out.dims[i] < 1)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "the input is empty (dimension %d is 0)", i);
        out.dims[i] = 1;
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_lrn(GpudlNode *node, GError **error)
{
    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, FLOAT_TEXT, error) ||
        !gpudl_check_rank(node, 0, 2, GPUDL_MAX_RANK, error))
        return FALSE;
    return gpudl_set_output(node, node->inputs[0]->dtype, &node->inputs[0]->shape);
}

gboolean gpudl_infer_resize(GpudlNode *node, GError **error)
{
    const GpudlResizeAttrs *attrs = &node->attrs.resize;
    const GpudlShape *x = &node->inputs[0]->shape;
    const gboolean nearest = attrs->mode == GPUDL_SAMPLE_NEAREST;
    GpudlShape out = *x;

    if (!gpudl_check_type(node, 0, nearest ? GPUDL_TYPES_ALL : GPUDL_TYPES_FLOAT, nearest ? "a known type" : FLOAT_TEXT,
                          error))
        return FALSE;
    if (attrs->rank != x->rank)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "extents for %d dimensions, the input has rank %d",
                               attrs->rank, x->rank);
    for (int i = 0; i < GPUDL_MAX_RANK; i++)
        if (!(attrs->scale[i] >= 0 && attrs->scale[i] <= MAX_RESIZE) ||
            (attrs->scale[i] != 0 && (i >= x->rank || attrs->scale[i] < 1. / MAX_RESIZE)))
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "scale %g of dimension %d of an input of rank %d",
                                   attrs->scale[i], i, x->rank);
    for (int i = 0; i < x->rank; i++) {
        if (attrs->sizes[i] != 0)
            out.dims[i] = attrs->sizes[i];
        if (attrs->sizes[i] == 0 && attrs->scale[i] != 0)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "a scale but no extent for dimension %d", i);
        if (attrs->sizes[i] != 0 && x->dims[i] == 0)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "dimension %d is empty: nothing to be resized", i);
        /* what is left of a filter that is this wide is no picture, and takes for ever */
        if (attrs->sizes[i] != 0 && x->dims[i] > attrs->sizes[i] * MAX_RESIZE)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "dimension %d from %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT
                                   ", at most %d times smaller is taken",
                                   i, (gint64)x->dims[i], (gint64)attrs->sizes[i], MAX_RESIZE);
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_batch_norm(GpudlNode *node, GError **error)
{
    GpudlShape channels = {.rank = 1};

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, FLOAT_TEXT, error) || !gpudl_check_same_types(node, 1, error) ||
        !gpudl_check_rank(node, 0, 2, GPUDL_MAX_RANK, error))
        return FALSE;
    channels.dims[0] = node->inputs[0]->shape.dims[1];
    for (guint i = 1; i < node->n_inputs; i++)
        if (!gpudl_check_shape(node, i, &channels, "one value a channel", error))
            return FALSE;
    return gpudl_set_output(node, node->inputs[0]->dtype, &node->inputs[0]->shape);
}

/* What both norms ask of input and parameters, which have this shape. */
static gboolean infer_norm(GpudlNode *node, const GpudlShape *each, const gchar *why, GError **error)
{
    if (!gpudl_check_same_types(node, 1, error))
        return FALSE;
    if (node->attrs.norm.epsilon < 0)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "epsilon is %g, expected 0 or more",
                               (double)node->attrs.norm.epsilon);
    for (guint i = 1; i < node->n_inputs; i++)
        if (node->inputs[i] != NULL && !gpudl_check_shape(node, i, each, why, error))
            return FALSE;
    return gpudl_set_output(node, node->inputs[0]->dtype, &node->inputs[0]->shape);
}

gboolean gpudl_infer_layer_norm(GpudlNode *node, GError **error)
{
    const GpudlNormAttrs *attrs = &node->attrs.norm;
    const GpudlShape *x = &node->inputs[0]->shape;
    GpudlShape each = {.rank = attrs->n_axes};

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, FLOAT_TEXT, error))
        return FALSE;
    if (attrs->n_axes > x->rank - attrs->axis)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "dimensions %d to %d of an input of rank %d",
                               attrs->axis, attrs->axis + attrs->n_axes - 1, x->rank);
    for (int i = 0; i < attrs->n_axes; i++)
        each.dims[i] = x->dims[attrs->axis + i];
    return infer_norm(node, &each, "the dimensions normalised over", error);
}

gboolean gpudl_infer_group_norm(GpudlNode *node, GError **error)
{
    const GpudlNormAttrs *attrs = &node->attrs.norm;
    const GpudlShape *x = &node->inputs[0]->shape;
    GpudlShape channels = {.rank = 1};

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, FLOAT_TEXT, error) ||
        !gpudl_check_rank(node, 0, 2, GPUDL_MAX_RANK, error))
        return FALSE;
    channels.dims[0] = x->dims[1];
    if (x->dims[1] % attrs->groups != 0)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%d groups do not divide %" G_GINT64_FORMAT " channels",
                               attrs->groups, (gint64)x->dims[1]);
    return infer_norm(node, &channels, "one value a channel", error);
}

gboolean gpudl_infer_gemm(GpudlNode *node, GError **error)
{
    const GpudlGemmAttrs *attrs = &node->attrs.gemm;
    const GpudlShape *a = &node->inputs[0]->shape, *b = &node->inputs[1]->shape;
    GpudlShape out = {.rank = 2};
    gint64 inner_a, inner_b;

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_FLOAT, FLOAT_TEXT, error) || !gpudl_check_same_types(node, 1, error) ||
        !gpudl_check_rank(node, 0, 2, 2, error) || !gpudl_check_rank(node, 1, 2, 2, error))
        return FALSE;
    out.dims[0] = a->dims[attrs->trans_a ? 1 : 0];
    out.dims[1] = b->dims[attrs->trans_b ? 0 : 1];
    inner_a = a->dims[attrs->trans_a ? 0 : 1];
    inner_b = b->dims[attrs->trans_b ? 1 : 0];
    if (inner_a != inner_b)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                               "the inner dimensions are %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT
                               ", expected to be equal",
                               inner_a, inner_b);
    if (node->n_inputs > 2 && node->inputs[2] != NULL) {
        GpudlShape sum = out;

        if (!gpudl_broadcast(&sum, &node->inputs[2]->shape) || !gpudl_shape_equal(&sum, &out))
            return gpudl_check_shape(node, 2, &out, "the output's shape, or one that broadcasts to it", error);
    }
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}

gboolean gpudl_infer_matmul(GpudlNode *node, GError **error)
{
    GpudlShape a = node->inputs[0]->shape, b = node->inputs[1]->shape, out;
    gboolean row = a.rank == 1, column = b.rank == 1;
    gint64 m, n;

    if (!gpudl_check_type(node, 0, GPUDL_TYPES_NUMBER, "a number type", error) ||
        !gpudl_check_same_types(node, 1, error) || !gpudl_check_rank(node, 0, 1, GPUDL_MAX_RANK, error) ||
        !gpudl_check_rank(node, 1, 1, GPUDL_MAX_RANK, error))
        return FALSE;
    if (row)
        a = (GpudlShape){2, {1, a.dims[0]}};
    if (column)
        b = (GpudlShape){2, {b.dims[0], 1}};
    m = a.dims[a.rank - 2];
    n = b.dims[b.rank - 1];
    if (a.dims[a.rank - 1] != b.dims[b.rank - 2])
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                               "the inner dimensions are %" G_GINT64_FORMAT " and %" G_GINT64_FORMAT
                               ", expected to be equal",
                               (gint64)a.dims[a.rank - 1], (gint64)b.dims[b.rank - 2]);
    a.rank -= 2;
    b.rank -= 2;
    out = a;
    if (!gpudl_broadcast(&out, &b)) {
        g_autofree gchar *left = gpudl_shape_to_string(&node->inputs[0]->shape);
        g_autofree gchar *right = gpudl_shape_to_string(&node->inputs[1]->shape);

        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%s and %s do not broadcast", left, right);
    }
    if (!row)
        out.dims[out.rank++] = m;
    if (!column)
        out.dims[out.rank++] = n;
    return gpudl_set_output(node, node->inputs[0]->dtype, &out);
}
