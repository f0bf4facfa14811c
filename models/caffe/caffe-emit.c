/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What mappings are written with. */
#include <string.h>

#include "caffe-internal.h"
#include "engine/graph/ops.h"
#include "engine/limits.h"

gboolean caffe_fail(const CaffeLayer *layer, GpudlError code, GError **error, const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, GPUDL_ERROR, (gint)code, "layer '%s' (%s): %s", layer->name, layer->type_name, text);
    return FALSE;
}

gboolean caffe_fail_net(GpudlError code, GError **error, const gchar *format, ...)
{
    va_list args;

    va_start(args, format);
    if (error != NULL)
        *error = g_error_new_valist(GPUDL_ERROR, (gint)code, format, args);
    va_end(args);
    return FALSE;
}

/* The graph's own message begins with the node, which is the layer. */
static gboolean fail_node(const CaffeLayer *layer, const GpudlNode *node, GError *cause, GError **error)
{
    g_autofree gchar *prefix = g_strdup_printf("node '%s' (%s): ", node->name, gpudl_op_info(node->op)->name);
    const gchar *text = cause->message;

    if (g_str_has_prefix(text, prefix))
        text += strlen(prefix);
    caffe_fail(layer, cause->code, error, "%s", text);
    g_error_free(cause);
    return FALSE;
}

static gboolean infer(CaffeLayer *layer, GpudlNode *node, GError **error)
{
    GError *local = NULL;

    if (layer->import->graph->nodes->len > GPUDL_LIMIT_NODES)
        return caffe_fail(layer, GPUDL_ERROR_LIMIT, error, "the graph has more than %u nodes", GPUDL_LIMIT_NODES);
    if (!gpudl_op_check(node, &local) || !gpudl_op_info(node->op)->infer(node, &local))
        return fail_node(layer, node, local, error);
    for (guint i = 0; i < node->n_outputs; i++) {
        const GpudlTensor *tensor = node->outputs[i];
        const gint64 n = gpudl_shape_elements(&tensor->shape);
        gboolean fits = n >= 0 && n <= GPUDL_LIMIT_TENSOR_BYTES / (gint64)sizeof(float);

        /* mappings compute with dimensions: sums and products of two do not overflow */
        for (gint d = 0; d < tensor->shape.rank; d++)
            fits = fits && tensor->shape.dims[d] >= 0 && tensor->shape.dims[d] <= GPUDL_LIMIT_TENSOR_BYTES;
        if (!fits) {
            g_autofree gchar *shape = gpudl_shape_to_string(&tensor->shape);

            return caffe_fail(layer, GPUDL_ERROR_LIMIT, error,
                              "a result of %s is larger than %" G_GINT64_FORMAT " bytes", shape,
                              (gint64)GPUDL_LIMIT_TENSOR_BYTES);
        }
    }
    return TRUE;
}

GpudlTensor *caffe_emit(CaffeLayer *layer, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs,
                        guint n_inputs, const gchar *name, GError **error)
{
    g_autofree gchar *inner = NULL;
    GpudlNode *node;

    if (name == NULL) {
        inner = g_strdup_printf("%s/%u", layer->name, ++layer->n_made);
        name = inner;
    }
    node =
        gpudl_graph_add_node(layer->import->graph, op, inner != NULL ? inner : layer->name, inputs, n_inputs, &name, 1);
    if (attrs != NULL)
        node->attrs = *attrs;
    return infer(layer, node, error) ? node->outputs[0] : NULL;
}

gboolean caffe_emit_top(CaffeLayer *layer, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs,
                        guint n_inputs, GError **error)
{
    layer->outputs[0] = caffe_emit(layer, op, attrs, inputs, n_inputs, layer->proto->top[0], error);
    return layer->outputs[0] != NULL;
}

GpudlTensor *caffe_unary(CaffeLayer *layer, GpudlOp op, GpudlTensor *x, GError **error)
{
    return caffe_emit(layer, op, NULL, &x, 1, NULL, error);
}

GpudlTensor *caffe_binary(CaffeLayer *layer, GpudlOp op, GpudlTensor *a, GpudlTensor *b, GError **error)
{
    GpudlTensor *inputs[] = {a, b};

    return caffe_emit(layer, op, NULL, inputs, 2, NULL, error);
}

GpudlTensor *caffe_activation(CaffeLayer *layer, GpudlActKind kind, float alpha, float beta, GpudlTensor *x,
                              GError **error)
{
    GpudlAttrs attrs = {.unary.act = {kind, alpha, beta}};

    return caffe_emit(layer, GPUDL_OP_ACTIVATION, &attrs, &x, 1, NULL, error);
}

GpudlTensor *caffe_reshape(CaffeLayer *layer, GpudlTensor *x, const gint64 *dims, gint rank, GError **error)
{
    GpudlAttrs attrs = {.shape.rank = rank};

    memcpy(attrs.shape.dims, dims, (gsize)rank * sizeof *dims);
    return caffe_emit(layer, GPUDL_OP_RESHAPE, &attrs, &x, 1, NULL, error);
}

GpudlTensor *caffe_floats(CaffeLayer *layer, const float *values, const GpudlShape *shape, GError **error)
{
    g_autofree gchar *name = g_strdup_printf("%s/%u", layer->name, ++layer->n_made);
    g_autoptr(GBytes) data = g_bytes_new(values, (gsize)gpudl_shape_elements(shape) * sizeof *values);

    return gpudl_graph_add_constant(layer->import->graph, name, GPUDL_DTYPE_F32, shape, data, error);
}

GpudlTensor *caffe_scalar(CaffeLayer *layer, double value, GError **error)
{
    const GpudlShape shape = {.rank = 0};
    const float single = (float)value;

    return caffe_floats(layer, &single, &shape, error);
}

GpudlTensor *caffe_affine(CaffeLayer *layer, GpudlTensor *x, double scale, double shift, GError **error)
{
    GpudlTensor *by;

    if (scale != 1) {
        by = caffe_scalar(layer, scale, error);
        x = by != NULL ? caffe_binary(layer, GPUDL_OP_MUL, x, by, error) : NULL;
    }
    if (x != NULL && shift != 0) {
        by = caffe_scalar(layer, shift, error);
        x = by != NULL ? caffe_binary(layer, GPUDL_OP_ADD, x, by, error) : NULL;
    }
    return x;
}

gboolean caffe_top(CaffeLayer *layer, GpudlTensor *tensor, GError **error)
{
    if (tensor == NULL)
        return FALSE;
    if (tensor == layer->inputs[0])
        return caffe_emit_top(layer, GPUDL_OP_IDENTITY, NULL, &tensor, 1, error);
    g_free(tensor->name);
    tensor->name = g_strdup(layer->proto->top[0]);
    layer->outputs[0] = tensor;
    return TRUE;
}

gboolean caffe_axis(const CaffeLayer *layer, gint64 value, gint rank, gint32 *axis, GError **error)
{
    if (value < -rank || value >= rank)
        return caffe_fail(layer, GPUDL_ERROR_FORMAT, error, "axis %" G_GINT64_FORMAT " of what has %d dimensions",
                          value, rank);
    *axis = (gint32)(value < 0 ? value + rank : value);
    return TRUE;
}
