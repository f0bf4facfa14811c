/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Activations that exporters write out in parts, put together again. */
#include <math.h>

#include "rewrite.h"

/* scale * min(max(inner * x + offset, 0), top): what HardSigmoid is made of. */
typedef struct {
    GpudlTensor *x;
    double inner, offset, top;
    double scale;
} Ramp;

/* Parameters written as floats: 0.16666667f. A coarser 0.16667 is not the same function and is left in parts. */
static gboolean nearly(double value, double expected)
{
    return fabs(value - expected) <= 1e-6 * fabs(expected);
}

/* Node before a tensor that nobody else reads, of one of two operators. */
static GpudlNode *sole_of(const GpudlRewrite *rw, const GpudlTensor *tensor, GpudlOp a, GpudlOp b)
{
    GpudlNode *node = gpudl_rewrite_sole(rw, tensor, a);

    return node != NULL ? node : gpudl_rewrite_sole(rw, tensor, b);
}

static gboolean has_act(const GpudlNode *node)
{
    return node->op != GPUDL_OP_DIV && node->attrs.binary.act.kind != GPUDL_ACT_NONE;
}

/* node is x * value or x / value with a scalar. */
static gboolean match_factor(const GpudlNode *node, GpudlTensor **x, double *factor)
{
    double value;
    guint x_index;

    if ((node->op != GPUDL_OP_MUL && node->op != GPUDL_OP_DIV) || has_act(node) ||
        node->inputs[0]->dtype != GPUDL_DTYPE_F32 || !gpudl_match_scalar(node, x, &value, &x_index))
        return FALSE;
    if (node->op == GPUDL_OP_DIV && (x_index != 0 || value == 0))
        return FALSE;
    *factor = node->op == GPUDL_OP_MUL ? value : 1 / value;
    return isfinite(*factor);
}

/* Lines and factors in parts are a few nodes long; a longer chain, walked from each of its nodes, would take for ever.
 */
#define MOST_PARTS 8

/* Walks back over sole scalings: *tensor becomes their input, *factor is multiplied by all of them. */
static void peel_factors(const GpudlRewrite *rw, GpudlTensor **tensor, double *factor)
{
    GpudlNode *node;
    GpudlTensor *x;
    double one;

    for (guint i = 0; i < MOST_PARTS; i++) {
        node = sole_of(rw, *tensor, GPUDL_OP_MUL, GPUDL_OP_DIV);
        if (node == NULL || !match_factor(node, &x, &one))
            return;
        *factor *= one;
        *tensor = x;
    }
}

/* Walks back over sole scalar ADD, SUB, MUL, DIV: tensor = inner * x + offset. */
static void peel_line(const GpudlRewrite *rw, GpudlTensor *tensor, Ramp *ramp)
{
    ramp->x = tensor;
    ramp->inner = 1;
    ramp->offset = 0;
    for (guint i = 0; i < MOST_PARTS; i++) {
        GpudlNode *node = sole_of(rw, ramp->x, GPUDL_OP_ADD, GPUDL_OP_SUB);
        GpudlTensor *x;
        double value;
        guint x_index;

        if (node != NULL && !has_act(node) && gpudl_match_scalar(node, &x, &value, &x_index)) {
            gboolean minus_x = node->op == GPUDL_OP_SUB && x_index == 1;

            ramp->offset += ramp->inner * (node->op == GPUDL_OP_SUB && x_index == 0 ? -value : value);
            ramp->inner = minus_x ? -ramp->inner : ramp->inner;
        } else if ((node = sole_of(rw, ramp->x, GPUDL_OP_MUL, GPUDL_OP_DIV)) != NULL &&
                   match_factor(node, &x, &value)) {
            ramp->inner *= value;
        } else {
            return;
        }
        ramp->x = x;
    }
}

/* The tensor, read by the caller alone, is a ramp. */
static gboolean match_ramp(const GpudlRewrite *rw, GpudlTensor *tensor, Ramp *ramp)
{
    GpudlNode *node;
    const GpudlAct *act;

    ramp->scale = 1;
    peel_factors(rw, &tensor, &ramp->scale);
    node = gpudl_rewrite_sole(rw, tensor, GPUDL_OP_ACTIVATION);
    if (node == NULL)
        return FALSE;
    act = &node->attrs.unary.act;
    if (act->kind == GPUDL_ACT_HARD_SIGMOID) {
        ramp->x = node->inputs[0];
        ramp->inner = act->alpha;
        ramp->offset = act->beta;
        ramp->top = 1;
        return TRUE;
    }
    if (act->kind != GPUDL_ACT_CLIP || act->alpha != 0)
        return FALSE;
    ramp->top = act->beta;
    peel_line(rw, node->inputs[0], ramp);
    return TRUE;
}

static void become_act(GpudlRewrite *rw, GpudlNode *node, GpudlTensor *x, GpudlAct act)
{
    GpudlAttrs attrs = {.unary = {.act = act}};

    gpudl_rewrite_become(rw, node, GPUDL_OP_ACTIVATION, NULL, &attrs, &x, 1);
}

/* node = factor * u * v with u = x, v = sigmoid or ramp of the same x. */
static gboolean match_gate(GpudlRewrite *rw, GpudlNode *node, GpudlNode *product, double factor)
{
    for (guint i = 0; i < 2; i++) {
        GpudlTensor *u = product->inputs[i], *v = product->inputs[1 - i];
        GpudlNode *gate = gpudl_rewrite_sole(rw, v, GPUDL_OP_ACTIVATION);
        double scale = factor;
        Ramp ramp;

        if (gate != NULL && gate->attrs.unary.act.kind == GPUDL_ACT_SIGMOID && gate->inputs[0] == u && factor == 1) {
            become_act(rw, node, u, (GpudlAct){.kind = GPUDL_ACT_SILU});
            return TRUE;
        }
        if (!match_ramp(rw, v, &ramp))
            continue;
        if (u != ramp.x)
            peel_factors(rw, &u, &scale);
        if (u != ramp.x)
            continue;
        scale *= ramp.scale;
        if (nearly(scale * ramp.top, 1) && nearly(scale * ramp.inner, 1. / 6) && nearly(scale * ramp.offset, 0.5)) {
            become_act(rw, node, u, (GpudlAct){.kind = GPUDL_ACT_HARD_SWISH});
            return TRUE;
        }
    }
    return FALSE;
}

/* x * sigmoid(x), and x * clip(x + 3, 0, 6) / 6 with the 6 at any of the places exporters put it. */
static gboolean find_gate(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlTensor *x = node->outputs[0];
    GpudlNode *product = node;
    double factor = 1, one;

    if (node->outputs[0]->dtype != GPUDL_DTYPE_F32)
        return FALSE;
    if (match_factor(node, &x, &one)) {
        factor = one;
        peel_factors(rw, &x, &factor);
        product = gpudl_rewrite_sole(rw, x, GPUDL_OP_MUL);
    }
    if (product == NULL || product->op != GPUDL_OP_MUL || has_act(product) ||
        !gpudl_shape_equal(&product->inputs[0]->shape, &product->inputs[1]->shape))
        return FALSE;
    return match_gate(rw, node, product, factor);
}

/* clip(x + 3, 0, 6) / 6, and clip(x / 6 + 0.5, 0, 1). node is the last scaling, or the clip itself. */
static gboolean find_hard_sigmoid(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlNode *clip = node;
    double factor = 1;
    GpudlTensor *x;
    Ramp ramp;

    if (node->op != GPUDL_OP_ACTIVATION) {
        if (!match_factor(node, &x, &factor))
            return FALSE;
        peel_factors(rw, &x, &factor);
        clip = gpudl_rewrite_sole(rw, x, GPUDL_OP_ACTIVATION);
    }
    if (clip == NULL || clip->attrs.unary.act.kind != GPUDL_ACT_CLIP || clip->attrs.unary.act.alpha != 0 ||
        clip->inputs[0]->dtype != GPUDL_DTYPE_F32 || !nearly(factor * (double)clip->attrs.unary.act.beta, 1))
        return FALSE;
    peel_line(rw, clip->inputs[0], &ramp);
    /* an ordinary clip to 1 has no line before it */
    if (ramp.x == clip->inputs[0])
        return FALSE;
    become_act(rw, node, ramp.x,
               (GpudlAct){GPUDL_ACT_HARD_SIGMOID, (float)(factor * ramp.inner), (float)(factor * ramp.offset)});
    return TRUE;
}

/* MIN, MAX with a scalar are clips; PRELU with one slope is a leaky ReLU. */
static gboolean find_clip(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlAct act = {.kind = GPUDL_ACT_CLIP, .alpha = -INFINITY, .beta = INFINITY};
    GpudlTensor *x;
    double value;
    guint x_index;

    if (node->outputs[0]->dtype != GPUDL_DTYPE_F32 || !gpudl_match_scalar(node, &x, &value, &x_index) || isnan(value))
        return FALSE;
    if (node->op == GPUDL_OP_PRELU) {
        if (x_index != 0 || !isfinite(value))
            return FALSE;
        act = (GpudlAct){.kind = GPUDL_ACT_LEAKY_RELU, .alpha = (float)value};
    } else if (node->op == GPUDL_OP_MIN) {
        act.beta = (float)value;
    } else if (value == 0) {
        act = (GpudlAct){.kind = GPUDL_ACT_RELU};
    } else {
        act.alpha = (float)value;
    }
    become_act(rw, node, x, act);
    return TRUE;
}

static gboolean compose(GpudlRewrite *rw, GpudlNode *node)
{
    GpudlNode *before = gpudl_rewrite_sole(rw, node->inputs[0], GPUDL_OP_ACTIVATION);
    GpudlAct both;

    if (before == NULL || !gpudl_act_compose(&before->attrs.unary.act, &node->attrs.unary.act, &both))
        return FALSE;
    become_act(rw, node, before->inputs[0], both);
    return TRUE;
}

static void rewrite(GpudlRewrite *rw, GpudlNode *node)
{
    switch (node->op) {
    case GPUDL_OP_MIN:
    case GPUDL_OP_MAX:
    case GPUDL_OP_PRELU:
        if (!find_clip(rw, node) || node->op != GPUDL_OP_ACTIVATION)
            return;
        /* what it has become may go with what stands before it */
        G_GNUC_FALLTHROUGH;
    case GPUDL_OP_ACTIVATION:
        compose(rw, node);
        find_hard_sigmoid(rw, node);
        return;
    case GPUDL_OP_MUL:
    case GPUDL_OP_DIV:
        if (node->op == GPUDL_OP_MUL && has_act(node))
            return;
        if (!find_gate(rw, node))
            find_hard_sigmoid(rw, node);
        return;
    default:
        return;
    }
}

gboolean gpudl_pass_activations(GpudlGraph *graph, guint *n_changed, GError **error)
{
    GpudlRewrite rw;

    gpudl_rewrite_begin(&rw, graph);
    for (guint i = 0; i < rw.n_nodes; i++)
        rewrite(&rw, graph->nodes->pdata[i]);
    return gpudl_rewrite_finish(&rw, n_changed, error);
}
