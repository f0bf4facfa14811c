/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "graph.h"

#include <string.h>

#include "engine/gpudl.h"
#include "engine/limits.h"
#include "macs.h"

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
    case GPUDL_OP_LAYER_NORM:
    case GPUDL_OP_GROUP_NORM:
        attrs->norm.axis = attrs->norm.n_axes = attrs->norm.groups = 1;
        attrs->norm.epsilon = 1e-5f;
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
    for (guint i = 0; i < graph->tensors->len; i++) { /* the values are of both now */
        GpudlTensor *tensor = graph->tensors->pdata[i];

        if (tensor->own) /* else not written to: others may copy the graph now */
            tensor->own = FALSE;
    }
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

void gpudl_graph_drop_unread(GpudlGraph *graph)
{
    g_autofree guint8 *read = g_new0(guint8, graph->tensors->len + 1);

    for (guint i = 0; i < graph->nodes->len; i++) {
        const GpudlNode *node = graph->nodes->pdata[i];

        for (guint k = 0; k < node->n_inputs; k++)
            if (node->inputs[k] != NULL)
                read[node->inputs[k]->id] = TRUE;
    }
    for (guint i = 0; i < graph->outputs->len; i++)
        read[((GpudlTensor *)graph->outputs->pdata[i])->id] = TRUE;
    for (guint i = 0; i < graph->tensors->len; i++) {
        GpudlTensor *tensor = graph->tensors->pdata[i];

        if (!read[tensor->id])
            g_clear_pointer(&tensor->data, g_bytes_unref);
    }
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
