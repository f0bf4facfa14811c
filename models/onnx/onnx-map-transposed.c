/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * ConvTranspose as a convolution: zeros between the elements where the stride is above 1, then the mirrored kernel with
 * its channels exchanged, which are constants. What the padding cuts off is left out before.
 */
#include <string.h>

#include "onnx-internal.h"

/* What the node says of one spatial dimension. */
typedef struct {
    gint64 kernel, stride, dilation, begin, end, extra;
} Side;

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

static gboolean read_side(const OnnxNode *node, gint n, gint i, gint64 in, gint64 kernel, Side *side, GError **error)
{
    g_autofree gchar *mode = onnx_attr_string(node, "auto_pad");
    const gboolean explicit = mode == NULL || mode[0] == '\0' || strcmp(mode, "NOTSET") == 0;
    const gboolean upper = !explicit && strcmp(mode, "SAME_UPPER") == 0;
    const gboolean same = upper || (!explicit && strcmp(mode, "SAME_LOWER") == 0);
    gint64 stated, wanted, total;

    side->kernel = kernel;
    if (!read_value(node, "kernel_shape", n, i, 1, kernel, &stated, error) ||
        !read_value(node, "strides", n, i, 1, 1, &side->stride, error) ||
        !read_value(node, "dilations", n, i, 1, 1, &side->dilation, error) ||
        !read_value(node, "output_padding", n, i, 0, 0, &side->extra, error) ||
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
    if (wanted == 0)
        return TRUE;
    total = side->stride * (in - 1) + side->extra + (kernel - 1) * side->dilation + 1 - wanted;
    /* what is missing stands behind */
    side->begin = total < 0 ? 0 : upper ? total / 2 : total - total / 2;
    side->end = total - side->begin;
    return TRUE;
}

/* stride - 1 zeros behind each element along an axis. */
static GpudlTensor *insert_zeros(OnnxNode *node, GpudlTensor *x, gint axis, gint64 stride, GError **error)
{
    const gint rank = x->shape.rank;
    GpudlAttrs pad = {.pad = {.rank = rank + 1, .mode = GPUDL_PAD_CONSTANT}};
    gint64 apart[GPUDL_MAX_RANK], together[GPUDL_MAX_RANK];

    for (gint i = 0; i < rank; i++) {
        apart[i <= axis ? i : i + 1] = i == 0 ? 0 : x->shape.dims[i];
        together[i] = i == 0 ? 0 : x->shape.dims[i] * (i == axis ? stride : 1);
    }
    apart[axis + 1] = 1;
    pad.pad.end[axis + 1] = stride - 1;
    if ((x = onnx_reshape(node, x, apart, rank + 1, NULL, error)) == NULL ||
        (x = onnx_emit(node, GPUDL_OP_PAD, &pad, &x, 1, NULL, error)) == NULL)
        return NULL;
    return onnx_reshape(node, x, together, rank, NULL, error);
}

/* [in][out / groups][kernel] to [out][in / groups][mirrored kernel] */
static GpudlTensor *turn_weights(OnnxNode *node, GpudlTensor *w, gint64 groups, GError **error)
{
    const GpudlShape shape = w->shape;
    GpudlAttrs swap = {.transpose.rank = shape.rank + 1}, mirror = {.slice.rank = shape.rank};
    gint64 apart[GPUDL_MAX_RANK], together[GPUDL_MAX_RANK];

    apart[0] = groups;
    apart[1] = shape.dims[0] / groups;
    apart[2] = shape.dims[1];
    together[0] = groups * shape.dims[1];
    together[1] = shape.dims[0] / groups;
    swap.transpose.perm[0] = 0;
    swap.transpose.perm[1] = 2;
    swap.transpose.perm[2] = 1;
    for (gint i = 2; i < shape.rank; i++) {
        apart[i + 1] = together[i] = shape.dims[i];
        swap.transpose.perm[i + 1] = i + 1;
    }
    for (gint i = 0; i < shape.rank; i++) {
        mirror.slice.start[i] = i < 2 ? 0 : -1;
        mirror.slice.end[i] = i < 2 ? G_MAXINT64 : G_MININT64;
        mirror.slice.step[i] = i < 2 ? 1 : -1;
    }
    if ((w = onnx_reshape(node, w, apart, shape.rank + 1, NULL, error)) == NULL ||
        (w = onnx_emit(node, GPUDL_OP_TRANSPOSE, &swap, &w, 1, NULL, error)) == NULL ||
        (w = onnx_reshape(node, w, together, shape.rank, NULL, error)) == NULL)
        return NULL;
    return onnx_emit(node, GPUDL_OP_SLICE, &mirror, &w, 1, NULL, error);
}

gboolean onnx_map_conv_transpose(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *inputs[3] = {NULL, node->inputs[1], onnx_input(node, 2)};
    const GpudlShape w = node->inputs[1]->shape;
    const gint64 groups = onnx_attr_int(node, "group", 1);
    const gint rank = x->shape.rank, n = rank - 2;
    GpudlAttrs pad = {.pad = {.rank = rank, .mode = GPUDL_PAD_CONSTANT}},
               conv = {.window = {.n_spatial = n, .group = (gint32)CLAMP(groups, 0, G_MAXINT32)}};
    gboolean padded = FALSE;

    if (n < 1 || n > GPUDL_MAX_SPATIAL || w.rank != rank)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "an input of rank %d and weights of rank %d, expected 3 to %d, both the same", rank, w.rank,
                         2 + GPUDL_MAX_SPATIAL);
    if (groups < 1 || w.dims[0] % groups != 0 || w.dims[0] != x->shape.dims[1] || gpudl_shape_elements(&w) == 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "weights for %" G_GINT64_FORMAT " channels in %" G_GINT64_FORMAT
                         " groups, the input has %" G_GINT64_FORMAT,
                         (gint64)w.dims[0], groups, (gint64)x->shape.dims[1]);
    for (gint i = 0; i < GPUDL_MAX_SPATIAL; i++)
        conv.window.kernel[i] = conv.window.stride[i] = conv.window.dilation[i] = 1;
    for (gint i = 0; i < n; i++) {
        const gint k = GPUDL_MAX_SPATIAL - n + i;
        Side side;
        gint64 reach;

        if (w.dims[2 + i] > G_MAXINT16)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "a kernel of %" G_GINT64_FORMAT, (gint64)w.dims[2 + i]);
        if (!read_side(node, n, i, x->shape.dims[2 + i], w.dims[2 + i], &side, error))
            return FALSE;
        conv.window.kernel[k] = (gint32)side.kernel;
        conv.window.dilation[k] = (gint32)side.dilation;
        reach = (side.kernel - 1) * side.dilation;
        pad.pad.begin[2 + i] = reach - side.begin;
        pad.pad.end[2 + i] = reach - side.end + side.extra - (side.stride - 1);
        padded = padded || pad.pad.begin[2 + i] != 0 || pad.pad.end[2 + i] != 0;
        if (side.stride > 1 && (x = insert_zeros(node, x, 2 + i, side.stride, error)) == NULL)
            return FALSE;
    }
    if (padded && (x = onnx_emit(node, GPUDL_OP_PAD, &pad, &x, 1, NULL, error)) == NULL)
        return FALSE;
    inputs[0] = x;
    if ((inputs[1] = turn_weights(node, inputs[1], groups, error)) == NULL)
        return FALSE;
    return onnx_emit_output(node, GPUDL_OP_CONV, &conv, inputs, inputs[2] != NULL ? 3 : 2, error);
}
