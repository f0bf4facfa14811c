/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes whose inputs are all constants are computed once, here. */
#include "engine/ref/ref.h"
#include "rewrite.h"

/* Larger results cost more as weights than they save as work. */
#define MOST_BYTES (G_GUINT64_CONSTANT(64) << 20)
/* The reference is no place for long sums; no real model has such constants. */
#define MOST_MACS (G_GUINT64_CONSTANT(1) << 28)

static gboolean can_fold(const GpudlNode *node)
{
    guint64 bytes = 0;

    if (node->n_inputs == 0)
        return FALSE;
    for (guint k = 0; k < node->n_inputs; k++)
        if (node->inputs[k] != NULL && !gpudl_tensor_is_constant(node->inputs[k]))
            return FALSE;
    for (guint k = 0; k < node->n_outputs; k++)
        bytes += (guint64)gpudl_shape_elements(&node->outputs[k]->shape) * gpudl_dtype_size(node->outputs[k]->dtype);
    return bytes <= MOST_BYTES && gpudl_node_macs(node) <= MOST_MACS;
}

/* Values with the alignment of their type; *copy is set if they had to be moved. */
static void *aligned(const GpudlTensor *tensor, void **copy)
{
    gsize bytes, size = gpudl_dtype_size(tensor->dtype);
    const void *data = g_bytes_get_data(tensor->data, &bytes);

    *copy = NULL;
    if ((guintptr)data % size != 0)
        *copy = g_memdup2(data, bytes);
    return *copy != NULL ? *copy : (void *)data;
}

/* Replaces the outputs by constants in map. FALSE if the reference has no such kernel. */
static gboolean fold_node(GpudlNode *node, GpudlTensor **map, GError **error)
{
    g_autofree GpudlTensorView *in = g_new0(GpudlTensorView, node->n_inputs);
    g_autofree const GpudlTensorView **views = g_new0(const GpudlTensorView *, node->n_inputs);
    g_autofree void **copies = g_new0(void *, node->n_inputs);
    GpudlTensorView out[GPUDL_MAX_OUTPUTS];
    gboolean ok;

    for (guint k = 0; k < node->n_inputs; k++) {
        const GpudlTensor *tensor = node->inputs[k];

        if (tensor == NULL)
            continue;
        in[k] = (GpudlTensorView){tensor->dtype, tensor->shape, aligned(tensor, &copies[k])};
        views[k] = &in[k];
    }
    for (guint k = 0; k < node->n_outputs; k++) {
        const GpudlTensor *tensor = node->outputs[k];

        out[k] = (GpudlTensorView){
            tensor->dtype, tensor->shape,
            g_malloc0((gsize)gpudl_shape_elements(&tensor->shape) * gpudl_dtype_size(tensor->dtype) + 1)};
    }
    ok = gpudl_ref_eval(node->op, node->name, &node->attrs, views, node->n_inputs, out, node->n_outputs, error);
    for (guint k = 0; k < node->n_outputs; k++) {
        GpudlTensor *tensor = node->outputs[k];
        g_autoptr(GBytes) data = g_bytes_new_take(out[k].data, (gsize)gpudl_shape_elements(&tensor->shape) *
                                                                   gpudl_dtype_size(tensor->dtype));

        if (ok)
            map[tensor->id] =
                gpudl_graph_add_constant(node->graph, tensor->name, tensor->dtype, &tensor->shape, data, NULL);
    }
    for (guint k = 0; k < node->n_inputs; k++)
        g_free(copies[k]);
    return ok;
}

gboolean gpudl_pass_fold(GpudlGraph *graph, guint *n_changed, GError **error)
{
    guint n_tensors = graph->tensors->len, changed = 0;
    g_autofree GpudlTensor **map = g_new0(GpudlTensor *, n_tensors);

    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];
        g_autoptr(GError) failure = NULL;

        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] != NULL && node->inputs[k]->id < n_tensors && map[node->inputs[k]->id] != NULL)
                node->inputs[k] = map[node->inputs[k]->id];
        if (!can_fold(node))
            continue;
        if (fold_node(node, map, &failure)) {
            changed++;
        } else if (!g_error_matches(failure, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED)) {
            /* a gather out of range, say: it is the model that is wrong */
            g_propagate_error(error, g_steal_pointer(&failure));
            return FALSE;
        }
    }
    for (guint i = 0; i < graph->outputs->len; i++) {
        GpudlTensor *output = graph->outputs->pdata[i];

        if (output->id < n_tensors && map[output->id] != NULL)
            graph->outputs->pdata[i] = map[output->id];
    }
    gpudl_graph_remove_dead(graph);
    *n_changed += changed;
    return changed == 0 || gpudl_graph_infer(graph, 0, error);
}
