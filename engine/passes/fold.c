/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes whose inputs are all constants are computed once, here. */
#include "engine/limits.h"
#include "engine/ref/ref.h"
#include "rewrite.h"

/* Larger results cost more as constants than they save as work; but weights are wanted as constants: an exporter's 400
 * MB of fully connected layer may well be one number, expanded. */
#define MOST_BYTES (G_GUINT64_CONSTANT(64) << 20)
/* All results of one pass together: a small file must not ask for all memory. */
#define MOST_BYTES_TOGETHER (G_GUINT64_CONSTANT(1) << 30)
/* The reference is no place for long sums; no real model has such constants. */
#define MOST_MACS (G_GUINT64_CONSTANT(1) << 28)

/* Which tensors, by id, are weights of a layer or what weights are made of. */
static guint8 *find_weights(const GpudlGraph *graph)
{
    guint8 *weights = g_new0(guint8, graph->tensors->len + 1);

    for (guint i = graph->nodes->len; i-- > 0;) {
        const GpudlNode *node = graph->nodes->pdata[i];
        gboolean layer = node->op == GPUDL_OP_CONV || node->op == GPUDL_OP_GEMM || node->op == GPUDL_OP_MATMUL;

        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] != NULL && (layer ? k == 1 : weights[node->outputs[0]->id]))
                weights[node->inputs[k]->id] = TRUE;
    }
    return weights;
}

/* Bytes of the constants there are. */
static guint64 constant_bytes(const GpudlGraph *graph)
{
    guint64 bytes = 0;

    for (guint i = 0; i < graph->tensors->len; i++) {
        const GpudlTensor *tensor = graph->tensors->pdata[i];

        if (gpudl_tensor_is_constant(tensor))
            bytes += g_bytes_get_size(tensor->data);
    }
    return bytes;
}

static guint64 output_bytes(const GpudlNode *node, guint k)
{
    const GpudlTensor *tensor = node->outputs[k];

    return (guint64)gpudl_shape_elements(&tensor->shape) * gpudl_dtype_size(tensor->dtype);
}

/* *left: what all results may still take. */
static gboolean can_fold(const GpudlNode *node, const guint8 *weights, guint64 *left)
{
    guint64 bytes = 0;

    if (node->n_inputs == 0)
        return FALSE;
    for (guint k = 0; k < node->n_inputs; k++)
        if (node->inputs[k] != NULL && !gpudl_tensor_is_constant(node->inputs[k]))
            return FALSE;
    for (guint k = 0; k < node->n_outputs; k++)
        bytes += output_bytes(node, k);
    if (gpudl_node_macs(node) > MOST_MACS || (bytes > MOST_BYTES && !weights[node->outputs[0]->id]) || bytes > *left)
        return FALSE;
    *left -= bytes;
    return TRUE;
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

/* Replaces the outputs by constants in map. UNSUPPORTED if the reference has no such kernel. */
static gboolean fold_node(GpudlNode *node, GpudlTensor **map, GError **error)
{
    g_autofree GpudlTensorView *in = g_new0(GpudlTensorView, node->n_inputs);
    g_autofree const GpudlTensorView **views = g_new0(const GpudlTensorView *, node->n_inputs);
    g_autofree void **copies = g_new0(void *, node->n_inputs);
    GpudlTensorView out[GPUDL_MAX_OUTPUTS];
    gboolean ok = TRUE;

    for (guint k = 0; k < node->n_inputs; k++) {
        const GpudlTensor *tensor = node->inputs[k];

        if (tensor == NULL)
            continue;
        in[k] = (GpudlTensorView){tensor->dtype, tensor->shape, aligned(tensor, &copies[k])};
        views[k] = &in[k];
    }
    for (guint k = 0; k < node->n_outputs; k++) {
        /* one byte more: an empty result must not look like no memory */
        out[k] = (GpudlTensorView){node->outputs[k]->dtype, node->outputs[k]->shape,
                                   g_try_malloc0(output_bytes(node, k) + 1)};
        ok &= out[k].data != NULL;
    }
    if (!ok)
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_NO_MEMORY, "no memory for the constant results of node '%s'",
                    node->name);
    ok = ok && gpudl_ref_eval(node->op, node->name, &node->attrs, views, node->n_inputs, out, node->n_outputs, error);
    for (guint k = 0; k < node->n_outputs; k++) {
        GpudlTensor *tensor = node->outputs[k];
        g_autoptr(GBytes) data = g_bytes_new_take(out[k].data, out[k].data != NULL ? output_bytes(node, k) : 0);

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
    guint64 held = constant_bytes(graph);
    /* no more constants than a model file could hold */
    guint64 left = held < GPUDL_LIMIT_FILE_BYTES ? MIN(MOST_BYTES_TOGETHER, GPUDL_LIMIT_FILE_BYTES - held) : 0;
    g_autofree guint8 *weights = find_weights(graph);
    g_autofree GpudlTensor **map = g_new0(GpudlTensor *, n_tensors);

    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];
        g_autoptr(GError) failure = NULL;

        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] != NULL && node->inputs[k]->id < n_tensors && map[node->inputs[k]->id] != NULL)
                node->inputs[k] = map[node->inputs[k]->id];
        if (!can_fold(node, weights, &left))
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
