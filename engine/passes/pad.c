/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Padding before a window operation becomes that operation's own where both mean the same. */
#include <math.h>

#include "rewrite.h"

/* Values of the tensor cannot be negative, so padding a maximum with 0 is padding it with nothing. */
static gboolean is_not_negative(const GpudlTensor *tensor)
{
    const GpudlAct *act = tensor->producer != NULL ? gpudl_node_act(tensor->producer) : NULL;

    if (act == NULL)
        return FALSE;
    return act->kind == GPUDL_ACT_RELU || act->kind == GPUDL_ACT_SIGMOID || act->kind == GPUDL_ACT_HARD_SIGMOID ||
           (act->kind == GPUDL_ACT_CLIP && act->alpha >= 0);
}

static gboolean has_padding(const GpudlWindowAttrs *w)
{
    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
        if (w->pad_begin[i] != 0 || w->pad_end[i] != 0)
            return TRUE;
    return FALSE;
}

/* Does the window operation see the same with the padding as its own? Its own outside it is there already. */
static gboolean means_the_same(const GpudlNode *node, const GpudlNode *pad)
{
    double value = pad->attrs.pad.value;

    switch (node->op) {
    case GPUDL_OP_CONV:
        return value == 0;
    case GPUDL_OP_MAX_POOL: /* its indices count what the padding adds */
        return node->n_outputs == 1 && node->attrs.window.ceil_mode == 0 &&
               (value == -INFINITY || (value == 0 && is_not_negative(pad->inputs[0])));
    default:
        /* the zeros of the PAD are counted in the mean; ceil_mode's last windows count what lies inside alone */
        return value == 0 && node->attrs.window.ceil_mode == 0 &&
               (node->attrs.window.count_include_pad || !has_padding(&node->attrs.window));
    }
}

static void fold(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlNode *pad = gpudl_rewrite_sole(rw, node->inputs[0], GPUDL_OP_PAD);
    GpudlAttrs attrs = node->attrs;
    GpudlWindowAttrs *w = &attrs.window;
    g_autofree GpudlTensor **inputs = NULL;

    if (pad == NULL || pad->attrs.pad.mode != GPUDL_PAD_CONSTANT || pad->inputs[0]->dtype != GPUDL_DTYPE_F32 ||
        !means_the_same(node, pad))
        return;
    for (int i = 0; i < pad->attrs.pad.rank; i++) {
        gint64 begin = pad->attrs.pad.begin[i], end = pad->attrs.pad.end[i];
        int s = GPUDL_MAX_SPATIAL - w->n_spatial + i - 2;
        gint64 window;

        if (i < 2 && (begin != 0 || end != 0))
            return;
        if (i < 2)
            continue;
        window = (gint64)(w->kernel[s] - 1) * w->dilation[s] + 1;
        begin += w->pad_begin[s];
        end += w->pad_end[s];
        /* cropping; and what the shape rules would refuse, or what would leave a window nothing but padding */
        if (pad->attrs.pad.begin[i] < 0 || pad->attrs.pad.end[i] < 0 || begin > 65536 || end > 65536)
            return;
        if (node->op != GPUDL_OP_CONV &&
            (begin >= window || end >= window || (w->kernel[s] > 1 && w->dilation[s] > pad->inputs[0]->shape.dims[i])))
            return;
        w->pad_begin[s] = (gint32)begin;
        w->pad_end[s] = (gint32)end;
    }
    if (node->op == GPUDL_OP_AVERAGE_POOL)
        w->count_include_pad = 1;
    inputs = g_memdup2(node->inputs, node->n_inputs * sizeof(*inputs));
    inputs[0] = pad->inputs[0];
    gpudl_rewrite_become(rw, node, node->op, NULL, &attrs, inputs, node->n_inputs);
}

gboolean gpudl_pass_pad(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (node->op == GPUDL_OP_CONV || node->op == GPUDL_OP_MAX_POOL || node->op == GPUDL_OP_AVERAGE_POOL)
            fold(&rw, node);
    }
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
