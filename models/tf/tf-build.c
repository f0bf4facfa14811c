/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "tf-build.h"

#include <string.h>

#include "engine/graph/ops.h"
#include "engine/limits.h"
#include "engine/ref/ref.h"

/* Shape arithmetic and weights in another order: a file that computes more at load time wants to keep us busy. */
#define FOLD_BYTES (G_GUINT64_CONSTANT(256) << 20)

void tf_build_begin(TfBuild *build, gsize file_bytes)
{
    *build = (TfBuild){.graph = gpudl_graph_new(), .fold_left = FOLD_BYTES + 8 * (guint64)file_bytes};
}

void tf_build_at(TfBuild *build, const gchar *node, const gchar *op)
{
    build->node = node;
    build->op = op;
    build->n_made = 0;
}

gboolean tf_fail(const TfBuild *build, GpudlError code, GError **error, const gchar *format, ...)
{
    g_autofree gchar *text = NULL;
    va_list args;

    va_start(args, format);
    text = g_strdup_vprintf(format, args);
    va_end(args);
    g_set_error(error, GPUDL_ERROR, code, "node '%s' (%s): %s", build->node, build->op, text);
    return FALSE;
}

/* The graph's message begins with its own name for the node. */
static gboolean fail_as_file(const TfBuild *build, const GpudlNode *added, GError *cause, GError **error)
{
    g_autofree gchar *prefix = g_strdup_printf("node '%s' (%s): ", added->name, gpudl_op_info(added->op)->name);
    const gchar *text = cause->message;

    if (g_str_has_prefix(text, prefix))
        text += strlen(prefix);
    tf_fail(build, cause->code, error, "%s", text);
    g_error_free(cause);
    return FALSE;
}

/* ---- computing at load time -------------------------------------------------------------------------------------- */

/* These cost more than their output's size. */
static gboolean is_heavy(GpudlOp op)
{
    return op == GPUDL_OP_CONV || op == GPUDL_OP_GEMM || op == GPUDL_OP_MATMUL || op == GPUDL_OP_MAX_POOL ||
           op == GPUDL_OP_AVERAGE_POOL || op == GPUDL_OP_LRN;
}

static guint64 tensor_bytes(const GpudlTensor *tensor)
{
    return (guint64)gpudl_shape_elements(&tensor->shape) * gpudl_dtype_size(tensor->dtype);
}

static gboolean is_foldable(TfBuild *build, const GpudlNode *node)
{
    guint64 bytes = 0;

    if (is_heavy(node->op) || node->n_inputs == 0)
        return FALSE;
    for (guint i = 0; i < node->n_inputs; i++) {
        if (node->inputs[i] != NULL && !gpudl_tensor_is_constant(node->inputs[i]))
            return FALSE;
        bytes += node->inputs[i] != NULL ? tensor_bytes(node->inputs[i]) : 0;
    }
    for (guint i = 0; i < node->n_outputs; i++)
        bytes += tensor_bytes(node->outputs[i]);
    if (bytes > build->fold_left)
        return FALSE;
    build->fold_left -= bytes;
    return TRUE;
}

/* Replaces a node by the constants it computes; left as it is where the reference has no kernel. */
static gboolean fold(TfBuild *build, GpudlNode *node, GpudlTensor **outputs, GError **error)
{
    g_autofree GpudlTensorView *inputs = g_new0(GpudlTensorView, node->n_inputs);
    g_autofree const GpudlTensorView **present = g_new0(const GpudlTensorView *, node->n_inputs);
    GpudlTensorView views[GPUDL_MAX_OUTPUTS];
    GBytes *made[GPUDL_MAX_OUTPUTS];
    gboolean ok;

    for (guint i = 0; i < node->n_inputs; i++) {
        const GpudlTensor *input = node->inputs[i];

        if (input == NULL)
            continue;
        inputs[i] = (GpudlTensorView){input->dtype, input->shape, (gpointer)g_bytes_get_data(input->data, NULL)};
        present[i] = &inputs[i];
    }
    for (guint i = 0; i < node->n_outputs; i++) {
        const gsize bytes = (gsize)tensor_bytes(node->outputs[i]);

        views[i] = (GpudlTensorView){node->outputs[i]->dtype, node->outputs[i]->shape, g_malloc0(MAX(bytes, (gsize)1))};
        made[i] = g_bytes_new_take(views[i].data, bytes);
    }
    ok = gpudl_ref_eval(node->op, node->name, &node->attrs, present, node->n_inputs, views, node->n_outputs, NULL);
    for (guint i = 0; i < node->n_outputs; i++) {
        if (ok) {
            outputs[i] = gpudl_graph_add_constant(build->graph, node->outputs[i]->name, views[i].dtype, &views[i].shape,
                                                  made[i], error);
            ok = outputs[i] != NULL;
        }
        g_bytes_unref(made[i]);
    }
    if (!ok)
        return *error == NULL;
    gpudl_graph_remove_node(build->graph, node);
    return TRUE;
}

/* ---- nodes ------------------------------------------------------------------------------------------------------- */

/* What follows may compute with these dimensions: keep them where sums and products do not overflow. */
static gboolean check_output(const TfBuild *build, const GpudlTensor *tensor, GError **error)
{
    const gint64 n = gpudl_shape_elements(&tensor->shape);
    gboolean fits = n >= 0 && n <= GPUDL_LIMIT_TENSOR_BYTES / (gint64)MAX(gpudl_dtype_size(tensor->dtype), 1);

    for (gint i = 0; i < tensor->shape.rank; i++)
        fits = fits && tensor->shape.dims[i] >= 0 && tensor->shape.dims[i] <= GPUDL_LIMIT_TENSOR_BYTES;
    if (!fits) {
        g_autofree gchar *shape = gpudl_shape_to_string(&tensor->shape);

        return tf_fail(build, GPUDL_ERROR_LIMIT, error,
                       "a result of shape %s is larger than %" G_GINT64_FORMAT " bytes", shape,
                       (gint64)GPUDL_LIMIT_TENSOR_BYTES);
    }
    return TRUE;
}

gboolean tf_emit_many(TfBuild *build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs, guint n_inputs,
                      GpudlTensor **outputs, guint n_outputs, GError **error)
{
    g_autofree gchar *name =
        build->n_made == 0 ? g_strdup(build->node) : g_strdup_printf("%s/%u", build->node, build->n_made);
    GError *local = NULL;
    GpudlNode *added;

    build->n_made++;
    if (build->graph->nodes->len >= GPUDL_LIMIT_NODES || build->graph->tensors->len >= GPUDL_LIMIT_TENSORS)
        return tf_fail(build, GPUDL_ERROR_LIMIT, error, "the graph has more than %u nodes or %u tensors",
                       GPUDL_LIMIT_NODES, GPUDL_LIMIT_TENSORS);
    added = gpudl_graph_add_node(build->graph, op, name, inputs, n_inputs, NULL, n_outputs);
    if (attrs != NULL)
        added->attrs = *attrs;
    if (!gpudl_op_check(added, &local) || !gpudl_op_info(op)->infer(added, &local))
        return fail_as_file(build, added, local, error);
    for (guint i = 0; i < n_outputs; i++) {
        if (!check_output(build, added->outputs[i], error))
            return FALSE;
        outputs[i] = added->outputs[i];
    }
    if (!is_foldable(build, added))
        return TRUE;
    if (fold(build, added, outputs, &local))
        return TRUE;
    return fail_as_file(build, added, local, error);
}

GpudlTensor *tf_emit(TfBuild *build, GpudlOp op, const GpudlAttrs *attrs, GpudlTensor *const *inputs, guint n_inputs,
                     GError **error)
{
    GpudlTensor *output;

    return tf_emit_many(build, op, attrs, inputs, n_inputs, &output, 1, error) ? output : NULL;
}

GpudlTensor *tf_unary(TfBuild *build, GpudlOp op, GpudlTensor *x, GError **error)
{
    return tf_emit(build, op, NULL, &x, 1, error);
}

GpudlTensor *tf_binary(TfBuild *build, GpudlOp op, GpudlTensor *a, GpudlTensor *b, GError **error)
{
    GpudlTensor *inputs[2] = {a, b};

    return tf_emit(build, op, NULL, inputs, 2, error);
}

GpudlTensor *tf_activation(TfBuild *build, GpudlActKind kind, float alpha, float beta, GpudlTensor *x, GError **error)
{
    GpudlAttrs attrs = {.unary.act = {kind, alpha, beta}};

    return tf_emit(build, GPUDL_OP_ACTIVATION, &attrs, &x, 1, error);
}

GpudlTensor *tf_cast(TfBuild *build, GpudlTensor *x, GpudlDType to, GError **error)
{
    GpudlAttrs attrs = {.cast = {.to = (gint32)to, .saturate = 1}};

    return x->dtype == to ? x : tf_emit(build, GPUDL_OP_CAST, &attrs, &x, 1, error);
}

/* ---- constants --------------------------------------------------------------------------------------------------- */

GpudlTensor *tf_constant(TfBuild *build, GpudlDType dtype, const GpudlShape *shape, GBytes *data, GError **error)
{
    g_autofree gchar *name = g_strdup_printf("%s/constant", build->node);
    GError *local = NULL;
    GpudlTensor *tensor = gpudl_graph_add_constant(build->graph, name, dtype, shape, data, &local);

    g_bytes_unref(data);
    if (tensor == NULL) {
        tf_fail(build, local->code, error, "%s", local->message);
        g_error_free(local);
    }
    return tensor;
}

GpudlTensor *tf_scalar(TfBuild *build, GpudlDType dtype, double value, GError **error)
{
    const GpudlShape shape = {.rank = 0};
    GpudlTensor *tensor = tf_constant(build, GPUDL_DTYPE_F64, &shape, g_bytes_new(&value, sizeof value), error);

    return tensor != NULL ? tf_cast(build, tensor, dtype, error) : NULL;
}

GpudlTensor *tf_vector(TfBuild *build, const gint64 *values, gsize n, GError **error)
{
    const GpudlShape shape = {.rank = 1, .dims = {(gint64)n}};
    g_autofree gint32 *narrow = g_new(gint32, n + 1);

    for (gsize i = 0; i < n; i++)
        narrow[i] = (gint32)CLAMP(values[i], G_MININT32, G_MAXINT32);
    return tf_constant(build, GPUDL_DTYPE_I32, &shape, g_bytes_new(narrow, n * sizeof *narrow), error);
}

/* A constant's values in another type. */
static GBytes *values_as(TfBuild *build, GpudlTensor *x, GpudlDType dtype, const gchar *what, GError **error)
{
    if (x->data != NULL && (x = tf_cast(build, x, dtype, error)) == NULL)
        return NULL;
    if (x->data == NULL)
        tf_fail(build, GPUDL_ERROR_UNSUPPORTED, error,
                "its %s depends on the network's input values, but must be known when the model is loaded", what);
    return x->data;
}

gboolean tf_ints(TfBuild *build, GpudlTensor *x, const gchar *what, gint64 **values, gsize *n, GError **error)
{
    GBytes *data;

    *values = NULL;
    *n = 0;
    if (x->shape.rank > 1 || gpudl_shape_elements(&x->shape) > GPUDL_MAX_OUTPUTS)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error,
                       "its %s has rank %d and %" G_GINT64_FORMAT " elements, expected at most %d integers", what,
                       x->shape.rank, (gint64)gpudl_shape_elements(&x->shape), GPUDL_MAX_OUTPUTS);
    data = values_as(build, x, GPUDL_DTYPE_I64, what, error);
    if (data == NULL)
        return FALSE;
    *n = (gsize)gpudl_shape_elements(&x->shape);
    *values = g_new0(gint64, *n + 1);
    memcpy(*values, g_bytes_get_data(data, NULL), *n * sizeof **values);
    return TRUE;
}

gboolean tf_int(TfBuild *build, GpudlTensor *x, const gchar *what, gint64 *value, GError **error)
{
    g_autofree gint64 *values = NULL;
    gsize n;

    if (!tf_ints(build, x, what, &values, &n, error))
        return FALSE;
    if (n != 1)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "its %s has %" G_GSIZE_FORMAT " elements, expected one", what,
                       n);
    *value = values[0];
    return TRUE;
}

gboolean tf_number(TfBuild *build, GpudlTensor *x, const gchar *what, double *value, GError **error)
{
    GBytes *data;

    if (gpudl_shape_elements(&x->shape) != 1)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "its %s has %" G_GINT64_FORMAT " elements, expected one", what,
                       (gint64)gpudl_shape_elements(&x->shape));
    data = values_as(build, x, GPUDL_DTYPE_F64, what, error);
    if (data == NULL)
        return FALSE;
    memcpy(value, g_bytes_get_data(data, NULL), sizeof *value);
    return TRUE;
}

gboolean tf_axis(TfBuild *build, gint64 value, gint rank, gint32 *axis, GError **error)
{
    if (value < -rank || value >= rank)
        return tf_fail(build, GPUDL_ERROR_FORMAT, error, "axis %" G_GINT64_FORMAT " of a tensor of rank %d", value,
                       rank);
    *axis = (gint32)(value < 0 ? value + rank : value);
    return TRUE;
}

void tf_name(GpudlTensor *tensor, const gchar *name)
{
    if (tensor->producer == NULL)
        return;
    g_free(tensor->name);
    tensor->name = g_strdup(name);
}
