/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "engine/gpudl.h"
#include "ref.h"

/** What is known of one tensor during a run. */
typedef struct {
    GBytes *bytes; /* inputs, constants, values that exist now; owned */
    guint uses;    /* readings still to come, graph outputs included */
} Value;

/** One run. Values live from their node to their last reader. */
typedef struct {
    const GpudlGraph *graph;
    Value *values; /* by tensor id */
} Run;

static void run_clear(Run *run)
{
    for (guint i = 0; run->values && i < run->graph->tensors->len; i++)
        g_clear_pointer(&run->values[i].bytes, g_bytes_unref);
    g_clear_pointer(&run->values, g_free);
}

G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(Run, run_clear)

static GpudlTensorView view_of(const Run *run, const GpudlTensor *tensor)
{
    return (GpudlTensorView){tensor->dtype, tensor->shape,
                             (gpointer)g_bytes_get_data(run->values[tensor->id].bytes, NULL)};
}

/** Bytes of a tensor in its inferred shape; FALSE with error if that is no number. */
static gboolean tensor_bytes(const GpudlTensor *tensor, gsize *bytes, GError **error)
{
    gint64 n = gpudl_shape_elements(&tensor->shape);
    gsize size = gpudl_dtype_size(tensor->dtype);

    if (n < 0 || size == 0 || !g_size_checked_mul(bytes, (gsize)n, size)) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "tensor \"%s\" (%s) has no usable type or shape",
                    tensor->name, gpudl_dtype_name(tensor->dtype));
        return FALSE;
    }
    return TRUE;
}

static gboolean take_inputs(Run *run, GBytes *const *inputs, GError **error)
{
    for (guint i = 0; i < run->graph->inputs->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(run->graph->inputs, i);
        gsize expected;

        if (!tensor_bytes(tensor, &expected, error))
            return FALSE;
        if (g_bytes_get_size(inputs[i]) != expected) {
            g_autofree gchar *shape = gpudl_shape_to_string(&tensor->shape);

            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                        "input \"%s\" (%s %s): %" G_GSIZE_FORMAT " bytes given, expected %" G_GSIZE_FORMAT,
                        tensor->name, gpudl_dtype_name(tensor->dtype), shape, g_bytes_get_size(inputs[i]), expected);
            return FALSE;
        }
        run->values[tensor->id].bytes = g_bytes_ref(inputs[i]);
    }
    for (guint i = 0; i < run->graph->tensors->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(run->graph->tensors, i);

        if (tensor->data)
            run->values[i].bytes = g_bytes_ref(tensor->data);
    }
    return TRUE;
}

static void count_uses(Run *run)
{
    for (guint i = 0; i < run->graph->nodes->len; i++) {
        const GpudlNode *node = g_ptr_array_index(run->graph->nodes, i);

        for (guint j = 0; j < node->n_inputs; j++)
            if (node->inputs[j])
                run->values[node->inputs[j]->id].uses++;
    }
    for (guint i = 0; i < run->graph->outputs->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(run->graph->outputs, i);

        run->values[tensor->id].uses++;
    }
}

static void drop_use(Run *run, const GpudlTensor *tensor)
{
    Value *value = &run->values[tensor->id];

    if (--value->uses == 0)
        g_clear_pointer(&value->bytes, g_bytes_unref);
}

static gboolean make_output(Run *run, const GpudlTensor *tensor, GpudlTensorView *view, GError **error)
{
    gpointer data;
    gsize bytes;

    if (!tensor_bytes(tensor, &bytes, error))
        return FALSE;
    data = g_try_malloc(MAX(bytes, 1));
    if (data == NULL) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY,
                    "no memory for tensor \"%s\" (%" G_GSIZE_FORMAT " bytes)", tensor->name, bytes);
        return FALSE;
    }
    g_clear_pointer(&run->values[tensor->id].bytes, g_bytes_unref);
    run->values[tensor->id].bytes = g_bytes_new_take(data, bytes);
    *view = (GpudlTensorView){tensor->dtype, tensor->shape, data};
    return TRUE;
}

static gboolean run_node(Run *run, const GpudlNode *node, GError **error)
{
    g_autofree GpudlTensorView *views = g_new0(GpudlTensorView, node->n_inputs + node->n_outputs);
    g_autofree const GpudlTensorView **inputs = g_new0(const GpudlTensorView *, node->n_inputs + 1);
    GpudlTensorView *outputs = views + node->n_inputs;

    for (guint i = 0; i < node->n_inputs; i++) {
        const GpudlTensor *tensor = node->inputs[i];

        if (tensor == NULL)
            continue;
        if (run->values[tensor->id].bytes == NULL) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                        "node \"%s\": its input \"%s\" has no value yet: the nodes are not sorted", node->name,
                        tensor->name);
            return FALSE;
        }
        views[i] = view_of(run, tensor);
        inputs[i] = &views[i];
    }
    for (guint i = 0; i < node->n_outputs; i++)
        if (!make_output(run, node->outputs[i], &outputs[i], error))
            return FALSE;
    if (!gpudl_ref_eval(node->op, node->name, &node->attrs, inputs, node->n_inputs, outputs, node->n_outputs, error))
        return FALSE;

    for (guint i = 0; i < node->n_inputs; i++)
        if (node->inputs[i])
            drop_use(run, node->inputs[i]);
    for (guint i = 0; i < node->n_outputs; i++)
        if (run->values[node->outputs[i]->id].uses == 0)
            g_clear_pointer(&run->values[node->outputs[i]->id].bytes, g_bytes_unref);
    return TRUE;
}

GPtrArray *gpudl_ref_run(const GpudlGraph *graph, GBytes *const *inputs, GCancellable *cancellable, GError **error)
{
    g_auto(Run) run = {graph, g_new0(Value, graph->tensors->len + 1)};
    g_autoptr(GPtrArray) outputs = g_ptr_array_new_with_free_func((GDestroyNotify)g_bytes_unref);

    if (!take_inputs(&run, inputs, error))
        return NULL;
    count_uses(&run);
    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = g_ptr_array_index(graph->nodes, i);

        if (g_cancellable_is_cancelled(cancellable)) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "cancelled before node \"%s\"", node->name);
            return NULL;
        }
        if (!run_node(&run, node, error))
            return NULL;
    }
    for (guint i = 0; i < graph->outputs->len; i++) {
        const GpudlTensor *tensor = g_ptr_array_index(graph->outputs, i);

        if (run.values[tensor->id].bytes == NULL) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "output \"%s\" is written by no node", tensor->name);
            return NULL;
        }
        g_ptr_array_add(outputs, g_bytes_ref(run.values[tensor->id].bytes));
    }
    return g_steal_pointer(&outputs);
}
