/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Nodes that nobody reads, and nodes that give back what they got. */
#include "rewrite.h"

/* A reshape that leaves the shape alone at this batch leaves it alone at every one: doubling dimension 0 gives the same
 * doubling, or cannot be (then dimension 0 is not the batch). [N, 1, C] to {1, -1, C} is why this is looked at. */
static gboolean reshape_is_void(const GpudlNode *node)
{
    const GpudlShapeAttrs *attrs = &node->attrs.shape;
    const GpudlShape *x = &node->inputs[0]->shape;

    if (!gpudl_shape_equal(x, &node->outputs[0]->shape))
        return FALSE;
    for (int i = 1; i < attrs->rank; i++)
        if (attrs->dims[i] == -1 && attrs->dims[0] > 0)
            return !node->graph->symbolic_batch;
    return TRUE;
}

static gboolean binary_is_void(const GpudlNode *node)
{
    GpudlTensor *x;
    double value;
    guint x_index;

    if (!gpudl_match_scalar(node, &x, &value, &x_index))
        return FALSE;
    switch (node->op) {
    case GPUDL_OP_ADD:
        return value == 0 && node->attrs.binary.act.kind == GPUDL_ACT_NONE;
    case GPUDL_OP_SUB:
        return value == 0 && x_index == 0 && node->attrs.binary.act.kind == GPUDL_ACT_NONE;
    case GPUDL_OP_MUL:
        return value == 1 && node->attrs.binary.act.kind == GPUDL_ACT_NONE;
    default:
        return value == 1 && x_index == 0;
    }
}

/* Windows of one element, one for each: what an adaptive pool is where the picture has the size already. */
static gboolean pool_is_void(const GpudlNode *node)
{
    const GpudlWindowAttrs *w = &node->attrs.window;

    for (int i = GPUDL_MAX_SPATIAL - w->n_spatial; i < GPUDL_MAX_SPATIAL; i++)
        if (w->kernel[i] != 1 || w->stride[i] != 1 || w->pad_begin[i] != 0 || w->pad_end[i] != 0)
            return FALSE;
    return node->n_outputs == 1;
}

/* The input that the node's output equals, or NULL. */
static GpudlTensor *same_as(const GpudlNode *node)
{
    const GpudlShape *out = &node->outputs[0]->shape;
    GpudlTensor *x = node->n_inputs > 0 ? node->inputs[0] : NULL;
    gboolean equal = x != NULL && gpudl_shape_equal(&x->shape, out);

    switch (node->op) {
    case GPUDL_OP_IDENTITY:
        return x;
    case GPUDL_OP_CONCAT:
        return node->n_inputs == 1 ? x : NULL;
    case GPUDL_OP_SPLIT:
        return node->n_outputs == 1 ? x : NULL;
    case GPUDL_OP_CAST:
        return x->dtype == node->outputs[0]->dtype ? x : NULL;
    case GPUDL_OP_RESHAPE:
        return reshape_is_void(node) ? x : NULL;
    case GPUDL_OP_EXPAND:
        return equal ? x : NULL;
    case GPUDL_OP_TRANSPOSE:
        for (int i = 0; i < out->rank; i++)
            if (node->attrs.transpose.perm[i] != i)
                return NULL;
        return x;
    case GPUDL_OP_SLICE: /* a step of -1 turns round */
        for (int i = 0; i < out->rank; i++)
            if (node->attrs.slice.step[i] != 1)
                return NULL;
        return equal ? x : NULL;
    case GPUDL_OP_RESIZE:
        for (int i = 0; i < out->rank; i++)
            if (node->attrs.resize.scale[i] != 0 && node->attrs.resize.scale[i] != 1)
                return NULL;
        return equal ? x : NULL;
    case GPUDL_OP_PAD:
        for (int i = 0; i < out->rank; i++)
            if (node->attrs.pad.begin[i] != 0 || node->attrs.pad.end[i] != 0)
                return NULL;
        return x;
    case GPUDL_OP_AVERAGE_POOL:
    case GPUDL_OP_MAX_POOL:
        return equal && pool_is_void(node) ? x : NULL;
    case GPUDL_OP_ADD:
    case GPUDL_OP_SUB:
    case GPUDL_OP_MUL:
    case GPUDL_OP_DIV:
    case GPUDL_OP_POW:
        if (!binary_is_void(node))
            return NULL;
        return gpudl_tensor_is_constant(x) ? node->inputs[1] : x;
    default:
        return NULL;
    }
}

typedef struct {
    GpudlTensor **now; /* by tensor id: what is read in its stead, or NULL */
    guint8 *is_output; /* by tensor id: is a graph output */
} Clean;

static void redirect(const Clean *clean, GpudlNode *node)
{
    for (guint k = 0; k < node->n_inputs; k++)
        while (node->inputs[k] != NULL && clean->now[node->inputs[k]->id] != NULL)
            node->inputs[k] = clean->now[node->inputs[k]->id];
}

/* A graph output keeps its tensor, for its name: then the tensor before it must give way, and can if it is a node's and
 * no graph output itself. */
static gboolean take_over(const Clean *clean, GpudlNode *node, GpudlTensor *x)
{
    GpudlTensor *out = node->outputs[0];

    if (x->producer == NULL || clean->is_output[x->id])
        return FALSE;
    x->producer->outputs[x->output_index] = out;
    node->outputs[0] = x;
    out->producer = x->producer;
    out->output_index = x->output_index;
    x->producer = node;
    x->output_index = 0;
    clean->now[x->id] = out;
    return TRUE;
}

gboolean gpudl_pass_clean(GpudlGraph *graph, guint *n_changed, GError **error)
{
    g_autofree GpudlTensor **now = g_new0(GpudlTensor *, graph->tensors->len + 1);
    g_autofree guint8 *is_output = g_new0(guint8, graph->tensors->len + 1);
    Clean clean = {now, is_output};
    guint changed = gpudl_graph_remove_dead(graph);

    for (guint i = 0; i < graph->outputs->len; i++)
        is_output[((GpudlTensor *)graph->outputs->pdata[i])->id] = TRUE;
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];
        GpudlTensor *x;

        redirect(&clean, node);
        x = same_as(node);
        if (x == NULL)
            continue;
        if (!is_output[node->outputs[0]->id])
            now[node->outputs[0]->id] = x;
        else if (!take_over(&clean, node, x))
            continue;
        changed++;
    }
    /* what gave way to an output may have had readers before */
    for (guint i = 0; i < graph->nodes->len; i++)
        redirect(&clean, graph->nodes->pdata[i]);
    gpudl_graph_remove_dead(graph);
    *n_changed += changed;
    return changed == 0 || gpudl_graph_infer(graph, 0, error);
}
