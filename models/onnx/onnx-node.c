/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What mapping functions are written with: attributes and inputs of one ONNX node in, graph nodes out. */
#include <math.h>
#include <string.h>

#include "engine/graph/ops.h"
#include "engine/limits.h"
#include "onnx-internal.h"

gboolean onnx_fail(const OnnxNode *node, GpudlError code, GError **error, const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    return onnx_file_fail(code, error, "node '%s' (%s, opset %" G_GINT64_FORMAT "): %s", node->name, node->row->name,
                          node->import->opset, text);
}

/* ---- attributes -------------------------------------------------------------------------------------------------- */

const Onnx__AttributeProto *onnx_attr(const OnnxNode *node, const gchar *name)
{
    for (gsize i = 0; i < node->proto->n_attribute; i++)
        if (g_strcmp0(node->proto->attribute[i]->name, name) == 0)
            return node->proto->attribute[i];
    return NULL;
}

gint64 onnx_attr_int(const OnnxNode *node, const gchar *name, gint64 fallback)
{
    const Onnx__AttributeProto *attr = onnx_attr(node, name);

    return attr != NULL ? attr->i : fallback;
}

float onnx_attr_float(const OnnxNode *node, const gchar *name, float fallback)
{
    const Onnx__AttributeProto *attr = onnx_attr(node, name);

    return attr != NULL ? attr->f : fallback;
}

gchar *onnx_attr_string(const OnnxNode *node, const gchar *name)
{
    const Onnx__AttributeProto *attr = onnx_attr(node, name);

    return attr != NULL ? g_utf8_make_valid((const gchar *)attr->s.data, (gssize)attr->s.len) : NULL;
}

const gint64 *onnx_attr_ints(const OnnxNode *node, const gchar *name, gsize *n)
{
    static const gint64 none[1];
    const Onnx__AttributeProto *attr = onnx_attr(node, name);

    *n = attr != NULL ? attr->n_ints : 0;
    if (attr == NULL)
        return NULL;
    return attr->ints != NULL ? attr->ints : none;
}

/* ---- inputs ------------------------------------------------------------------------------------------------------ */

gboolean onnx_output_used(const OnnxNode *node, guint i)
{
    return i < node->n_outputs && g_hash_table_contains(node->import->used_names, node->proto->output[i]);
}

gboolean onnx_axis(const OnnxNode *node, gint64 value, gint rank, gint32 *axis, GError **error)
{
    if (value < -rank || value >= rank)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "axis %" G_GINT64_FORMAT " of a tensor of rank %d", value,
                         rank);
    *axis = (gint32)(value < 0 ? value + rank : value);
    return TRUE;
}

gboolean onnx_input_ints(OnnxNode *node, guint i, gint64 **values, gsize *n, GError **error)
{
    GpudlTensor *tensor = onnx_input(node, i);
    GError *local = NULL;
    GBytes *data;
    gsize count;

    if (tensor->dtype != GPUDL_DTYPE_I64 && tensor->dtype != GPUDL_DTYPE_I32)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input %u ('%s') is %s, expected int64 or int32", i,
                         tensor->name, gpudl_dtype_name(tensor->dtype));
    if (tensor->shape.rank > 1)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "input %u ('%s') has rank %d, expected a vector", i,
                         tensor->name, tensor->shape.rank);
    data = onnx_fold(node->import, tensor, &local);
    if (data == NULL && local == NULL)
        return onnx_fail(node, GPUDL_ERROR_UNSUPPORTED, error,
                         "input %u ('%s') depends on the network's input values, but must be known when the model is "
                         "loaded",
                         i, tensor->name);
    if (data == NULL) {
        onnx_fail(node, local->code, error, "input %u ('%s'): %s", i, tensor->name, local->message);
        g_error_free(local);
        return FALSE;
    }
    count = (gsize)gpudl_shape_elements(&tensor->shape);
    *values = g_new(gint64, count + 1);
    for (gsize k = 0; k < count; k++) {
        const guint8 *bytes = g_bytes_get_data(data, NULL);

        if (tensor->dtype == GPUDL_DTYPE_I64) {
            memcpy(&(*values)[k], bytes + 8 * k, 8);
        } else {
            gint32 value;

            memcpy(&value, bytes + 4 * k, 4);
            (*values)[k] = value;
        }
    }
    *n = count;
    return TRUE;
}

gboolean onnx_ints(OnnxNode *node, const gchar *name, guint i, gint64 **values, gsize *n, GError **error)
{
    const gint64 *attr = onnx_attr_ints(node, name, n);

    *values = NULL;
    if (attr == NULL && onnx_input(node, i) != NULL)
        return onnx_input_ints(node, i, values, n, error);
    if (attr != NULL) {
        *values = g_new(gint64, *n + 1);
        memcpy(*values, attr, *n * sizeof(gint64));
    }
    return TRUE;
}

gboolean onnx_scalar(OnnxNode *node, GpudlTensor *tensor, gboolean *known, double *value, GError **error)
{
    GError *local = NULL;
    GBytes *data;

    if (gpudl_shape_elements(&tensor->shape) != 1)
        return onnx_fail(node, GPUDL_ERROR_FORMAT, error, "'%s' has %" G_GINT64_FORMAT " elements, expected one",
                         tensor->name, (gint64)gpudl_shape_elements(&tensor->shape));
    data = onnx_fold(node->import, tensor, &local);
    if (local != NULL) {
        onnx_fail(node, local->code, error, "'%s': %s", tensor->name, local->message);
        g_error_free(local);
        return FALSE;
    }
    *known = data != NULL;
    *value = data != NULL ? onnx_number(tensor->dtype, g_bytes_get_data(data, NULL), 0) : NAN;
    return TRUE;
}

/* ---- output ------------------------------------------------------------------------------------------------------ */

const gchar *onnx_output_name(const OnnxNode *node, guint i)
{
    return i < node->n_outputs && node->proto->output[i][0] != '\0' ? node->proto->output[i] : NULL;
}

/* The graph's message begins with its own name for the node, which for a node of several may not be ONNX's. */
static gboolean fail_as_onnx(const OnnxNode *node, const GpudlNode *added, GError *cause, GError **error)
{
    g_autofree gchar *prefix = g_strdup_printf("node '%s' (%s): ", added->name, gpudl_op_info(added->op)->name);
    const gchar *text = cause->message;

    if (g_str_has_prefix(text, prefix))
        text += strlen(prefix);
    onnx_fail(node, cause->code, error, "%s", text);
    g_error_free(cause);
    return FALSE;
}

/* A mapping that follows may compute with these dimensions: keep them where sums and products do not overflow. */
static gboolean check_output(const OnnxNode *node, const GpudlTensor *tensor, GError **error)
{
    const gint64 n = gpudl_shape_elements(&tensor->shape);
    gboolean fits = n >= 0 && n <= GPUDL_LIMIT_TENSOR_BYTES / (gint64)MAX(gpudl_dtype_size(tensor->dtype), 1);

    for (gint i = 0; i < tensor->shape.rank; i++)
        fits = fits && tensor->shape.dims[i] >= 0 && tensor->shape.dims[i] <= GPUDL_LIMIT_TENSOR_BYTES;
    if (!fits) {
        g_autofree gchar *shape = gpudl_shape_to_string(&tensor->shape);

        return onnx_fail(node, GPUDL_ERROR_LIMIT, error,
                         "output '%s' of shape %s is larger than %" G_GINT64_FORMAT " bytes", tensor->name, shape,
                         (gint64)GPUDL_LIMIT_TENSOR_BYTES);
    }
    return TRUE;
}

gboolean onnx_infer(OnnxNode *node, GpudlNode *added, GError **error)
{
    gboolean computable = TRUE;
    GError *local = NULL;

    if (node->import->graph->nodes->len > GPUDL_LIMIT_NODES)
        return onnx_fail(node, GPUDL_ERROR_LIMIT, error, "the graph has more than %u nodes", GPUDL_LIMIT_NODES);
    if (!gpudl_op_check(added, &local) || !gpudl_op_info(added->op)->infer(added, &local))
        return fail_as_onnx(node, added, local, error);
    for (guint i = 0; i < added->n_inputs; i++)
        computable = computable && (added->inputs[i] == NULL || onnx_is_computable(node->import, added->inputs[i]));
    for (guint i = 0; i < added->n_outputs; i++) {
        if (!check_output(node, added->outputs[i], error))
            return FALSE;
        if (computable)
            g_hash_table_add(node->import->computable, added->outputs[i]);
    }
    return TRUE;
}

GpudlTensor *onnx_emit(OnnxNode *node, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs, guint n_inputs,
                       const gchar *output, GError **error)
{
    g_autofree gchar *inner = NULL;
    GpudlNode *added;

    if (output == NULL) {
        inner = g_strdup_printf("%s/%u", node->name, ++node->n_made);
        output = inner;
    }
    added =
        gpudl_graph_add_node(node->import->graph, op, inner != NULL ? inner : node->name, inputs, n_inputs, &output, 1);
    if (attrs != NULL)
        added->attrs = *attrs;
    return onnx_infer(node, added, error) ? added->outputs[0] : NULL;
}

gboolean onnx_emit_output(OnnxNode *node, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs,
                          guint n_inputs, GError **error)
{
    node->outputs[0] = onnx_emit(node, op, attrs, inputs, n_inputs, onnx_output_name(node, 0), error);
    return node->outputs[0] != NULL;
}

GpudlTensor *onnx_unary(OnnxNode *node, GpudlOp op, GpudlTensor *x, const gchar *output, GError **error)
{
    return onnx_emit(node, op, NULL, &x, 1, output, error);
}

GpudlTensor *onnx_binary(OnnxNode *node, GpudlOp op, GpudlTensor *a, GpudlTensor *b, const gchar *output,
                         GError **error)
{
    GpudlTensor *inputs[2] = {a, b};

    return onnx_emit(node, op, NULL, inputs, 2, output, error);
}

GpudlTensor *onnx_activation(OnnxNode *node, GpudlActKind kind, float alpha, float beta, GpudlTensor *x,
                             const gchar *output, GError **error)
{
    GpudlAttrs attrs = {.unary.act = {kind, alpha, beta}};

    return onnx_emit(node, GPUDL_OP_ACTIVATION, &attrs, &x, 1, output, error);
}

GpudlTensor *onnx_constant(OnnxNode *node, const gchar *name, GpudlDType dtype, const GpudlShape *shape, GBytes *data,
                           GError **error)
{
    g_autofree gchar *inner = NULL;
    GpudlTensor *tensor;
    GError *local = NULL;

    if (name == NULL)
        name = inner = g_strdup_printf("%s/%u", node->name, ++node->n_made);
    tensor = gpudl_graph_add_constant(node->import->graph, name, dtype, shape, data, &local);
    g_bytes_unref(data);
    if (tensor == NULL) {
        onnx_fail(node, local->code, error, "%s", local->message);
        g_error_free(local);
    }
    return tensor;
}

GpudlTensor *onnx_constant_ints(OnnxNode *node, const gchar *name, const gint64 *values, gsize n, gboolean scalar,
                                GError **error)
{
    const GpudlShape shape = {.rank = scalar ? 0 : 1, .dims = {(gint64)n}};

    return onnx_constant(node, name, GPUDL_DTYPE_I64, &shape, g_bytes_new(values, n * sizeof(gint64)), error);
}

GpudlTensor *onnx_constant_scalar(OnnxNode *node, GpudlDType dtype, double value, GError **error)
{
    const GpudlShape shape = {.rank = 0};
    guint64 bits = 0;

    onnx_store_number(dtype, &bits, 0, value);
    return onnx_constant(node, NULL, dtype, &shape, g_bytes_new(&bits, gpudl_dtype_size(dtype)), error);
}

GpudlTensor *onnx_reshape(OnnxNode *node, GpudlTensor *x, const gint64 *dims, gint rank, const gchar *output,
                          GError **error)
{
    GpudlAttrs attrs = {.shape.rank = rank};

    memcpy(attrs.shape.dims, dims, (gsize)rank * sizeof(gint64));
    return onnx_emit(node, GPUDL_OP_RESHAPE, &attrs, &x, 1, output, error);
}
