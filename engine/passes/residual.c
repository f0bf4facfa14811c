/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The sum behind a convolution becomes its fourth input. */
#include "rewrite.h"

/* A convolution whose result goes nowhere but here and that can take a residual. Its activation would come behind the
 * sum, so one that has an activation cannot. */
static GpudlNode *free_conv(const GpudlRewrite *rw, const GpudlTensor *tensor)
{
    GpudlNode *conv = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_CONV);

    if (conv == NULL || conv->attrs.window.act.kind != GPUDL_ACT_NONE ||
        (conv->n_inputs > 3 && conv->inputs[3] != NULL))
        return NULL;
    return conv;
}

/* varies: by tensor id, depends on the graph's input: a constant of batch 1 would not fit another batch. */
static void fuse(GpudlRewrite *rw, GpudlNode *add, const guint8 *varies)
{
    for (guint i = 2; i-- > 0;) {
        GpudlTensor *sum = add->inputs[i], *other = add->inputs[1 - i];
        GpudlNode *conv = free_conv(rw, sum);
        GpudlTensor *inputs[4] = {NULL, NULL, NULL, other};
        GpudlAct act = add->attrs.binary.act;

        if (conv == NULL || !varies[other->id] || !gpudl_shape_equal(&sum->shape, &other->shape))
            continue;
        for (guint k = 0; k < conv->n_inputs && k < 3; k++)
            inputs[k] = conv->inputs[k];
        gpudl_rewrite_become(rw, add, GPUDL_OP_CONV, conv->name, &conv->attrs, inputs, 4);
        add->attrs.window.act = act;
        return;
    }
}

gboolean gpudl_pass_residual(GpudlGraph *graph, guint *n_changed, GError **error)
{
    g_autofree guint8 *varies = g_new0(guint8, graph->tensors->len + 1);
    GpudlRewrite rw;

    for (guint i = 0; i < graph->inputs->len; i++)
        varies[((GpudlTensor *)graph->inputs->pdata[i])->id] = TRUE;
    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++) {
        GpudlNode *node = graph->nodes->pdata[i];
        gboolean depends = FALSE;

        for (guint k = 0; k < node->n_inputs; k++)
            depends |= node->inputs[k] != NULL && varies[node->inputs[k]->id];
        for (guint k = 0; k < node->n_outputs; k++)
            varies[node->outputs[k]->id] = depends;
        if (node->op == GPUDL_OP_ADD && node->inputs[0]->dtype == GPUDL_DTYPE_F32)
            fuse(&rw, node, varies);
    }
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
