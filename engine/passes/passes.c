/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "passes.h"

#include "rewrite.h"

#define MOST_ROUNDS 8

/* Norms come before pools, which would take means over height and width from them. Activations come before affine,
 * which would take the +3 of a hard swish into the weights before it; residuals before fused activations, which would
 * bar the convolution from taking one. */
static const GpudlPassInfo passes[] = {
    {"widen", gpudl_pass_widen, "half floats become float32"},
    {"clean", gpudl_pass_clean, "drops what nobody reads and what changes nothing"},
    {"fold", gpudl_pass_fold, "computes what depends on constants alone"},
    {"move", gpudl_pass_move, "merges transposes and reshapes that follow each other"},
    {"layout", gpudl_pass_layout, "sees channels last as channels first where that saves transposes"},
    {"norms", gpudl_pass_norms, "recognises layer and group norms written in parts"},
    {"compositions", gpudl_pass_compositions, "recognises GELU, Mish, sigmoid and SiLU written in parts"},
    {"activations", gpudl_pass_activations, "recognises activations written in parts"},
    {"gemm", gpudl_pass_gemm, "products with constant matrices become fully connected layers"},
    {"pool", gpudl_pass_pool, "reductions over height and width become global pools"},
    {"affine", gpudl_pass_affine, "folds batch norms, scales and shifts into weights or each other"},
    {"channels", gpudl_pass_channels, "channels scaled one by one become one batch norm"},
    {"pad", gpudl_pass_pad, "padding becomes part of the window operation behind it"},
    {"residual", gpudl_pass_residual, "sums become an input of the convolution before them"},
    {"fuse-act", gpudl_pass_fuse_act, "activations become part of the node before them"},
    {NULL, NULL, NULL},
};

const GpudlPassInfo *gpudl_passes_list(void)
{
    return passes;
}

gboolean gpudl_passes_run(GpudlGraph *graph, GCancellable *cancellable, GError **error)
{
    for (guint round = 0; round < MOST_ROUNDS; round++) {
        guint changed = 0;

        for (const GpudlPassInfo *pass = passes; pass->name != NULL; pass++) {
            if (g_cancellable_is_cancelled(cancellable)) {
                g_set_error(error, GPUDL_ERROR, GPUDL_ERROR_CANCELLED, "cancelled before pass %s", pass->name);
                return FALSE;
            }
            if (!pass->run(graph, &changed, error)) {
                g_prefix_error(error, "pass %s: ", pass->name);
                return FALSE;
            }
        }
        gpudl_graph_drop_unread(graph);
        if (changed == 0)
            break;
    }
    return TRUE;
}
