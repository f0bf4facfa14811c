/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Data that is moved twice is moved once. */
#include <string.h>

#include "rewrite.h"

static gboolean merge_transposes(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlNode *before = gpudl_rewrite_sole(rw, node->inputs[0], GPUDL_OP_TRANSPOSE);
    GpudlAttrs attrs = node->attrs;
    GpudlTensor *x;

    if (before == NULL)
        return FALSE;
    x = before->inputs[0];
    for (int i = 0; i < attrs.transpose.rank; i++)
        attrs.transpose.perm[i] = before->attrs.transpose.perm[node->attrs.transpose.perm[i]];
    gpudl_rewrite_become(rw, node, GPUDL_OP_TRANSPOSE, NULL, &attrs, &x, 1);
    return TRUE;
}

/* The second reshape in terms of the first one's input: what it copies is what the first says there. Holds for every
 * batch, since only words are put for words. */
static gboolean merge_reshapes(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlNode *before = gpudl_rewrite_sole(rw, node->inputs[0], GPUDL_OP_RESHAPE);
    GpudlAttrs attrs = node->attrs;
    GpudlTensor *x;
    guint n_rest = 0;

    if (before == NULL)
        return FALSE;
    x = before->inputs[0];
    for (int i = 0; i < attrs.shape.rank; i++) {
        if (attrs.shape.dims[i] == 0)
            attrs.shape.dims[i] = before->attrs.shape.dims[i];
        n_rest += attrs.shape.dims[i] == -1;
    }
    /* an empty tensor's -1 cannot be told */
    if (n_rest > 1 || (n_rest == 1 && gpudl_shape_elements(&x->shape) == 0))
        return FALSE;
    gpudl_rewrite_become(rw, node, GPUDL_OP_RESHAPE, NULL, &attrs, &x, 1);
    return TRUE;
}

gboolean gpudl_pass_move(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_TRANSPOSE)
            merge_transposes(&rw, node);
        else if (node->op == GPUDL_OP_RESHAPE)
            merge_reshapes(&rw, node);
    }
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
