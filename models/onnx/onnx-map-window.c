/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of products, windows and normalisation. */
#include <string.h>

#include "onnx-internal.h"

typedef enum { PAD_EXPLICIT, PAD_VALID, PAD_SAME_UPPER, PAD_SAME_LOWER } AutoPad;

static gboolean read_auto_pad(const OnnxNode *node, AutoPad *mode, GError **error)
{
    static const gchar *const names[] = {"NOTSET", "VALID", "SAME_UPPER", "SAME_LOWER"};
    g_autofree gchar *name = onnx_attr_string(node, "auto_pad");

    *mode = PAD_EXPLICIT;
    if (name == NULL || name[0] == '\0')
        return TRUE;
    for (guint i = 0; i < G_N_ELEMENTS(names); i++) {
        if (strcmp(name, names[i]) == 0) {
            *mode = (AutoPad)i;
            return TRUE;
        }
    }
    return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                     "auto_pad is '%s', expected NOTSET, VALID, SAME_UPPER or SAME_LOWER", name);
}

/* Reads a spatial attribute of n values into the last n places of out; absent: fallback. */
static gboolean read_spatial(const OnnxNode *node, const gchar *name, gint n, gint64 low, gint32 fallback, gint32 *out,
                             GError **error)
{
    gsize found;
    const gint64 *values = onnx_attr_ints(node, name, &found);

    for (gint i = 0; i < n; i++)
        out[GPUDL_MAX_SPATIAL - n + i] = fallback;
    if (values == NULL)
        return TRUE;
    if (found != (gsize)n)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%s has %" G_GSIZE_FORMAT " values, expected %d", name, found,
                         n);
    for (gint i = 0; i < n; i++) {
        if (values[i] < low || values[i] > G_MAXINT16)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "%s[%d] is %" G_GINT64_FORMAT ", expected %d to %d", name,
                             i, values[i], (gint)low, G_MAXINT16);
        out[GPUDL_MAX_SPATIAL - n + i] = (gint32)values[i];
    }
    return TRUE;
}

static gboolean read_pads(const OnnxNode *node, gint n, GpudlWindowAttrs *window, GError **error)
{
    gsize found;
    const gint64 *values = onnx_attr_ints(node, "pads", &found);

    if (values == NULL)
        return TRUE;
    if (found != (gsize)(2 * n))
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "pads has %" G_GSIZE_FORMAT " values, expected %d", found,
                         2 * n);
    for (gint i = 0; i < 2 * n; i++) {
        if (values[i] < 0 || values[i] > G_MAXINT16)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "pads[%d] is %" G_GINT64_FORMAT ", expected 0 to %d", i,
                             values[i], G_MAXINT16);
        if (i < n)
            window->pad_begin[GPUDL_MAX_SPATIAL - n + i] = (gint32)values[i];
        else
            window->pad_end[GPUDL_MAX_SPATIAL - 2 * n + i] = (gint32)values[i];
    }
    return TRUE;
}

/* SAME: as many outputs as inputs / stride, rounded up; an odd padding puts the extra one where the mode says. */
static gboolean resolve_same(const OnnxNode *node, const GpudlShape *x, AutoPad mode, GpudlWindowAttrs *window,
                             GError **error)
{
    for (gint i = 0; i < window->n_spatial; i++) {
        const gint k = GPUDL_MAX_SPATIAL - window->n_spatial + i;
        const gint64 in = x->dims[2 + i], stride = window->stride[k];
        const gint64 extent = (gint64)(window->kernel[k] - 1) * window->dilation[k] + 1;
        const gint64 total = MAX(((in + stride - 1) / stride - 1) * stride + extent - in, 0);
        const gint64 small = total / 2, large = total - small;

        if (total > G_MAXINT16)
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "a padding of %" G_GINT64_FORMAT, total);
        window->pad_begin[k] = (gint32)(mode == PAD_SAME_UPPER ? small : large);
        window->pad_end[k] = (gint32)(mode == PAD_SAME_UPPER ? large : small);
    }
    /* the padding makes the division exact; rounding up would add one */
    window->ceil_mode = 0;
    return TRUE;
}

/* All attributes of Conv and the pools; the kernel's size is in *window already if `has_kernel`. */
static gboolean read_window(const OnnxNode *node, const GpudlShape *x, gboolean has_kernel, GpudlWindowAttrs *window,
                            GError **error)
{
    const gint n = x->rank - 2;
    AutoPad mode;

    if (n < 1 || n > GPUDL_MAX_SPATIAL)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "an input of rank %d, expected 3 to %d", x->rank,
                         2 + GPUDL_MAX_SPATIAL);
    window->n_spatial = n;
    for (gint i = 0; i < GPUDL_MAX_SPATIAL - n; i++)
        window->kernel[i] = window->stride[i] = window->dilation[i] = 1;
    window->group = 1;
    if (!has_kernel && onnx_attr(node, "kernel_shape") == NULL)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "no kernel_shape");
    if (!has_kernel && !read_spatial(node, "kernel_shape", n, 1, 1, window->kernel, error))
        return FALSE;
    if (!read_auto_pad(node, &mode, error) || !read_spatial(node, "strides", n, 1, 1, window->stride, error) ||
        !read_spatial(node, "dilations", n, 1, 1, window->dilation, error))
        return FALSE;
    if (mode == PAD_EXPLICIT)
        return read_pads(node, n, window, error);
    return mode == PAD_VALID || resolve_same(node, x, mode, window, error);
}

gboolean onnx_map_conv(OnnxNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape, *w = &node->inputs[1]->shape;
    GpudlAttrs attrs = {0};
    GpudlWindowAttrs stated = {0};
    const gint n = x->rank - 2;
    gint64 group = onnx_attr_int(node, "group", 1);

    if (x->rank != w->rank)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "the input has rank %d, the weights have rank %d", x->rank,
                         w->rank);
    if (n < 1 || n > GPUDL_MAX_SPATIAL)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "an input of rank %d, expected 3 to %d", x->rank,
                         2 + GPUDL_MAX_SPATIAL);
    for (gint i = 0; i < n; i++) {
        if (w->dims[2 + i] < 1 || w->dims[2 + i] > G_MAXINT16)
            return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "a kernel of %" G_GINT64_FORMAT " in dimension %d",
                             (gint64)w->dims[2 + i], i);
        attrs.window.kernel[GPUDL_MAX_SPATIAL - n + i] = (gint32)w->dims[2 + i];
    }
    if (!read_window(node, x, TRUE, &attrs.window, error))
        return FALSE;
    if (onnx_attr(node, "kernel_shape") != NULL) {
        if (!read_spatial(node, "kernel_shape", n, 1, 1, stated.kernel, error))
            return FALSE;
        for (gint i = GPUDL_MAX_SPATIAL - n; i < GPUDL_MAX_SPATIAL; i++)
            if (stated.kernel[i] != attrs.window.kernel[i])
                return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "kernel_shape says %d, the weights are %d",
                                 stated.kernel[i], attrs.window.kernel[i]);
    }
    if (group < 1 || group > G_MAXINT32)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "group is %" G_GINT64_FORMAT, group);
    attrs.window.group = (gint32)group;
    return onnx_emit_output(node, GPUDL_OP_CONV, &attrs, node->inputs, node->n_inputs, error);
}

gboolean onnx_map_pool(OnnxNode *node, GError **error)
{
    const gchar *names[2] = {onnx_output_name(node, 0), onnx_output_name(node, 1)};
    GpudlAttrs attrs = {0};
    GpudlNode *added;

    attrs.window.ceil_mode = onnx_attr_int(node, "ceil_mode", 0) != 0;
    attrs.window.count_include_pad = onnx_attr_int(node, "count_include_pad", 0) != 0;
    if (!read_window(node, &node->inputs[0]->shape, FALSE, &attrs.window, error))
        return FALSE;
    if (!onnx_output_used(node, 1))
        return onnx_emit_output(node, node->row->op, &attrs, node->inputs, 1, error);
    attrs.window.column_major = onnx_attr_int(node, "storage_order", 0) != 0;
    added = gpudl_graph_add_node(node->import->graph, node->row->op, node->name, node->inputs, 1, names, 2);
    added->attrs = attrs;
    if (!onnx_infer(node, added, error))
        return FALSE;
    for (guint i = 0; i < 2; i++)
        node->outputs[i] = added->outputs[i];
    return TRUE;
}

gboolean onnx_map_gemm(OnnxNode *node, GError **error)
{
    GpudlAttrs attrs = {.gemm = {.trans_a = onnx_attr_int(node, "transA", 0) != 0,
                                 .trans_b = onnx_attr_int(node, "transB", 0) != 0,
                                 .alpha = onnx_attr_float(node, "alpha", 1.f),
                                 .beta = onnx_attr_float(node, "beta", 1.f)}};

    return onnx_emit_output(node, GPUDL_OP_GEMM, &attrs, node->inputs, node->n_inputs, error);
}

gboolean onnx_map_lrn(OnnxNode *node, GError **error)
{
    const gint64 size = onnx_attr_int(node, "size", 0);
    GpudlAttrs attrs = {.lrn = {.alpha = onnx_attr_float(node, "alpha", 1e-4f),
                                .beta = onnx_attr_float(node, "beta", .75f),
                                .bias = onnx_attr_float(node, "bias", 1.f)}};

    if (size < 1 || size > G_MAXINT32)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "size is %" G_GINT64_FORMAT ", expected at least 1", size);
    attrs.lrn.size = (gint32)size;
    return onnx_emit_output(node, GPUDL_OP_LRN, &attrs, node->inputs, 1, error);
}

/* old * momentum + now * (1 - momentum): what training would keep */
static GpudlTensor *running(OnnxNode *node, GpudlTensor *old, GpudlTensor *now, const gchar *output, GError **error)
{
    const double momentum = (double)onnx_attr_float(node, "momentum", .9f);
    GpudlTensor *keep, *take;

    if ((keep = onnx_constant_scalar(node, old->dtype, momentum, error)) == NULL ||
        (take = onnx_constant_scalar(node, now->dtype, 1 - momentum, error)) == NULL ||
        (keep = onnx_binary(node, GPUDL_OP_MUL, old, keep, NULL, error)) == NULL ||
        (take = onnx_binary(node, GPUDL_OP_MUL, now, take, NULL, error)) == NULL)
        return NULL;
    return onnx_binary(node, GPUDL_OP_ADD, keep, take, output, error);
}

/* Training mode normalises by what the values themselves have, of a batch that is not known here. Weights that are
 * standardised so are constants, and become new weights. */
static gboolean map_batch_norm_of_itself(OnnxNode *node, float epsilon, GError **error)
{
    GpudlTensor *x = node->inputs[0], *inputs[5] = {x, node->inputs[1], node->inputs[2]}, *t;
    GpudlAttrs reduce = {0}, attrs = {.batch_norm = {.epsilon = epsilon}};
    gint64 column[GPUDL_MAX_RANK] = {1, -1};

    if (!onnx_is_computable(node->import, x))
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "training mode, on values that depend on the network's input: it would mix the frames of a "
                         "batch; export the model for inference");
    if (x->shape.rank < 2)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected at least 2", x->shape.rank);
    for (gint i = 0; i < x->shape.rank; i++) {
        if (i != 1)
            reduce.reduce.axes[reduce.reduce.n_axes++] = i;
        if (i > 1)
            column[i] = 1;
    }
    if ((inputs[3] = onnx_emit(node, GPUDL_OP_REDUCE_MEAN, &reduce, &x, 1, NULL, error)) == NULL ||
        (t = onnx_reshape(node, inputs[3], column, x->shape.rank, NULL, error)) == NULL ||
        (t = onnx_binary(node, GPUDL_OP_SUB, x, t, NULL, error)) == NULL ||
        (t = onnx_binary(node, GPUDL_OP_MUL, t, t, NULL, error)) == NULL ||
        (inputs[4] = onnx_emit(node, GPUDL_OP_REDUCE_MEAN, &reduce, &t, 1, NULL, error)) == NULL)
        return FALSE;
    for (guint i = 1; i < 3 && i < node->n_outputs; i++)
        if (onnx_output_used(node, i) && (node->outputs[i] = running(node, node->inputs[2 + i], inputs[2 + i],
                                                                     onnx_output_name(node, i), error)) == NULL)
            return FALSE;
    return onnx_emit_output(node, GPUDL_OP_BATCH_NORM, &attrs, inputs, 5, error);
}

gboolean onnx_map_batch_norm(OnnxNode *node, GError **error)
{
    GpudlAttrs attrs = {.batch_norm = {.epsilon = onnx_attr_float(node, "epsilon", 1e-5f)}};
    gboolean training = onnx_attr_int(node, "training_mode", 0) != 0;

    if (onnx_attr_int(node, "spatial", 1) != 1)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error, "spatial = 0: statistics per activation");
    /* before opset 14 it is the number of outputs that tells, whoever reads them */
    for (guint i = 1; i < node->n_outputs && node->import->opset < 14; i++)
        training = training || onnx_output_name(node, i) != NULL;
    if (training)
        return map_batch_norm_of_itself(node, attrs.batch_norm.epsilon, error);
    for (guint i = 1; i < node->n_outputs; i++)
        if (onnx_output_used(node, i))
            return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                             "its output %u is used, which training alone computes", i);
    return onnx_emit_output(node, GPUDL_OP_BATCH_NORM, &attrs, node->inputs, 5, error);
}

/* x minus its mean over axes, and 1 / sqrt(variance + epsilon); mean too if the caller wants it. */
static gboolean standardise(OnnxNode *node, GpudlTensor *x, const GpudlAttrs *reduce, float epsilon,
                            const gchar *mean_name, const gchar *inverse_name, GpudlTensor **centred,
                            GpudlTensor **mean, GpudlTensor **inverse, GError **error)
{
    GpudlTensor *square, *variance, *constant, *sum, *root;

    return (*mean = onnx_emit(node, GPUDL_OP_REDUCE_MEAN, reduce, &x, 1, mean_name, error)) != NULL &&
           (*centred = onnx_binary(node, GPUDL_OP_SUB, x, *mean, NULL, error)) != NULL &&
           (square = onnx_binary(node, GPUDL_OP_MUL, *centred, *centred, NULL, error)) != NULL &&
           (variance = onnx_emit(node, GPUDL_OP_REDUCE_MEAN, reduce, &square, 1, NULL, error)) != NULL &&
           (constant = onnx_constant_scalar(node, x->dtype, (double)epsilon, error)) != NULL &&
           (sum = onnx_binary(node, GPUDL_OP_ADD, variance, constant, NULL, error)) != NULL &&
           (root = onnx_unary(node, GPUDL_OP_SQRT, sum, NULL, error)) != NULL &&
           (*inverse = onnx_unary(node, GPUDL_OP_RECIPROCAL, root, inverse_name, error)) != NULL;
}

gboolean onnx_map_instance_norm(OnnxNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    GpudlAttrs attrs = {.norm = {.epsilon = onnx_attr_float(node, "epsilon", 1e-5f)}};

    if (x->rank < 3)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected at least 3", x->rank);
    attrs.norm.groups = (gint32)CLAMP(x->dims[1], 1, G_MAXINT32);
    return onnx_emit_output(node, GPUDL_OP_GROUP_NORM, &attrs, node->inputs, 3, error);
}

/* Before opset 21 scale and bias have a value for each group. */
gboolean onnx_map_group_norm(OnnxNode *node, GError **error)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    const gint64 groups = onnx_attr_int(node, "num_groups", 0);
    GpudlAttrs attrs = {.norm = {.epsilon = onnx_attr_float(node, "epsilon", 1e-5f)}};
    GpudlTensor *inputs[3] = {node->inputs[0], node->inputs[1], node->inputs[2]};

    if (x->rank < 2)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "an input of rank %d, expected at least 2", x->rank);
    if (groups < 1 || groups > G_MAXINT32 || x->dims[1] % groups != 0)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error,
                         "num_groups is %" G_GINT64_FORMAT ", expected a divisor of %" G_GINT64_FORMAT " channels",
                         groups, (gint64)x->dims[1]);
    attrs.norm.groups = (gint32)groups;
    for (guint i = 1; i < 3 && node->import->opset < 21 && groups < x->dims[1]; i++) {
        const gint64 column[] = {groups, 1}, all[] = {x->dims[1]};
        GpudlAttrs wide = {.shape = {.rank = 2, .dims = {groups, x->dims[1] / groups}}};
        GpudlTensor *t = onnx_reshape(node, inputs[i], column, 2, NULL, error);

        if (t == NULL || (t = onnx_emit(node, GPUDL_OP_EXPAND, &wide, &t, 1, NULL, error)) == NULL ||
            (inputs[i] = onnx_reshape(node, t, all, 1, NULL, error)) == NULL)
            return FALSE;
    }
    return onnx_emit_output(node, GPUDL_OP_GROUP_NORM, &attrs, inputs, 3, error);
}

/* The parameters have the shape of what is normalised over, and mean and deviation are not asked for: one node. */
static gboolean is_plain_layer(const OnnxNode *node, const GpudlTensor *bias, gint32 axis)
{
    const GpudlShape *x = &node->inputs[0]->shape;
    GpudlShape each = {.rank = x->rank - axis};

    for (gint i = axis; i < x->rank; i++)
        each.dims[i - axis] = x->dims[i];
    return axis > 0 && onnx_output_name(node, 1) == NULL && onnx_output_name(node, 2) == NULL &&
           gpudl_shape_equal(&node->inputs[1]->shape, &each) &&
           (bias == NULL || gpudl_shape_equal(&bias->shape, &each));
}

gboolean onnx_map_layer_norm(OnnxNode *node, GError **error)
{
    GpudlTensor *x = node->inputs[0], *bias = onnx_input(node, 2), *centred, *mean, *inverse, *normal;
    GpudlAttrs reduce = {.reduce.keepdims = 1};
    gint32 axis;

    if (!onnx_axis(node, onnx_attr_int(node, "axis", -1), x->shape.rank, &axis, error))
        return FALSE;
    if (is_plain_layer(node, bias, axis)) {
        GpudlTensor *inputs[] = {x, node->inputs[1], bias};
        GpudlAttrs attrs = {
            .norm = {.axis = axis, .n_axes = x->shape.rank - axis, .epsilon = onnx_attr_float(node, "epsilon", 1e-5f)}};

        return onnx_emit_output(node, GPUDL_OP_LAYER_NORM, &attrs, inputs, bias != NULL ? 3 : 2, error);
    }
    for (gint i = axis; i < x->shape.rank; i++)
        reduce.reduce.axes[reduce.reduce.n_axes++] = i;
    if (!standardise(node, x, &reduce, onnx_attr_float(node, "epsilon", 1e-5f), onnx_output_name(node, 1),
                     onnx_output_name(node, 2), &centred, &mean, &inverse, error) ||
        (normal = onnx_binary(node, GPUDL_OP_MUL, centred, inverse, NULL, error)) == NULL)
        return FALSE;
    node->outputs[0] = onnx_binary(node, GPUDL_OP_MUL, normal, node->inputs[1],
                                   bias == NULL ? onnx_output_name(node, 0) : NULL, error);
    if (node->outputs[0] != NULL && bias != NULL)
        node->outputs[0] = onnx_binary(node, GPUDL_OP_ADD, node->outputs[0], bias, onnx_output_name(node, 0), error);
    if (node->n_outputs > 1)
        node->outputs[1] = mean;
    if (node->n_outputs > 2)
        node->outputs[2] = inverse;
    return node->outputs[0] != NULL;
}
