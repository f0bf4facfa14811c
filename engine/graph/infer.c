/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Order and shapes: what a graph as a whole has to be, by what the operators' rows say of its nodes. */
#include "engine/gpudl.h"
#include "engine/limits.h"
#include "graph.h"
#include "ops.h"
#include "shape.h"

/* ---- order ------------------------------------------------------------------------------------------------------- */

typedef struct {
    GpudlNode *node;
    guint next; /* input to look at */
} SortFrame;

enum { SORT_NEW = 0, SORT_OPEN, SORT_DONE };

static guint sort_state(GHashTable *states, GpudlNode *node, gboolean *known)
{
    gpointer value = NULL;

    *known = g_hash_table_lookup_extended(states, node, NULL, &value);
    return GPOINTER_TO_UINT(value);
}

/* Depth first on a stack of our own: a chain of 65536 nodes would overflow the C stack. */
static gboolean sort_from(GHashTable *states, GArray *stack, GPtrArray *order, GpudlNode *root, GError **error)
{
    SortFrame first = {root, 0};

    g_array_append_val(stack, first);
    g_hash_table_insert(states, root, GUINT_TO_POINTER(SORT_OPEN));
    while (stack->len > 0) {
        SortFrame *frame = &g_array_index(stack, SortFrame, stack->len - 1);
        GpudlNode *node = frame->node, *producer;
        GpudlTensor *input;
        gboolean known;
        guint state;

        if (frame->next == node->n_inputs) {
            g_hash_table_insert(states, node, GUINT_TO_POINTER(SORT_DONE));
            g_ptr_array_add(order, node);
            g_array_set_size(stack, stack->len - 1);
            continue;
        }
        input = node->inputs[frame->next++];
        producer = input != NULL ? input->producer : NULL;
        if (producer == NULL)
            continue;
        state = sort_state(states, producer, &known);
        if (known && state == SORT_OPEN)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "input '%s' depends on the node's own output",
                                   input->name);
        if (known && state == SORT_NEW) {
            SortFrame next = {producer, 0};

            g_hash_table_insert(states, producer, GUINT_TO_POINTER(SORT_OPEN));
            g_array_append_val(stack, next);
        }
    }
    return TRUE;
}

gboolean gpudl_graph_sort(GpudlGraph *graph, GError **error)
{
    g_autoptr(GHashTable) states = g_hash_table_new(NULL, NULL);
    g_autoptr(GArray) stack = g_array_new(FALSE, FALSE, sizeof(SortFrame));
    g_autoptr(GPtrArray) order = g_ptr_array_sized_new(graph->nodes->len);

    for (guint i = 0; i < graph->nodes->len; i++)
        g_hash_table_insert(states, graph->nodes->pdata[i], GUINT_TO_POINTER(SORT_NEW));
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];
        gboolean known;

        if (sort_state(states, node, &known) == SORT_NEW && !sort_from(states, stack, order, node, error))
            return FALSE;
    }
    g_assert(order->len == graph->nodes->len);
    for (guint i = 0; i < order->len; i++)
        graph->nodes->pdata[i] = order->pdata[i];
    return TRUE;
}

/* ---- shapes ------------------------------------------------------------------------------------------------------ */

/* most: bytes of it */
static gboolean check_tensor(const GpudlTensor *tensor, const gchar *what, gint64 most, GError **error)
{
    gint64 elements, bytes;

    if (gpudl_dtype_size(tensor->dtype) == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s '%s': unknown element type %d", what, tensor->name,
                    (int)tensor->dtype);
        return FALSE;
    }
    if (tensor->shape.rank < 0 || tensor->shape.rank > GPUDL_MAX_RANK) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_UNSUPPORTED, "%s '%s': rank %d, expected 0 to %d", what,
                    tensor->name, tensor->shape.rank, GPUDL_MAX_RANK);
        return FALSE;
    }
    for (int i = 0; i < tensor->shape.rank; i++) {
        if (tensor->shape.dims[i] < 0) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "%s '%s': dimension %d is %" G_GINT64_FORMAT, what,
                        tensor->name, i, (gint64)tensor->shape.dims[i]);
            return FALSE;
        }
        /* also of an empty tensor: the shape rules add extents without fear of overflow */
        if (tensor->shape.dims[i] > GPUDL_LIMIT_TENSOR_BYTES) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                        "%s '%s': dimension %d is %" G_GINT64_FORMAT ", at most %" G_GINT64_FORMAT " are taken", what,
                        tensor->name, i, (gint64)tensor->shape.dims[i], (gint64)GPUDL_LIMIT_TENSOR_BYTES);
            return FALSE;
        }
    }
    elements = gpudl_shape_elements(&tensor->shape);
    if (elements < 0 || elements > GPUDL_LIMIT_TENSOR_ELEMENTS ||
        __builtin_mul_overflow(elements, (gint64)gpudl_dtype_size(tensor->dtype), &bytes) || bytes > most) {
        g_autofree gchar *text = gpudl_shape_to_string(&tensor->shape);

        g_set_error(
            error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
            "%s '%s': %s elements of %s are more than %" G_GINT64_FORMAT " bytes or %" G_GINT64_FORMAT " elements",
            what, tensor->name, text, gpudl_dtype_name(tensor->dtype), most, (gint64)GPUDL_LIMIT_TENSOR_ELEMENTS);
        return FALSE;
    }
    return TRUE;
}

static gboolean infer_inputs(GpudlGraph *graph, gint64 batch, guint8 *defined, gint64 most, GError **error)
{
    for (guint i = 0; i < graph->inputs->len; i++) {
        GpudlTensor *input = graph->inputs->pdata[i];

        if (batch > 0 && input->shape.rank >= 1)
            input->shape.dims[0] = batch;
        if (!check_tensor(input, "input", most, error))
            return FALSE;
        for (int k = 0; k < input->shape.rank; k++) {
            if (input->shape.dims[k] < 1) {
                g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                            "input '%s': dimension %d is %" G_GINT64_FORMAT ", expected at least 1", input->name, k,
                            (gint64)input->shape.dims[k]);
                return FALSE;
            }
        }
        defined[input->id] = TRUE;
    }
    return TRUE;
}

static gboolean infer_node(GpudlNode *node, guint8 *defined, guint *n_tensors, gint64 most, GError **error)
{
    if (!gpudl_op_check(node, error))
        return FALSE;
    for (guint k = 0; k < node->n_inputs; k++) {
        GpudlTensor *input = node->inputs[k];

        if (input == NULL || defined[input->id])
            continue;
        if (input->data == NULL)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                                   "input %u, '%s', is not computed by any node before this one", k, input->name);
        if (!check_tensor(input, "constant", GPUDL_LIMIT_TENSOR_BYTES, error))
            return FALSE;
        defined[input->id] = TRUE;
        (*n_tensors)++;
    }
    if (!gpudl_op_info(node->op)->infer(node, error))
        return FALSE;
    for (guint k = 0; k < node->n_outputs; k++) {
        if (!check_tensor(node->outputs[k], "output", most, error)) {
            g_prefix_error(error, "node '%s' (%s): ", node->name, gpudl_op_info(node->op)->name);
            return FALSE;
        }
        defined[node->outputs[k]->id] = TRUE;
        (*n_tensors)++;
    }
    if (*n_tensors > GPUDL_LIMIT_TENSORS) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "the graph has more than %u tensors", GPUDL_LIMIT_TENSORS);
        return FALSE;
    }
    return TRUE;
}

gboolean gpudl_graph_infer(GpudlGraph *graph, gint64 batch, GError **error)
{
    g_autofree guint8 *defined = g_new0(guint8, graph->tensors->len + 1);
    /* a batch that is asked for, not the file's own */
    const gint64 most = GPUDL_LIMIT_TENSOR_BYTES * CLAMP(batch, 1, GPUDL_LIMIT_TENSOR_BATCH);
    guint n_tensors = graph->inputs->len;

    if (batch < 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_INVALID_ARGUMENT,
                    "batch %" G_GINT64_FORMAT ", expected at least 1, or 0 to keep the inputs' own", batch);
        return FALSE;
    }
    if (graph->nodes->len > GPUDL_LIMIT_NODES) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT, "the graph has %u nodes, at most %u are taken",
                    graph->nodes->len, GPUDL_LIMIT_NODES);
        return FALSE;
    }
    if (!infer_inputs(graph, batch, defined, most, error))
        return FALSE;
    for (guint i = 0; i < graph->nodes->len; i++)
        if (!infer_node(graph->nodes->pdata[i], defined, &n_tensors, most, error))
            return FALSE;
    for (guint i = 0; i < graph->outputs->len; i++) {
        GpudlTensor *output = graph->outputs->pdata[i];

        if (defined[output->id])
            continue;
        if (output->data == NULL) {
            g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "graph output '%s' is not computed by any node",
                        output->name);
            return FALSE;
        }
        if (!check_tensor(output, "constant", GPUDL_LIMIT_TENSOR_BYTES, error))
            return FALSE;
    }
    graph->batch = 1;
    if (graph->inputs->len > 0 && ((GpudlTensor *)graph->inputs->pdata[0])->shape.rank >= 1)
        graph->batch = ((GpudlTensor *)graph->inputs->pdata[0])->shape.dims[0];
    return TRUE;
}
