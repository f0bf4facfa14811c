/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* ConvTranspose, and Col2Im, which is one by a kernel of its own. */
#include <string.h>

#include "engine/limits.h"
#include "models/transposed.h"
#include "onnx-internal.h"

/* Value i of a list of n, or fallback where there is none. FALSE unless low..32767. */
static gboolean read_value(const OnnxNode *node, const gchar *name, gint n, gint i, gint64 low, gint64 fallback,
                           gint64 *value, GError **error)
{
    gsize found;
    const gint64 *values = onnx_attr_ints(node, name, &found);

    *value = fallback;
    if (values == NULL)
        return TRUE;
    if (found != (gsize)n)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%s has %" G_GSIZE_FORMAT " values, expected %d", name, found,
                         n);
    *value = values[i];
    return (*value >= low && *value <= G_MAXINT16) ||
           onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%s[%d] is %" G_GINT64_FORMAT ", expected %d to %d", name, i,
                     *value, (gint)low, G_MAXINT16);
}

static gboolean read_side(const OnnxNode *node, gint n, gint i, gint64 in, gint64 kernel, GpudlTransposedSide *side,
                          GError **error)
{
    g_autofree gchar *mode = onnx_attr_string(node, "auto_pad");
    const gboolean explicit = mode == NULL || mode[0] == '\0' || strcmp(mode, "NOTSET") == 0;
    const gboolean upper = !explicit && strcmp(mode, "SAME_UPPER") == 0;
    const gboolean same = upper || (!explicit && strcmp(mode, "SAME_LOWER") == 0);
    gint64 stated, wanted, total, extra;

    side->kernel = kernel;
    if (!read_value(node, "kernel_shape", n, i, 1, kernel, &stated, error) ||
        !read_value(node, "strides", n, i, 1, 1, &side->stride, error) ||
        !read_value(node, "dilations", n, i, 1, 1, &side->dilation, error) ||
        !read_value(node, "output_padding", n, i, 0, 0, &extra, error) ||
        !read_value(node, "output_shape", n, i, 1, 0, &wanted, error) ||
        !read_value(node, "pads", 2 * n, i, 0, 0, &side->begin, error) ||
        !read_value(node, "pads", 2 * n, n + i, 0, 0, &side->end, error))
        return FALSE;
    if (stated != kernel)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "kernel_shape says %" G_GINT64_FORMAT ", the weights are %" G_GINT64_FORMAT, stated, kernel);
    if (!explicit && !same && strcmp(mode, "VALID") != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "auto_pad is '%s', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", mode);
    if (!explicit && !same)
        side->begin = side->end = 0;
    if (wanted == 0 && same)
        wanted = in * side->stride;
    if (wanted == 0) {
        side->end -= extra;
        return TRUE;
    }
    total = side->stride * (in - 1) + extra + (kernel - 1) * side->dilation + 1 - wanted;
    /* what is missing stands behind */
    side->begin = total < 0 ? 0 : upper ? total / 2 : total - total / 2;
    side->end = total - side->begin - extra;
    return TRUE;
}

static GpudlTensor *emit(gpointer node, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *input, GError **error)
{
    return onnx_emit(node, op, attrs, &input, 1, NULL, error);
}

gboolean onnx_map_conv_transpose(OnnxNode *node, GError **error)
{
    GpudlTensor *inputs[3] = {node->inputs[0], node->inputs[1], onnx_input(node, 2)};
    const GpudlShape x = inputs[0]->shape, w = inputs[1]->shape;
    const gint64 groups = onnx_attr_int(node, "group", 1);
    const gint n = x.rank - 2;
    GpudlTransposedSide sides[GPUDL_MAX_SPATIAL];
    GpudlAttrs conv = {0};

    if (n < 1 || n > GPUDL_MAX_SPATIAL || w.rank != x.rank)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "an input of rank %d and weights of rank %d, expected 3 to %d, both the same", x.rank, w.rank,
                         2 + GPUDL_MAX_SPATIAL);
    if (groups < 1 || w.dims[0] % groups != 0 || w.dims[0] != x.dims[1] || gpudl_shape_elements(&w) == 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "weights for %" G_GINT64_FORMAT " channels in %" G_GINT64_FORMAT
                         " groups, the input has %" G_GINT64_FORMAT,
                         (gint64)w.dims[0], groups, (gint64)x.dims[1]);
    for (gint i = 0; i < n; i++) {
        if (w.dims[2 + i] > G_MAXINT16)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "a kernel of %" G_GINT64_FORMAT, (gint64)w.dims[2 + i]);
        if (!read_side(node, n, i, x.dims[2 + i], w.dims[2 + i], &sides[i], error))
            return FALSE;
    }
    return gpudl_transposed_lower(emit, node, &inputs[0], &inputs[1], sides, groups, &conv.window, error) &&
           onnx_emit_output(node, GPUDL_OP_CONV, &conv, inputs, inputs[2] != NULL ? 3 : 2, error);
}

/* ---- Col2Im ------------------------------------------------------------------------------------------------------ */

/* One dimension of the picture and the windows along it. */
static gboolean read_block(const OnnxNode *node, gint n, gint i, gint64 picture, gint64 block,
                           GpudlTransposedSide *side, gint64 *windows, GError **error)
{
    gint64 reach;

    side->kernel = block;
    if (!read_value(node, "strides", n, i, 1, 1, &side->stride, error) ||
        !read_value(node, "dilations", n, i, 1, 1, &side->dilation, error) ||
        !read_value(node, "pads", 2 * n, i, 0, 0, &side->begin, error) ||
        !read_value(node, "pads", 2 * n, n + i, 0, 0, &side->end, error))
        return FALSE;
    if (block < 1 || block > G_MAXINT16 || picture < 1 || picture > GPUDL_LIMIT_TENSOR_BYTES)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "blocks of %" G_GINT64_FORMAT " along a dimension of %" G_GINT64_FORMAT, block, picture);
    reach = side->dilation * (block - 1) + 1;
    *windows = (picture + side->begin + side->end - reach) / side->stride + 1;
    if (picture + side->begin + side->end < reach)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "blocks that reach over %" G_GINT64_FORMAT " along a dimension of %" G_GINT64_FORMAT, reach,
                         picture);
    side->end = side->stride * (*windows - 1) + reach - side->begin - picture;
    return TRUE;
}

/* A kernel for each element of a block, which puts it at its place. */
static GpudlTensor *place_weights(OnnxNode *node, gint64 channels, gint64 area, const GpudlTransposedSide *sides,
                                  gint n, GError **error)
{
    GpudlShape shape = {.rank = 2 + n, .dims = {channels * area, 1}};
    const guint64 bytes = (guint64)(channels * area) * (guint64)area * sizeof(float);
    float *values;

    for (gint i = 0; i < n; i++)
        shape.dims[2 + i] = sides[i].kernel;
    if (!onnx_spend(node, bytes, error))
        return NULL;
    values = g_malloc0(bytes);
    for (gint64 i = 0; i < channels * area; i++)
        values[i * area + i % area] = 1;
    return onnx_constant(node, NULL, GPUDL_DTYPE_F32, &shape, g_bytes_new_take(values, bytes), error);
}

/* N x (channels x block) x windows, added up where windows overlap. */
gboolean onnx_map_col2im(OnnxNode *node, GError **error)
{
    GpudlTensor *inputs[2] = {node->inputs[0], NULL};
    const GpudlShape x = inputs[0]->shape;
    g_autofree gint64 *picture = NULL, *block = NULL;
    gint64 dims[GPUDL_MAX_RANK] = {0}, area = 1, all = 1;
    GpudlTransposedSide sides[GPUDL_MAX_SPATIAL];
    GpudlAttrs conv = {0};
    gsize n, n_block;

    if (!onnx_input_ints(node, 1, &picture, &n, error) || !onnx_input_ints(node, 2, &block, &n_block, error))
        return FALSE;
    if (n < 1 || n > GPUDL_MAX_SPATIAL || n_block != n || x.rank != 3 || inputs[0]->dtype != GPUDL_DTYPE_F32)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "%s of rank %d, a picture of %" G_GSIZE_FORMAT " and a block of %" G_GSIZE_FORMAT
                         " dimensions, expected float32 of rank 3, and 1 to %d of both",
                         gpudl_dtype_name(inputs[0]->dtype), x.rank, n, n_block, GPUDL_MAX_SPATIAL);
    for (gint i = 0; i < (gint)n; i++) {
        if (!read_block(node, (gint)n, i, picture[i], block[i], &sides[i], &dims[2 + i], error))
            return FALSE;
        area *= block[i];
        all = all == 0 || dims[2 + i] > x.dims[2] / all ? 0 : all * dims[2 + i]; /* 0: more than x has */
    }
    if (all != x.dims[2] || x.dims[1] < area || x.dims[1] % area != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "%" G_GINT64_FORMAT " windows of %" G_GINT64_FORMAT
                         " elements of each channel are no input of %" G_GINT64_FORMAT " by %" G_GINT64_FORMAT,
                         all, area, (gint64)x.dims[1], (gint64)x.dims[2]);
    inputs[0] = onnx_reshape(node, inputs[0], dims, 2 + (gint)n, NULL, error);
    if (inputs[0] == NULL || (inputs[1] = place_weights(node, x.dims[1] / area, area, sides, (gint)n, error)) == NULL)
        return FALSE;
    return gpudl_transposed_lower(emit, node, &inputs[0], &inputs[1], sides, x.dims[1] / area, &conv.window, error) &&
           onnx_emit_output(node, GPUDL_OP_CONV, &conv, inputs, 2, error);
}
