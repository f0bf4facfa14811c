/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Windows over pictures: convolutions and pools, of one to three spatial dimensions. */
#include <string.h>

#include "aten-internal.h"
#include "models/transposed.h"

/* ---- windows ----------------------------------------------------------------------------------------------------- */

/* Each of a window's numbers; name NULL: all are the fallback. */
static gboolean read_spatial(AtenNode *node, const gchar *name, gint64 fallback, gint64 low, guint n, gint32 *spatial,
                             GError **error)
{
    gint64 values[GPUDL_MAX_SPATIAL];

    if (!aten_each(node, name, fallback, values, n, error))
        return FALSE;
    for (guint i = 0; i < n; i++) {
        if (values[i] < low || values[i] > G_MAXINT16)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "its %s is %" G_GINT64_FORMAT ", expected %d to %d",
                           name, values[i], (gint)low, G_MAXINT16);
        spatial[GPUDL_MAX_SPATIAL - n + i] = (gint32)values[i];
    }
    return TRUE;
}

static gboolean begin_window(AtenNode *node, const GpudlTensor *x, GpudlWindowAttrs *window, GError **error)
{
    const gint n = x->shape.rank - 2;

    *window = (GpudlWindowAttrs){.n_spatial = n, .group = 1};
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
    if (n >= 1 && n <= GPUDL_MAX_SPATIAL)
        return TRUE;
    return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                   "an input of rank %d, expected 3 to %d: a batch of channels of one dimension or more", x->shape.rank,
                   2 + GPUDL_MAX_SPATIAL);
}

/* ---- convolutions ------------------------------------------------------------------------------------------------ */

/* Numbers, "valid" or "same": as many outputs as inputs, the odd one of the padding behind. */
static gboolean read_conv_padding(AtenNode *node, GpudlWindowAttrs *window, GError **error)
{
    const AtenValue *padding = aten_arg(node, "padding");
    const guint n = (guint)window->n_spatial;

    if (padding == NULL || padding->kind != ATEN_TEXT) {
        if (!read_spatial(node, "padding", 0, 0, n, window->pad_begin, error))
            return FALSE;
        memcpy(window->pad_end, window->pad_begin, sizeof window->pad_end);
        return TRUE;
    }
    if (strcmp(padding->text, "valid") == 0)
        return TRUE;
    if (strcmp(padding->text, "same") != 0)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "its padding is '%s', expected 'valid' or 'same'",
                       padding->text);
    for (guint i = GPUDL_MAX_SPATIAL - n; i < GPUDL_MAX_SPATIAL; i++) {
        const gint64 total = (gint64)window->dilation[i] * (window->kernel[i] - 1);

        if (window->stride[i] != 1 || total > G_MAXINT16)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "padding 'same' with a stride other than 1");
        window->pad_begin[i] = (gint32)(total / 2);
        window->pad_end[i] = (gint32)(total - total / 2);
    }
    return TRUE;
}

static GpudlTensor *emit_one(gpointer build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *input, GError **error)
{
    return tf_emit(build, op, attrs, &input, 1, error);
}

/* output_padding is what the output has beyond what its windows reach, or less is cut off of it. */
static gboolean map_transposed(AtenNode *node, GpudlTensor *inputs[3], GpudlWindowAttrs *window, GError **error)
{
    const GpudlShape *x = &inputs[0]->shape, *w = &inputs[1]->shape;
    const guint n = (guint)window->n_spatial;
    const gint64 groups = window->group;
    GpudlTransposedSide sides[GPUDL_MAX_SPATIAL];
    gint32 more[GPUDL_MAX_SPATIAL] = {0};
    GpudlAttrs attrs = {0};

    if (!read_spatial(node, "padding", 0, 0, n, window->pad_begin, error) ||
        !read_spatial(node, "output_padding", 0, 0, n, more, error))
        return FALSE;
    if (w->dims[0] != x->dims[1] || w->dims[0] % groups != 0 || w->dims[1] < 1)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                       "weights for %" G_GINT64_FORMAT " channels in %" G_GINT64_FORMAT
                       " groups, the input has %" G_GINT64_FORMAT,
                       (gint64)w->dims[0], groups, (gint64)x->dims[1]);
    for (guint i = 0; i < n; i++) {
        const guint k = GPUDL_MAX_SPATIAL - n + i;

        if (more[k] >= MAX(window->stride[k], window->dilation[k]))
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                           "an output_padding of %d, expected less than its stride or dilation", more[k]);
        sides[i] = (GpudlTransposedSide){window->kernel[k], window->stride[k], window->dilation[k],
                                         window->pad_begin[k], window->pad_begin[k] - more[k]};
    }
    return gpudl_transposed_lower(emit_one, node->build, &inputs[0], &inputs[1], sides, groups, &attrs.window, error) &&
           aten_done(node, tf_emit(node->build, GPUDL_OP_CONV, &attrs, inputs, inputs[2] != NULL ? 3 : 2, error));
}

gboolean aten_map_conv(AtenNode *node, GError **error)
{
    const gboolean always = g_str_has_prefix(node->row->name, "conv_transpose");
    GpudlTensor *inputs[3];
    GpudlAttrs attrs = {0};
    gboolean transposed;
    gint64 groups;

    if ((inputs[0] = aten_tensor(node, "input", error)) == NULL ||
        (inputs[1] = aten_tensor(node, "weight", error)) == NULL || !aten_optional(node, "bias", &inputs[2], error) ||
        !begin_window(node, inputs[0], &attrs.window, error) ||
        !aten_flag(node, "transposed", always, &transposed, error) || !aten_int(node, "groups", 1, &groups, error))
        return FALSE;
    if (inputs[1]->shape.rank != inputs[0]->shape.rank)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "an input of rank %d, weights of rank %d",
                       inputs[0]->shape.rank, inputs[1]->shape.rank);
    for (gint i = 2; i < inputs[1]->shape.rank; i++) {
        const gint64 extent = inputs[1]->shape.dims[i];

        if (extent < 1 || extent > G_MAXINT16)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "a kernel of %" G_GINT64_FORMAT, extent);
        attrs.window.kernel[GPUDL_MAX_SPATIAL - inputs[1]->shape.rank + i] = (gint32)extent;
    }
    if (groups < 1 || groups > G_MAXINT32)
        return tf_fail(node->build, GPUDL_ERROR_FORMAT, error, "%" G_GINT64_FORMAT " groups", groups);
    attrs.window.group = (gint32)groups;
    if (!read_spatial(node, "stride", 1, 1, (guint)attrs.window.n_spatial, attrs.window.stride, error) ||
        !read_spatial(node, "dilation", 1, 1, (guint)attrs.window.n_spatial, attrs.window.dilation, error))
        return FALSE;
    if (transposed)
        return map_transposed(node, inputs, &attrs.window, error);
    aten_arg(node, "output_padding"); /* nothing to one that is not transposed */
    return read_conv_padding(node, &attrs.window, error) &&
           aten_done(node, tf_emit(node->build, GPUDL_OP_CONV, &attrs, inputs, inputs[2] != NULL ? 3 : 2, error));
}

/* ---- pools ------------------------------------------------------------------------------------------------------- */

/* A stride that is not said is the window's. */
static gboolean read_pool(AtenNode *node, const GpudlTensor *x, GpudlWindowAttrs *window, GError **error)
{
    const guint n = (guint)(x->shape.rank - 2);
    gint64 given[GPUDL_MAX_SPATIAL];
    gboolean ceil_mode;
    guint n_given;

    if (!begin_window(node, x, window, error) || !read_spatial(node, "kernel_size", 1, 1, n, window->kernel, error) ||
        !aten_ints(node, "stride", given, n, &n_given, error) ||
        !read_spatial(node, "padding", 0, 0, n, window->pad_begin, error) ||
        !aten_flag(node, "ceil_mode", FALSE, &ceil_mode, error))
        return FALSE;
    memcpy(window->pad_end, window->pad_begin, sizeof window->pad_end);
    window->ceil_mode = ceil_mode;
    if (n_given > 0)
        return read_spatial(node, "stride", 1, 1, n, window->stride, error);
    memcpy(window->stride, window->kernel, sizeof window->stride);
    return TRUE;
}

/* Also max_pool2d_with_indices, whose indices go over one picture and are not computed. */
gboolean aten_map_max_pool(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *ys[2] = {NULL};
    GpudlAttrs attrs = {0};

    if (x == NULL || !read_pool(node, x, &attrs.window, error) ||
        !read_spatial(node, "dilation", 1, 1, (guint)attrs.window.n_spatial, attrs.window.dilation, error))
        return FALSE;
    ys[0] = tf_emit(node->build, GPUDL_OP_MAX_POOL, &attrs, &x, 1, error);
    if (ys[0] == NULL || g_str_has_suffix(node->row->name, "_with_indices"))
        return ys[0] != NULL && aten_done_list(node, ys, 2);
    return aten_done(node, ys[0]);
}

gboolean aten_map_avg_pool(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    GpudlAttrs attrs = {0};
    gboolean count_pad;

    if (x == NULL || !read_pool(node, x, &attrs.window, error) ||
        !aten_flag(node, "count_include_pad", TRUE, &count_pad, error) || !aten_absent(node, "divisor_override", error))
        return FALSE;
    attrs.window.count_include_pad = count_pad;
    return aten_done(node, tf_emit(node->build, GPUDL_OP_AVERAGE_POOL, &attrs, &x, 1, error));
}

/* ---- pools that are told what comes out -------------------------------------------------------------------------- */

/* Extents of the output; None is the input's. */
static gboolean read_output_size(AtenNode *node, const GpudlTensor *x, gint64 *out, GError **error)
{
    const gint n = x->shape.rank - 2;
    const AtenValue *size = aten_arg(node, "output_size");
    GpudlWindowAttrs window;

    if (!begin_window(node, x, &window, error))
        return FALSE;
    for (gint i = 0; i < n; i++) {
        const AtenValue *each =
            size != NULL && size->kind == ATEN_LIST && (gint)size->n_items == n ? &size->items[i] : size;

        if (each != NULL && each->kind == ATEN_NONE)
            out[i] = x->shape.dims[2 + i];
        else if (each != NULL && each->kind == ATEN_INT)
            out[i] = each->integer;
        else if (!aten_each(node, "output_size", 0, out, (guint)n, error))
            return FALSE;
        if (out[i] < 1 || out[i] > G_MAXINT16 || x->shape.dims[2 + i] < 1)
            return tf_fail(node->build, GPUDL_ERROR_FORMAT, error,
                           "its output_size is %" G_GINT64_FORMAT " for an extent of %" G_GINT64_FORMAT, out[i],
                           (gint64)x->shape.dims[2 + i]);
    }
    return TRUE;
}

/* All windows are alike where the extents divide; TRUE then. *all: one window over everything. */
static gboolean is_even(const GpudlTensor *x, const gint64 *out, GpudlWindowAttrs *window, gboolean *all)
{
    const gint n = x->shape.rank - 2;

    *window = (GpudlWindowAttrs){.n_spatial = n, .group = 1};
    *all = TRUE;
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
    for (gint i = 0; i < n; i++) {
        const gint64 in = x->shape.dims[2 + i];

        if (in % out[i] != 0 || in / out[i] > G_MAXINT16)
            return FALSE;
        window->kernel[GPUDL_MAX_SPATIAL - n + i] = window->stride[GPUDL_MAX_SPATIAL - n + i] = (gint32)(in / out[i]);
        *all = *all && out[i] == 1;
    }
    return TRUE;
}

/* in x out, or out x in: output o is the mean of inputs floor(o in / out) to ceil((o + 1) in / out). */
static GpudlTensor *mean_matrix(AtenNode *node, const GpudlTensor *x, gint64 in, gint64 out, gboolean rows_out,
                                GError **error)
{
    const GpudlShape shape = {.rank = 2, .dims = {rows_out ? out : in, rows_out ? in : out}};
    g_autofree double *matrix = NULL;
    GpudlTensor *made;

    if (in > G_MAXINT16 || out > G_MAXINT16) {
        tf_fail(node->build, GPUDL_ERROR_LIMIT, error, "an extent of %" G_GINT64_FORMAT, MAX(in, out));
        return NULL;
    }
    if (!aten_spend(node, (guint64)(in * out) * sizeof *matrix, error))
        return NULL;
    matrix = g_new0(double, (gsize)(in * out));
    for (gint64 o = 0; o < out; o++) {
        const gint64 begin = o * in / out, end = ((o + 1) * in + out - 1) / out;

        for (gint64 i = begin; i < end; i++)
            matrix[rows_out ? o * in + i : i * out + o] = 1 / (double)(end - begin);
    }
    made = tf_constant(node->build, GPUDL_DTYPE_F64, &shape, g_bytes_new(matrix, (gsize)(in * out) * sizeof *matrix),
                       error);
    return made != NULL ? tf_cast(node->build, made, x->dtype, error) : NULL;
}

/* Windows of several sizes, of two dimensions: a product from each side. */
static gboolean uneven_average(AtenNode *node, GpudlTensor *x, const gint64 *out, GError **error)
{
    GpudlTensor *rows, *columns;

    if (x->shape.rank != 4)
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error,
                       "an output_size that does not divide the input, of rank %d; of rank 4 it is taken",
                       x->shape.rank);
    if ((columns = mean_matrix(node, x, x->shape.dims[3], out[1], FALSE, error)) == NULL ||
        (rows = mean_matrix(node, x, x->shape.dims[2], out[0], TRUE, error)) == NULL)
        return FALSE;
    x = tf_binary(node->build, GPUDL_OP_MATMUL, x, columns, error);
    return x != NULL && aten_done(node, tf_binary(node->build, GPUDL_OP_MATMUL, rows, x, error));
}

gboolean aten_map_adaptive_avg(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error);
    gint64 out[GPUDL_MAX_SPATIAL];
    GpudlAttrs attrs = {0};
    gboolean all;

    if (x == NULL || !read_output_size(node, x, out, error))
        return FALSE;
    if (!is_even(x, out, &attrs.window, &all))
        return uneven_average(node, x, out, error);
    return aten_done(node, all ? tf_unary(node->build, GPUDL_OP_GLOBAL_AVERAGE_POOL, x, error)
                               : tf_emit(node->build, GPUDL_OP_AVERAGE_POOL, &attrs, &x, 1, error));
}

gboolean aten_map_adaptive_max(AtenNode *node, GError **error)
{
    GpudlTensor *x = aten_tensor(node, "self", error), *ys[2] = {NULL};
    gint64 out[GPUDL_MAX_SPATIAL];
    GpudlAttrs attrs = {0};
    gboolean all;

    if (x == NULL || !read_output_size(node, x, out, error))
        return FALSE;
    if (!is_even(x, out, &attrs.window, &all))
        return tf_fail(node->build, GPUDL_ERROR_UNSUPPORTED, error, "an output_size that does not divide the input");
    ys[0] = all ? tf_unary(node->build, GPUDL_OP_GLOBAL_MAX_POOL, x, error)
                : tf_emit(node->build, GPUDL_OP_MAX_POOL, &attrs, &x, 1, error);
    return ys[0] != NULL && aten_done_list(node, ys, 2);
}
