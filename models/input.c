/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "models/input.h"

#include <math.h>
#include <string.h>

#define MOST_FIRST_NODES 16
/* a factor for pixels: those of 0..1 are divided by deviations of about 0.2 */
#define LARGEST_FOR_PIXELS 0.02

/* ---- what the first nodes say ------------------------------------------------------------------------------------ */

/* The first value of a float constant. */
static gboolean first_value(const GpudlTensor *tensor, double *value)
{
    float number;

    if (!gpudl_tensor_is_constant(tensor) || tensor->dtype != GPUDL_DTYPE_F32 ||
        g_bytes_get_size(tensor->data) < sizeof number)
        return FALSE;
    memcpy(&number, g_bytes_get_data(tensor->data, NULL), sizeof number);
    *value = (double)number;
    return TRUE;
}

/* What a node multiplies its input by; FALSE: it is no node of a normalisation. */
static gboolean factor_of(const GpudlNode *node, const GpudlTensor *input, double *factor)
{
    double value;

    *factor = 1;
    switch (node->op) {
    case GPUDL_OP_IDENTITY:
    case GPUDL_OP_CAST:
    case GPUDL_OP_TRANSPOSE:
    case GPUDL_OP_RESHAPE:
        return TRUE;
    case GPUDL_OP_MUL:
    case GPUDL_OP_ADD:
        if (!first_value(node->inputs[node->inputs[0] == input ? 1 : 0], &value))
            return FALSE;
        break;
    case GPUDL_OP_DIV:
    case GPUDL_OP_SUB:
        if (node->inputs[0] != input || !first_value(node->inputs[1], &value))
            return FALSE;
        break;
    default:
        return FALSE;
    }
    if (node->op == GPUDL_OP_MUL)
        *factor = value;
    else if (node->op == GPUDL_OP_DIV && value != 0)
        *factor = 1 / value;
    return TRUE;
}

/* 1: the values are multiplied by next to nothing, as pixels of 0..255 are; 255: by a deviation's inverse. */
static gint scale_of(const GpudlGraph *graph)
{
    const GpudlTensor *tensor = graph->inputs->pdata[0];
    double product = 1, factor;
    gboolean normalised = FALSE;
    GpudlNode *node;

    for (guint i = 0; i < MOST_FIRST_NODES; i++) {
        gpudl_graph_uses(graph, tensor, &node);
        if (node == NULL || !factor_of(node, tensor, &factor))
            break;
        normalised = normalised || node->op == GPUDL_OP_MUL || node->op == GPUDL_OP_DIV;
        product *= factor;
        tensor = node->outputs[0];
    }
    if (!normalised || product == 0)
        return 0;
    return fabs(product) <= LARGEST_FOR_PIXELS ? 1 : 255;
}

/* ---- the input --------------------------------------------------------------------------------------------------- */

static gboolean is_channels(gint64 n)
{
    return n == 1 || n == 3 || n == 4;
}

/* Behind the new input. */
typedef struct {
    GpudlGraph *graph;
    GpudlTensor *tensor;
} Chain;

static GpudlNode *add(Chain *chain, GpudlOp op, const gchar *name)
{
    GpudlNode *node = gpudl_graph_add_node(chain->graph, op, name, &chain->tensor, 1, NULL, 1);

    chain->tensor = node->outputs[0];
    return node;
}

/* The fourth channel of a picture without transparency. */
static void add_opaque(Chain *chain, gint64 value)
{
    GpudlPadAttrs *pad = &add(chain, GPUDL_OP_PAD, "opaque")->attrs.pad;

    *pad = (GpudlPadAttrs){.rank = 4, .mode = GPUDL_PAD_CONSTANT, .value = (double)value};
    pad->end[1] = 1;
}

gboolean gpudl_input_adapt(GpudlGraph *graph, gint *pixel_scale, GError **error)
{
    GpudlTensor *old = graph->inputs->len == 1 ? graph->inputs->pdata[0] : NULL;
    const gboolean bytes = old != NULL && old->dtype == GPUDL_DTYPE_U8;
    const gint64 *dims = old != NULL ? old->shape.dims : NULL;
    GpudlShape shape = {.rank = 4};
    gboolean flat, last;
    gint64 channels;
    Chain chain = {.graph = graph};

    *pixel_scale = old == NULL ? 0 : bytes ? 1 : scale_of(graph);
    if (old == NULL || (old->shape.rank != 3 && old->shape.rank != 4))
        return TRUE;
    flat = old->shape.rank == 3;
    last = !flat && !is_channels(dims[1]) && is_channels(dims[3]);
    channels = flat ? 1 : dims[last ? 3 : 1];
    if (!is_channels(channels) || (!flat && !last && channels != 4 && !bytes))
        return TRUE;
    shape.dims[0] = dims[0];
    shape.dims[1] = MIN(channels, 3);
    shape.dims[2] = dims[flat || last ? 1 : 2];
    shape.dims[3] = dims[flat || last ? 2 : 3];
    chain.tensor = gpudl_graph_add_input(graph, old->name, bytes ? GPUDL_DTYPE_F32 : old->dtype, &shape);
    if (channels == 4)
        add_opaque(&chain, *pixel_scale == 1 ? 255 : 1);
    if (last)
        add(&chain, GPUDL_OP_TRANSPOSE, "channels-last")->attrs.transpose =
            (GpudlTransposeAttrs){.rank = 4, .perm = {0, 2, 3, 1}};
    if (flat)
        add(&chain, GPUDL_OP_RESHAPE, "no-channels")->attrs.shape =
            (GpudlShapeAttrs){.rank = 3, .dims = {0, dims[1], dims[2]}};
    if (bytes) {
        add(&chain, GPUDL_OP_ROUND, "round");
        add(&chain, GPUDL_OP_CAST, "bytes")->attrs.cast.to = GPUDL_DTYPE_U8;
    }
    gpudl_graph_replace_uses(graph, old, chain.tensor);
    g_ptr_array_remove(graph->inputs, old);
    return gpudl_graph_sort(graph, error) && gpudl_graph_infer(graph, 0, error);
}
