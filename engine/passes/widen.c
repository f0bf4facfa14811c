/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Models are computed in the session's precision, whatever they are stored in: half floats become float32. */
#include "engine/ref/ref.h"
#include "rewrite.h"

static gboolean is_half(GpudlDType dtype)
{
    return dtype == GPUDL_DTYPE_F16 || dtype == GPUDL_DTYPE_BF16;
}

static gboolean widen_constant(GpudlTensor *tensor, GError **error)
{
    GpudlAttrs attrs = {.cast = {.to = GPUDL_DTYPE_F32}};
    gint64 n = gpudl_shape_elements(&tensor->shape);
    gsize bytes;
    /* a copy: the bytes may be part of a file and not aligned */
    g_autofree guint8 *half = g_memdup2(g_bytes_get_data(tensor->data, &bytes), g_bytes_get_size(tensor->data));
    float *single = g_new(float, n + 1);
    GpudlTensorView from = {tensor->dtype, tensor->shape, half}, to = {GPUDL_DTYPE_F32, tensor->shape, single};
    const GpudlTensorView *inputs[] = {&from};

    if (!gpudl_ref_eval(GPUDL_OP_CAST, tensor->name, &attrs, inputs, 1, &to, 1, error)) {
        g_free(single);
        return FALSE;
    }
    g_bytes_unref(tensor->data);
    tensor->data = g_bytes_new_take(single, (gsize)n * sizeof(float));
    tensor->dtype = GPUDL_DTYPE_F32;
    return TRUE;
}

gboolean gpudl_pass_widen(GpudlGraph *graph, guint *n_changed, GError **error)
{
    guint changed = 0;

    for (guint i = 0; i < graph->tensors->len; i++) {
        GpudlTensor *tensor = graph->tensors->pdata[i];

        if (!is_half(tensor->dtype))
            continue;
        changed++;
        if (gpudl_tensor_is_constant(tensor)) {
            if (!widen_constant(tensor, error))
                return FALSE;
        } else {
            tensor->dtype = GPUDL_DTYPE_F32;
        }
    }
    for (guint i = 0; i < graph->nodes->len; i++) {
        GpudlNode *node = graph->nodes->pdata[i];

        if (node->op != GPUDL_OP_CAST || !is_half((GpudlDType)node->attrs.cast.to))
            continue;
        node->attrs.cast.to = GPUDL_DTYPE_F32;
        changed++;
    }
    *n_changed += changed;
    return changed == 0 || gpudl_graph_infer(graph, 0, error);
}
