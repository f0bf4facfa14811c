/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* A matrix product with constant weights is a fully connected layer; its bias is found by the affine pass. */
#include "rewrite.h"

gboolean gpudl_pass_gemm(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_MATMUL && node->inputs[0]->dtype == GPUDL_DTYPE_F32 &&
            node->inputs[0]->shape.rank == 2 && node->inputs[1]->shape.rank == 2 &&
            gpudl_tensor_is_constant(node->inputs[1]))
            gpudl_rewrite_become(&rw, node, GPUDL_OP_GEMM, NULL, NULL, node->inputs, 2);
    }
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
