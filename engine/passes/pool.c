/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Means and maxima over all of height and width are global pools, however they are written. */
#include "rewrite.h"

/* Reduces exactly the axes from 2 on of an N, C, spatial... tensor. */
static gboolean reduces_space(const GpudlNode *node)
{
    const GpudlShape *x = &node->inputs[0]->shape;

    if (node->inputs[0]->dtype != GPUDL_DTYPE_F32 || x->rank < 3 || x->rank > 2 + GPUDL_MAX_SPATIAL ||
        node->attrs.reduce.n_axes != x->rank - 2)
        return FALSE;
    /* the shape rule has seen that no axis is named twice */
    for (int i = 0; i < node->attrs.reduce.n_axes; i++)
        if (node->attrs.reduce.axes[i] < 2)
            return FALSE;
    return TRUE;
}

static void reduce_to_pool(GpudlRewrite *rw, GpudlNode *node, GpudlOp pool)
{
    GpudlAttrs reshape = {.shape = {.rank = 2}}; /* both dimensions copied */
    GpudlNode *added;

    if (node->attrs.reduce.keepdims) {
        gpudl_rewrite_become(rw, node, pool, NULL, NULL, node->inputs, 1);
        return;
    }
    added = gpudl_rewrite_add(rw, pool, node->name, node->inputs, 1);
    gpudl_rewrite_become(rw, node, GPUDL_OP_RESHAPE, NULL, &reshape, added->outputs, 1);
}

/* One window, as large as the input, of which the value alone is asked. */
static gboolean sees_all(const GpudlNode *node)
{
    const GpudlWindowAttrs *w = &node->attrs.window;
    const GpudlShape *x = &node->inputs[0]->shape;

    /* the global pools give no indices and take no integers */
    if (node->n_outputs > 1 || node->inputs[0]->dtype != GPUDL_DTYPE_F32)
        return FALSE;
    for (int i = 2; i < x->rank; i++) {
        int s = GPUDL_MAX_SPATIAL - w->n_spatial + i - 2;

        if (w->kernel[s] != x->dims[i] || w->pad_begin[s] != 0 || w->pad_end[s] != 0 ||
            (w->dilation[s] != 1 && w->kernel[s] > 1))
            return FALSE;
    }
    return TRUE;
}

gboolean gpudl_pass_pool(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_REDUCE_MEAN && reduces_space(node))
            reduce_to_pool(&rw, node, GPUDL_OP_GLOBAL_AVERAGE_POOL);
        else if (node->op == GPUDL_OP_REDUCE_MAX && reduces_space(node))
            reduce_to_pool(&rw, node, GPUDL_OP_GLOBAL_MAX_POOL);
        else if (node->op == GPUDL_OP_AVERAGE_POOL && sees_all(node))
            gpudl_rewrite_become(&rw, node, GPUDL_OP_GLOBAL_AVERAGE_POOL, NULL, NULL, node->inputs, 1);
        else if (node->op == GPUDL_OP_MAX_POOL && sees_all(node))
            gpudl_rewrite_become(&rw, node, GPUDL_OP_GLOBAL_MAX_POOL, NULL, NULL, node->inputs, 1);
    }
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
