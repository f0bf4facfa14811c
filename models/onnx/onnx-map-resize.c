/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Resize and Upsample. */
#include <math.h>
#include <string.h>

#include "kernels/resize.h"
#include "onnx-internal.h"

/* One of a list of words by its place; absent: the first. -1 with error for others. */
static gint read_word(const OnnxNode *node, const gchar *name, const gchar *const *words, gint fallback, GError **error)
{
    g_autofree gchar *word = onnx_attr_string(node, name), *list = NULL;

    for (gint i = 0; word != NULL && words[i] != NULL; i++)
        if (strcmp(words[i], word) == 0)
            return i;
    if (word == NULL)
        return fallback;
    list = g_strjoinv(", ", (gchar **)words);
    onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "%s is '%s', expected one of %s", name, word, list);
    return -1;
}

static gboolean read_modes(OnnxNode *node, GpudlResizeAttrs *attrs, GError **error)
{
    static const gchar *const modes[] = {
        [GPUDL_SAMPLE_NEAREST] = "nearest", [GPUDL_SAMPLE_LINEAR] = "linear", [GPUDL_SAMPLE_CUBIC] = "cubic", NULL};
    static const gchar *const coordinates[] = {[GPUDL_SAMPLE_HALF_PIXEL] = "half_pixel",
                                               [GPUDL_SAMPLE_HALF_PIXEL_SYMMETRIC] = "half_pixel_symmetric",
                                               [GPUDL_SAMPLE_PYTORCH_HALF_PIXEL] = "pytorch_half_pixel",
                                               [GPUDL_SAMPLE_ALIGN_CORNERS] = "align_corners",
                                               [GPUDL_SAMPLE_ASYMMETRIC] = "asymmetric",
                                               [GPUDL_SAMPLE_TF_HALF_PIXEL] = "tf_half_pixel_for_nn",
                                               NULL};
    static const gchar *const nearest[] = {[GPUDL_SAMPLE_PREFER_FLOOR] = "round_prefer_floor",
                                           [GPUDL_SAMPLE_PREFER_CEIL] = "round_prefer_ceil",
                                           [GPUDL_SAMPLE_FLOOR] = "floor",
                                           [GPUDL_SAMPLE_CEIL] = "ceil",
                                           NULL};
    /* before opset 11 both are not said: from the corner, and the element that lies before */
    const gboolean old = strcmp(node->row->name, "Upsample") == 0 || node->import->opset < 11;
    g_autofree gchar *mode = onnx_attr_string(node, "mode");

    attrs->mode = mode != NULL && old && strcmp(mode, "bilinear") == 0 ? GPUDL_SAMPLE_LINEAR
                                                                       : read_word(node, "mode", modes, 0, error);
    attrs->coordinate = read_word(node, "coordinate_transformation_mode", coordinates,
                                  old ? GPUDL_SAMPLE_ASYMMETRIC : GPUDL_SAMPLE_HALF_PIXEL, error);
    if (attrs->mode < 0 || attrs->coordinate < 0)
        return FALSE;
    attrs->nearest =
        read_word(node, "nearest_mode", nearest, old ? GPUDL_SAMPLE_FLOOR : GPUDL_SAMPLE_PREFER_FLOOR, error);
    attrs->antialias = onnx_attr_int(node, "antialias", 0) != 0;
    attrs->exclude_outside = onnx_attr_int(node, "exclude_outside", 0) != 0;
    attrs->cubic_a = onnx_attr_float(node, "cubic_coeff_a", -.75f);
    return attrs->nearest >= 0;
}

/* Which dimensions the numbers are for: axis[i] for number i; all in order if the node does not say. */
static gboolean read_axes(OnnxNode *node, gint rank, gint32 *axis, gsize *n, GError **error)
{
    const gint64 *axes = onnx_attr_ints(node, "axes", n);
    gboolean seen[GPUDL_MAX_RANK] = {FALSE};

    if (axes == NULL)
        *n = (gsize)rank;
    if (*n > (gsize)rank)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " axes of a tensor of rank %d", *n, rank);
    for (gsize i = 0; i < *n; i++) {
        if (!onnx_axis(node, axes != NULL ? axes[i] : (gint64)i, rank, &axis[i], error))
            return FALSE;
        if (seen[axis[i]])
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "axis %d is named twice", axis[i]);
        seen[axis[i]] = TRUE;
    }
    return TRUE;
}

/* Numbers of input i, which must be known, or of attribute `name`; *n 0 where it is absent or empty. */
static gboolean read_scales(OnnxNode *node, guint i, double *scale, gsize *n, GError **error)
{
    const Onnx__AttributeProto *attr = onnx_attr(node, "scales");
    GpudlTensor *tensor = onnx_input(node, i);
    g_autoptr(GError) local = NULL;
    GBytes *data = NULL;

    *n = attr != NULL ? attr->n_floats : tensor != NULL ? (gsize)gpudl_shape_elements(&tensor->shape) : 0;
    if (*n > GPUDL_MAX_RANK || (attr == NULL && tensor != NULL && tensor->shape.rank != 1))
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " scales, expected a vector of at most %d",
                         *n, GPUDL_MAX_RANK);
    if (*n > 0 && attr == NULL) {
        data = onnx_fold(node->import, tensor, &local);
        if (local != NULL)
            return onnx_fail(node, local->code, error, "input %u ('%s'): %s", i, tensor->name, local->message);
        if (data == NULL)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                             "input %u ('%s'), the scales, depends on the network's input values, so the output's size "
                             "does",
                             i, tensor->name);
    }
    for (gsize k = 0; k < *n; k++) {
        scale[k] = data != NULL ? onnx_number(tensor->dtype, g_bytes_get_data(data, NULL), k) : (double)attr->floats[k];
        if (!(scale[k] > 0 && scale[k] <= 65536))
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "scale %g, expected more than 0 and at most 65536",
                             scale[k]);
    }
    return TRUE;
}

/* Sizes as the policy makes them of those wanted: all by one scale, that of the tightest or the widest dimension. */
static gboolean keep_ratio(OnnxNode *node, const GpudlShape *x, const gint32 *axis, gint64 *sizes, gsize n,
                           GError **error)
{
    static const gchar *const policies[] = {"stretch", "not_larger", "not_smaller", NULL};
    const gint policy = read_word(node, "keep_aspect_ratio_policy", policies, 0, error);
    double scale = 0;

    for (gsize i = 0; i < n && policy > 0; i++) {
        const double own = (double)sizes[i] / (double)MAX(x->dims[axis[i]], 1);

        scale = i == 0 ? own : policy == 1 ? MIN(scale, own) : MAX(scale, own);
    }
    for (gsize i = 0; i < n && policy > 0; i++)
        sizes[i] = (gint64)floor(scale * (double)x->dims[axis[i]] + .5);
    return policy >= 0;
}

static gboolean set_size(OnnxNode *node, GpudlResizeAttrs *attrs, const GpudlShape *x, gint32 axis, gint64 size,
                         double scale, GError **error)
{
    if (size < 1 || size > G_MAXINT32)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "dimension %d of %" G_GINT64_FORMAT " becomes %" G_GINT64_FORMAT ", expected 1 to %d", axis,
                         (gint64)x->dims[axis], size, G_MAXINT32);
    /* what keeps its extent carries any batch */
    if (size == x->dims[axis] && (scale == 0 || scale == 1))
        return TRUE;
    attrs->sizes[axis] = size;
    attrs->scale[axis] = scale;
    return TRUE;
}

/* Extents by scales, rounded down in float as other runtimes do, or by sizes. */
static gboolean read_extents(OnnxNode *node, GpudlResizeAttrs *attrs, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    const guint at = node->import->opset >= 11 && strcmp(node->row->name, "Resize") == 0 ? 2 : 1;
    double scale[GPUDL_MAX_RANK];
    g_autofree gint64 *sizes = NULL;
    gint32 axis[GPUDL_MAX_RANK];
    gsize n, n_scales, n_sizes = 0;

    if (!read_axes(node, x->rank, axis, &n, error) || !read_scales(node, at, scale, &n_scales, error))
        return FALSE;
    if (n_scales == 0 && onnx_input(node, 3) == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "neither scales nor sizes");
    if (n_scales == 0 && (!onnx_input_ints(node, 3, &sizes, &n_sizes, error)))
        return FALSE;
    if ((sizes != NULL ? n_sizes : n_scales) != n)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%" G_GSIZE_FORMAT " %s for %" G_GSIZE_FORMAT " axes",
                         sizes != NULL ? n_sizes : n_scales, sizes != NULL ? "sizes" : "scales", n);
    if (sizes != NULL && !keep_ratio(node, x, axis, sizes, n, error))
        return FALSE;
    for (gsize i = 0; i < n; i++) {
        const gint64 size = sizes != NULL ? sizes[i] : (gint64)((float)scale[i] * (float)x->dims[axis[i]]);

        if (!set_size(node, attrs, x, axis[i], size, sizes != NULL ? 0 : scale[i], error))
            return FALSE;
        /* opset 10 takes the element behind where it makes smaller */
        if (node->import->opset == 10 && at == 1 && scale[i] < 1)
            attrs->nearest = GPUDL_SAMPLE_CEIL;
    }
    return TRUE;
}

gboolean onnx_map_resize(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0];
    const GpudlDType dtype = x->dtype;
    GpudlAttrs attrs = {.resize = {.rank = x->shape.rank}}, cast = {.cast = {.to = GPUDL_DTYPE_F32, .saturate = 1}};
    gboolean floats;

    if (!read_modes(node, &attrs.resize, error) || !read_extents(node, &attrs.resize, error))
        return FALSE;
    floats = dtype == GPUDL_DTYPE_F32 || dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16 ||
             dtype == GPUDL_DTYPE_F64 || attrs.resize.mode == GPUDL_SAMPLE_NEAREST;
    if (floats)
        return onnx_emit_output(node, GPUDL_OP_RESIZE, &attrs, &x, 1, error);
    /* sums of integers are computed as float and cut off */
    if ((x = onnx_emit(node, GPUDL_OP_CAST, &cast, &x, 1, NULL, error)) == NULL ||
        (x = onnx_emit(node, GPUDL_OP_RESIZE, &attrs, &x, 1, NULL, error)) == NULL)
        return FALSE;
    cast.cast.to = (gint32)dtype;
    return onnx_emit_output(node, GPUDL_OP_CAST, &cast, &x, 1, error);
}
