/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * y = x * scale + shift per channel, written as BATCH_NORM or as ADD, SUB, MUL, DIV with a constant: into the weights
 * of the CONV or GEMM before it, else two in a row into one BATCH_NORM. Everything is computed in double and rounded
 * once.
 */
#include <math.h>

#include "rewrite.h"

/* A variance that is negative, or not a number, has no root: the node is left to do what it does. */
static gboolean read_batch_norm(const GpudlNode *node, GpudlAffine *a)
{
    g_autofree double *scale = gpudl_constant_doubles(node->inputs[1]);
    g_autofree double *bias = gpudl_constant_doubles(node->inputs[2]);
    g_autofree double *mean = gpudl_constant_doubles(node->inputs[3]);
    g_autofree double *variance = gpudl_constant_doubles(node->inputs[4]);

    if (scale == NULL || bias == NULL || mean == NULL || variance == NULL)
        return FALSE;
    a->x = node->inputs[0];
    for (gint64 c = 0; c < a->channels; c++) {
        double spread = variance[c] + (double)node->attrs.batch_norm.epsilon;

        if (!(spread > 0))
            return FALSE;
        a->scale[c] = scale[c] / sqrt(spread);
        a->shift[c] = bias[c] - mean[c] * a->scale[c];
    }
    return TRUE;
}

static gboolean read_binary(const GpudlNode *node, GpudlAffine *a)
{
    guint constant = gpudl_tensor_is_constant(node->inputs[1]) ? 1 : 0;
    g_autofree double *values = NULL;

    a->x = node->inputs[1 - constant];
    if (gpudl_tensor_is_constant(a->x) || !gpudl_shape_equal(&a->x->shape, &node->outputs[0]->shape))
        return FALSE;
    values = gpudl_constant_channels(node->inputs[constant], &a->x->shape);
    if (values == NULL || (node->op == GPUDL_OP_DIV && constant == 0))
        return FALSE;
    if (node->op != GPUDL_OP_DIV)
        a->act = node->attrs.binary.act;
    for (gint64 c = 0; c < a->channels; c++) {
        double v = values[c];

        switch (node->op) {
        case GPUDL_OP_ADD:
            a->scale[c] = 1;
            a->shift[c] = v;
            break;
        case GPUDL_OP_SUB:
            a->scale[c] = constant == 1 ? 1 : -1;
            a->shift[c] = constant == 1 ? -v : v;
            break;
        case GPUDL_OP_MUL:
            a->scale[c] = v;
            a->shift[c] = 0;
            break;
        default: /* by zero: infinite, and refused below */
            a->scale[c] = 1 / v;
            a->shift[c] = 0;
            break;
        }
    }
    return TRUE;
}

void gpudl_affine_clear(GpudlAffine *a)
{
    g_free(a->scale);
    g_free(a->shift);
}

gboolean gpudl_affine_read(const GpudlNode *node, GpudlAffine *a)
{
    const GpudlShape *out = &node->outputs[0]->shape;
    gboolean known;

    if (node->op != GPUDL_OP_BATCH_NORM && node->op != GPUDL_OP_ADD && node->op != GPUDL_OP_SUB &&
        node->op != GPUDL_OP_MUL && node->op != GPUDL_OP_DIV)
        return FALSE;
    if (node->outputs[0]->dtype != GPUDL_DTYPE_F32 || out->rank < 2)
        return FALSE;
    a->channels = out->dims[1];
    a->scale = g_new0(double, a->channels + 1);
    a->shift = g_new0(double, a->channels + 1);
    known = node->op == GPUDL_OP_BATCH_NORM ? read_batch_norm(node, a) : read_binary(node, a);
    for (gint64 c = 0; known && c < a->channels; c++)
        known = isfinite(a->scale[c]) && isfinite(a->shift[c]);
    return known;
}

/* The bias of a CONV or GEMM as one double a channel; zeros if there is none; NULL if it is not that simple. */
static double *read_bias(const GpudlNode *node, gint64 channels)
{
    GpudlTensor *bias = node->n_inputs > 2 ? node->inputs[2] : NULL;
    GpudlShape row = {2, {1, channels}};

    if (bias == NULL)
        return g_new0(double, channels + 1);
    return gpudl_constant_channels(bias, &row);
}

static gboolean fold_into_conv(GpudlRewrite *rw, GpudlNode *node, GpudlNode *conv, const GpudlAffine *a)
{
    g_autofree double *bias = read_bias(conv, a->channels);
    g_autofree gchar *bias_name = g_strdup_printf("%s.bias", conv->name);
    GpudlShape bias_shape = {1, {a->channels}};
    GpudlTensor *inputs[3] = {conv->inputs[0]};

    if (bias == NULL || conv->attrs.window.act.kind != GPUDL_ACT_NONE ||
        (conv->n_inputs > 3 && conv->inputs[3] != NULL))
        return FALSE;
    for (gint64 k = 0; k < a->channels; k++)
        bias[k] = bias[k] * a->scale[k] + a->shift[k];
    /* weights that have been scaled are never taken back: nothing fails behind them */
    inputs[1] =
        gpudl_doubles_fit(bias, a->channels)
            ? gpudl_constant_scaled(rw->graph, conv->inputs[1], gpudl_rewrite_uses(rw, conv->inputs[1]) == 1, a->scale)
            : NULL;
    if (inputs[1] == NULL)
        return FALSE;
    inputs[2] = gpudl_constant_from_doubles(rw->graph, bias_name, bias, &bias_shape);
    gpudl_rewrite_become(rw, node, GPUDL_OP_CONV, conv->name, &conv->attrs, inputs, 3);
    node->attrs.window.act = a->act;
    return TRUE;
}

static gboolean fold_into_gemm(GpudlRewrite *rw, GpudlNode *node, GpudlNode *gemm, const GpudlAffine *a)
{
    g_autofree double *weights = gpudl_constant_doubles(gemm->inputs[1]), *bias = read_bias(gemm, a->channels);
    g_autofree gchar *bias_name = g_strdup_printf("%s.bias", gemm->name);
    const GpudlShape *shape = &gemm->inputs[1]->shape;
    const GpudlGemmAttrs *attrs = &gemm->attrs.gemm;
    GpudlShape bias_shape = {1, {a->channels}};
    GpudlTensor *inputs[3] = {gemm->inputs[0]};

    if (weights == NULL || bias == NULL || attrs->act.kind != GPUDL_ACT_NONE)
        return FALSE;
    for (gint64 i = 0; i < shape->dims[0]; i++)
        for (gint64 j = 0; j < shape->dims[1]; j++)
            weights[i * shape->dims[1] + j] *= (double)attrs->alpha * a->scale[attrs->trans_b ? i : j];
    for (gint64 k = 0; k < a->channels; k++)
        bias[k] = (double)attrs->beta * bias[k] * a->scale[k] + a->shift[k];
    inputs[1] = gpudl_constant_from_doubles(rw->graph, gemm->inputs[1]->name, weights, shape);
    inputs[2] = gpudl_constant_from_doubles(rw->graph, bias_name, bias, &bias_shape);
    if (inputs[1] == NULL || inputs[2] == NULL)
        return FALSE;
    gpudl_rewrite_become(rw, node, GPUDL_OP_GEMM, gemm->name, &gemm->attrs, inputs, 3);
    node->attrs.gemm.alpha = node->attrs.gemm.beta = 1;
    node->attrs.gemm.act = a->act;
    return TRUE;
}

gboolean gpudl_affine_become(GpudlRewrite *rw, GpudlNode *node, const gchar *name, GpudlTensor *x, const double *scale,
                             const double *shift, gint64 channels)
{
    GpudlShape shape = {1, {channels}};
    g_autofree double *zeros = g_new0(double, channels + 1), *ones = g_new0(double, channels + 1);
    GpudlTensor *inputs[5] = {x};

    for (gint64 c = 0; c < channels; c++)
        ones[c] = 1;
    inputs[1] = gpudl_constant_from_doubles(rw->graph, "scale", scale, &shape);
    inputs[2] = gpudl_constant_from_doubles(rw->graph, "shift", shift, &shape);
    if (inputs[1] == NULL || inputs[2] == NULL)
        return FALSE;
    inputs[3] = gpudl_constant_from_doubles(rw->graph, "mean", zeros, &shape);
    inputs[4] = gpudl_constant_from_doubles(rw->graph, "variance", ones, &shape);
    gpudl_rewrite_become(rw, node, GPUDL_OP_BATCH_NORM, name, NULL, inputs, 5);
    return TRUE;
}

/* y = (x * first.scale + first.shift) * second.scale + second.shift */
static gboolean collapse(GpudlRewrite *rw, GpudlNode *node, GpudlNode *before, const GpudlAffine *second)
{
    g_auto(GpudlAffine) first = {0};

    if (second->act.kind != GPUDL_ACT_NONE || !gpudl_affine_read(before, &first) || first.act.kind != GPUDL_ACT_NONE ||
        first.channels != second->channels)
        return FALSE;
    for (gint64 c = 0; c < second->channels; c++) {
        first.scale[c] *= second->scale[c];
        first.shift[c] = first.shift[c] * second->scale[c] + second->shift[c];
    }
    return gpudl_affine_become(rw, node, before->name, first.x, first.scale, first.shift, second->channels);
}

static void fold(GpudlRewrite *rw, GpudlNode *node)
{
    g_auto(GpudlAffine) a = {0};
    GpudlNode *before;

    if (!gpudl_affine_read(node, &a) || a.channels == 0)
        return;
    before = a.x->producer;
    if (before == NULL || gpudl_rewrite_sole(rw, a.x, before->op) == NULL)
        return;
    if (before->op == GPUDL_OP_CONV)
        fold_into_conv(rw, node, before, &a);
    else if (before->op == GPUDL_OP_GEMM)
        fold_into_gemm(rw, node, before, &a);
    else
        collapse(rw, node, before, &a);
}

gboolean gpudl_pass_affine(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++)
        fold(&rw, graph->nodes->pdata[i]);
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
