/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Activations ride on the node that makes their input. */
#include "rewrite.h"

static const GpudlOp carriers[] = {GPUDL_OP_CONV, GPUDL_OP_GEMM, GPUDL_OP_ADD, GPUDL_OP_SUB, GPUDL_OP_MUL};

static void fuse(GpudlRewrite *rw, GpudlNode *node)
{
    for (guint i = 0; i < G_N_ELEMENTS(carriers); i++) {
        GpudlNode *carrier = gpudl_rewrite_sole(rw, node->inputs[0], carriers[i]);
        GpudlAct act = node->attrs.unary.act;
        const GpudlAct *has;

        if (carrier == NULL)
            continue;
        has = gpudl_node_act(carrier);
        if (has->kind != GPUDL_ACT_NONE && !gpudl_act_compose(has, &act, &act))
            return;
        gpudl_rewrite_become(rw, node, carrier->op, carrier->name, &carrier->attrs, carrier->inputs, carrier->n_inputs);
        *gpudl_node_act(node) = act;
        return;
    }
}

gboolean gpudl_pass_fuse_act(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_ACTIVATION && node->inputs[0]->dtype == GPUDL_DTYPE_F32)
            fuse(&rw, node);
    }
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
