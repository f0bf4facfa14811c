/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "macs.h"
#include "ops.h"
#include "shape.h"

/* ---- making and freeing ------------------------------------------------------------------------------------------ */

static void tensor_free(GpudlTensor *tensor)
{
    g_free(tensor->name);
    g_clear_pointer(&tensor->data, g_bytes_unref);
    g_free(tensor);
}

static void node_free(GpudlNode *node)
{
    g_free(node->name);
    g_free(node->inputs);
    g_free(node->outputs);
    g_free(node);
}

GpudlGraph *gpudl_graph_new(void)
{
    GpudlGraph *graph = g_new0(GpudlGraph, 1);

    graph->tensors = g_ptr_array_new_with_free_func((GDestroyNotify)tensor_free);
    graph->nodes = g_ptr_array_new_with_free_func((GDestroyNotify)node_free);
    graph->removed = g_ptr_array_new_with_free_func((GDestroyNotify)node_free);
    graph->inputs = g_ptr_array_new();
    graph->outputs = g_ptr_array_new();
    return graph;
}

void gpudl_graph_free(GpudlGraph *graph)
{
    if (graph == NULL)
        return;
    g_ptr_array_unref(graph->nodes);
    g_ptr_array_unref(graph->removed);
    g_ptr_array_unref(graph->inputs);
    g_ptr_array_unref(graph->outputs);
    g_ptr_array_unref(graph->tensors);
    g_free(graph->batch_reason);
    g_free(graph);
}

static GpudlTensor *add_tensor(GpudlGraph *graph, gchar *name, GpudlDType dtype, const GpudlShape *shape)
{
    GpudlTensor *tensor = g_new0(GpudlTensor, 1);

    tensor->graph = graph;
    tensor->id = graph->tensors->len;
    tensor->name = name;
    tensor->dtype = dtype;
    if (shape != NULL)
        tensor->shape = *shape;
    g_ptr_array_add(graph->tensors, tensor);
    return tensor;
}

GpudlTensor *gpudl_graph_add_input(GpudlGraph *graph, const gchar *name, GpudlDType dtype, const GpudlShape *shape)
{
    GpudlTensor *tensor = add_tensor(graph, g_strdup(name != NULL ? name : ""), dtype, shape);

    g_ptr_array_add(graph->inputs, tensor);
    return tensor;
}

GpudlTensor *gpudl_graph_add_constant(GpudlGraph *graph, const gchar *name, GpudlDType dtype, const GpudlShape *shape,
                                      GBytes *data, GError **error)
{
    GpudlTensor *tensor;
    gint64 bytes;

    if (name == NULL)
        name = "";
    if (gpudl_dtype_size(dtype) == 0) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "constant '%s': unknown element type %d", name, (int)dtype);
        return NULL;
    }
    if (shape->rank < 0 || shape->rank > GPUDL_MAX_RANK) {
        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT, "constant '%s': rank %d, expected 0 to %d", name,
                    shape->rank, GPUDL_MAX_RANK);
        return NULL;
    }
    bytes = gpudl_shape_elements(shape);
    if (bytes < 0 || __builtin_mul_overflow(bytes, (gint64)gpudl_dtype_size(dtype), &bytes) ||
        (guint64)bytes != g_bytes_get_size(data)) {
        g_autofree gchar *text = gpudl_shape_to_string(shape);

        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_FORMAT,
                    "constant '%s': %" G_GSIZE_FORMAT " bytes do not fit %s elements of %s", name,
                    g_bytes_get_size(data), text, gpudl_dtype_name(dtype));
        return NULL;
    }
    tensor = add_tensor(graph, g_strdup(name), dtype, shape);
    tensor->data = g_bytes_ref(data);
    return tensor;
}

GpudlTensor *gpudl_graph_add_constant_f32(GpudlGraph *graph, const gchar *name, const float *values, const gint64 *dims,
                                          gint rank)
{
    GpudlShape shape = {.rank = rank};
    GpudlTensor *tensor;
    gint64 n;

    g_assert(rank >= 0 && rank <= GPUDL_MAX_RANK);
    for (gint i = 0; i < rank; i++)
        shape.dims[i] = dims[i];
    n = gpudl_shape_elements(&shape);
    g_assert(n >= 0 && n <= GPUDL_LIMIT_TENSOR_BYTES / (gint64)sizeof(float));
    tensor = add_tensor(graph, g_strdup(name != NULL ? name : ""), GPUDL_DTYPE_F32, &shape);
    tensor->data = g_bytes_new(values, (gsize)n * sizeof(float));
    return tensor;
}

void gpudl_attrs_init(GpudlAttrs *attrs, GpudlOp op)
{
    memset(attrs, 0, sizeof(*attrs));
    switch (op) {
    case GPUDL_OP_CONV:
    case GPUDL_OP_MAX_POOL:
    case GPUDL_OP_AVERAGE_POOL:
        for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
            attrs->window.kernel[i] = attrs->window.stride[i] = attrs->window.dilation[i] = 1;
        attrs->window.group = 1;
        break;
    case GPUDL_OP_GEMM:
        attrs->gemm.alpha = attrs->gemm.beta = 1.f;
        break;
    case GPUDL_OP_CAST:
        attrs->cast.saturate = 1;
        break;
    default:
        break;
    }
}

GpudlNode *gpudl_graph_add_node(GpudlGraph *graph, GpudlOp op, const gchar *name, GpudlTensor *const *inputs,
                                guint n_inputs, const gchar *const *output_names, guint n_outputs)
{
    GpudlNode *node = g_new0(GpudlNode, 1);

    node->graph = graph;
    node->op = op;
    node->name = g_strdup(name != NULL ? name : "");
    gpudl_attrs_init(&node->attrs, op);
    node->n_inputs = n_inputs;
    node->inputs = g_new0(GpudlTensor *, n_inputs);
    for (guint i = 0; i < n_inputs; i++)
        node->inputs[i] = inputs[i];
    node->n_outputs = n_outputs;
    node->outputs = g_new0(GpudlTensor *, n_outputs);
    for (guint i = 0; i < n_outputs; i++) {
        const gchar *given = output_names != NULL ? output_names[i] : NULL;
        gchar *output_name = given != NULL ? g_strdup(given) : g_strdup_printf("%s:%u", node->name, i);

        node->outputs[i] = add_tensor(graph, output_name, GPUDL_DTYPE_NONE, NULL);
        node->outputs[i]->producer = node;
        node->outputs[i]->output_index = i;
    }
    g_ptr_array_add(graph->nodes, node);
    return node;
}

void gpudl_graph_add_output(GpudlGraph *graph, GpudlTensor *tensor)
{
    g_ptr_array_add(graph->outputs, tensor);
}

/* ---- copying ----------------------------------------------------------------------------------------------------- */

/* The copy of a tensor, made at its first mention. map: by id of the original. */
static GpudlTensor *copy_tensor(GpudlGraph *copy, GpudlTensor **map, const GpudlTensor *tensor)
{
    if (tensor == NULL)
        return NULL;
    if (map[tensor->id] == NULL) {
        GpudlTensor *made = add_tensor(copy, g_strdup(tensor->name), tensor->dtype, &tensor->shape);

        if (tensor->data != NULL)
            made->data = g_bytes_ref(tensor->data);
        map[tensor->id] = made;
    }
    return map[tensor->id];
}

static void copy_node(GpudlGraph *copy, GpudlTensor **map, const GpudlNode *node)
{
    GpudlNode *made = g_new0(GpudlNode, 1);

    made->graph = copy;
    made->op = node->op;
    made->name = g_strdup(node->name);
    made->attrs = node->attrs;
    made->n_inputs = node->n_inputs;
    made->n_outputs = node->n_outputs;
    made->inputs = g_new0(GpudlTensor *, node->n_inputs);
    made->outputs = g_new0(GpudlTensor *, node->n_outputs);
    for (guint i = 0; i < node->n_inputs; i++)
        made->inputs[i] = copy_tensor(copy, map, node->inputs[i]);
    for (guint i = 0; i < node->n_outputs; i++) {
        made->outputs[i] = copy_tensor(copy, map, node->outputs[i]);
        made->outputs[i]->producer = made;
        made->outputs[i]->output_index = i;
    }
    g_ptr_array_add(copy->nodes, made);
}

GpudlGraph *gpudl_graph_copy(const GpudlGraph *graph)
{
    GpudlGraph *copy = gpudl_graph_new();
    g_autofree GpudlTensor **map = g_new0(GpudlTensor *, graph->tensors->len);

    for (guint i = 0; i < graph->inputs->len; i++)
        g_ptr_array_add(copy->inputs, copy_tensor(copy, map, graph->inputs->pdata[i]));
    for (guint i = 0; i < graph->nodes->len; i++)
        copy_node(copy, map, graph->nodes->pdata[i]);
    for (guint i = 0; i < graph->outputs->len; i++)
        g_ptr_array_add(copy->outputs, copy_tensor(copy, map, graph->outputs->pdata[i]));
    copy->batch = graph->batch;
    copy->symbolic_batch = graph->symbolic_batch;
    copy->batch_reason = g_strdup(graph->batch_reason);
    return copy;
}

/* ---- rewriting --------------------------------------------------------------------------------------------------- */

void gpudl_graph_replace_uses(GpudlGraph *graph, GpudlTensor *old, GpudlTensor *neu)
{
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] == old)
                node->inputs[k] = neu;
    }
    for (guint i = 0; i < graph->outputs->len; i++)
        if (graph->outputs->pdata[i] == old)
            graph->outputs->pdata[i] = neu;
}

guint gpudl_graph_uses(const GpudlGraph *graph, const GpudlTensor *tensor, GpudlNode **node)
{
    GpudlNode *reader = NULL;
    guint n = 0;

    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *candidate = graph->nodes->pdata[i];

        for (guint k = 0; k < candidate->n_inputs; k++) {
            if (candidate->inputs[k] == tensor) {
                reader = candidate;
                n++;
            }
        }
    }
    for (guint i = 0; i < graph->outputs->len; i++) {
        if (graph->outputs->pdata[i] == tensor) {
            reader = NULL;
            n++;
        }
    }
    if (node != NULL)
        *node = n == 1 ? reader : NULL;
    return n;
}

void gpudl_graph_remove_node(GpudlGraph *graph, GpudlNode *node)
{
    guint index;

    if (!g_ptr_array_find(graph->nodes, node, &index))
        return;
    g_ptr_array_add(graph->removed, g_ptr_array_steal_index(graph->nodes, index));
}

guint gpudl_graph_remove_dead(GpudlGraph *graph)
{
    g_autofree guint *uses = g_new0(guint, graph->tensors->len);
    g_autoptr(GPtrArray) doubtful = g_ptr_array_new();
    g_autoptr(GHashTable) dead = g_hash_table_new(NULL, NULL);
    guint kept = 0;

    for (guint i = 0; i < graph->outputs->len; i++)
        uses[((GpudlTensor *)graph->outputs->pdata[i])->id]++;
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] != NULL)
                uses[node->inputs[k]->id]++;
        g_ptr_array_add(doubtful, node);
    }
    while (doubtful->len > 0) {
        GpudlNode *node = g_ptr_array_steal_index_fast(doubtful, doubtful->len - 1);
        gboolean used = FALSE;

        for (guint k = 0; k < node->n_outputs; k++)
            used |= uses[node->outputs[k]->id] > 0;
        if (used || !g_hash_table_add(dead, node))
            continue;
        for (guint k = 0; k < node->n_inputs; k++) {
            GpudlTensor *input = node->inputs[k];

            if (input != NULL && --uses[input->id] == 0 && input->producer != NULL)
                g_ptr_array_add(doubtful, input->producer);
        }
    }
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (g_hash_table_contains(dead, node))
            g_ptr_array_add(graph->removed, node);
        else
            graph->nodes->pdata[kept++] = node;
    }
    /* g_ptr_array_set_size() would free the nodes that moved to removed */
    for (guint i = kept; i < graph->nodes->len; i++)
        graph->nodes->pdata[i] = NULL;
    while (graph->nodes->len > kept)
        g_ptr_array_steal_index_fast(graph->nodes, graph->nodes->len - 1);
    return g_hash_table_size(dead);
}

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

static gboolean check_tensor(const GpudlTensor *tensor, const gchar *what, GError **error)
{
    gint64 bytes;

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
    bytes = gpudl_shape_elements(&tensor->shape);
    if (bytes < 0 || __builtin_mul_overflow(bytes, (gint64)gpudl_dtype_size(tensor->dtype), &bytes) ||
        bytes > GPUDL_LIMIT_TENSOR_BYTES) {
        g_autofree gchar *text = gpudl_shape_to_string(&tensor->shape);

        g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_LIMIT,
                    "%s '%s': %s elements of %s are more than %" G_GINT64_FORMAT " bytes", what, tensor->name, text,
                    gpudl_dtype_name(tensor->dtype), (gint64)GPUDL_LIMIT_TENSOR_BYTES);
        return FALSE;
    }
    return TRUE;
}

static gboolean infer_inputs(GpudlGraph *graph, gint64 batch, guint8 *defined, GError **error)
{
    for (guint i = 0; i < graph->inputs->len; i++) {
        GpudlTensor *input = graph->inputs->pdata[i];

        if (batch > 0 && input->shape.rank >= 1)
            input->shape.dims[0] = batch;
        if (!check_tensor(input, "input", error))
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

static gboolean infer_node(GpudlNode *node, guint8 *defined, guint *n_tensors, GError **error)
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
        if (!check_tensor(input, "constant", error))
            return FALSE;
        defined[input->id] = TRUE;
        (*n_tensors)++;
    }
    if (!gpudl_op_info(node->op)->infer(node, error))
        return FALSE;
    for (guint k = 0; k < node->n_outputs; k++) {
        if (!check_tensor(node->outputs[k], "output", error)) {
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
    if (!infer_inputs(graph, batch, defined, error))
        return FALSE;
    for (guint i = 0; i < graph->nodes->len; i++)
        if (!infer_node(graph->nodes->pdata[i], defined, &n_tensors, error))
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
        if (!check_tensor(output, "constant", error))
            return FALSE;
    }
    graph->batch = 1;
    if (graph->inputs->len > 0 && ((GpudlTensor *)graph->inputs->pdata[0])->shape.rank >= 1)
        graph->batch = ((GpudlTensor *)graph->inputs->pdata[0])->shape.dims[0];
    return TRUE;
}

/* ---- sums -------------------------------------------------------------------------------------------------------- */

guint64 gpudl_node_macs(const GpudlNode *node)
{
    if (node->n_inputs < 2 || !node->inputs[0] || !node->inputs[1])
        return 0;
    return gpudl_macs((int)node->op, &node->attrs, &node->inputs[0]->shape, &node->inputs[1]->shape,
                      &node->outputs[0]->shape);
}

guint64 gpudl_graph_macs(const GpudlGraph *graph)
{
    guint64 sum = 0;

    for (guint i = 0; i < graph->nodes->len; i++)
        if (__builtin_add_overflow(sum, gpudl_node_macs(graph->nodes->pdata[i]), &sum))
            return G_MAXUINT64;
    return sum;
}

guint64 gpudl_graph_parameters(const GpudlGraph *graph)
{
    g_autofree guint8 *seen = g_new0(guint8, graph->tensors->len + 1);
    guint64 sum = 0;

    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = graph->nodes->pdata[i];

        for (guint k = 0; k < node->n_inputs; k++) {
            const GpudlTensor *input = node->inputs[k];

            if (!gpudl_tensor_is_constant(input) || seen[input->id])
                continue;
            seen[input->id] = TRUE;
            sum += (guint64)gpudl_shape_elements(&input->shape);
        }
    }
    return sum;
}

gchar *gpudl_shape_to_string(const GpudlShape *shape)
{
    GString *text;

    if (shape->rank == 0)
        return g_strdup("scalar");
    text = g_string_new(NULL);
    for (int i = 0; i < shape->rank && i < GPUDL_MAX_RANK; i++)
        g_string_append_printf(text, "%s%" G_GINT64_FORMAT, i > 0 ? "x" : "", (gint64)shape->dims[i]);
    return g_string_free(text, FALSE);
}
