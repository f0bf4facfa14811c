/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "squeeze.h"

#include <stdlib.h>

#include "engine/graph/attrs.h"

static int is_f32(const GpudlPlan *plan, int32_t tensor)
{
    return plan->tensors[tensor].dtype == GPUDL_DTYPE_F32;
}

static int is_constant(const GpudlPlan *plan, int32_t tensor)
{
    return plan->tensors[tensor].kind == GPUDL_PLAN_CONSTANT && is_f32(plan, tensor);
}

/* The node behind another that alone reads a tensor, -1: there are more, or the host does. */
static int32_t only_reader(const GpudlPlan *plan, int32_t behind, int32_t tensor)
{
    if (plan->tensors[tensor].n_uses != 1)
        return -1;
    for (int32_t i = behind + 1; i < (int32_t)plan->n_nodes; i++)
        for (uint32_t k = 0; k < plan->nodes[i].n_inputs; k++)
            if (plan->nodes[i].inputs[k] == tensor)
                return i;
    return -1;
}

/* A value per frame and channel, whatever ones stand around. */
static int is_vector(const GpudlPlan *plan, int32_t tensor, int64_t n, int64_t channels)
{
    const GpudlShape *shape = &plan->tensors[tensor].shape;

    return is_f32(plan, tensor) && shape->rank >= 2 && shape->dims[0] == n && shape->dims[1] == channels &&
           gpudl_shape_elements(shape) == n * channels;
}

/* A bias has an element for each result, or one for all. */
static int is_bias(const GpudlPlan *plan, int32_t tensor, int64_t results)
{
    const GpudlShape *shape = &plan->tensors[tensor].shape;
    const int64_t elements = is_constant(plan, tensor) ? gpudl_shape_elements(shape) : 0;

    return elements == 1 || (elements == results && shape->dims[shape->rank - 1] == results);
}

/* Whether a convolution of one pixel to one reads it: padding in front may be all that it reads. */
static int reads_pixel(const GpudlWindowAttrs *window)
{
    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
        if (window->pad_begin[i] != 0)
            return 0;
    return 1;
}

/* What the node computes of a vector of that many operands; *results: how many it makes. */
static int product_of(const GpudlPlan *plan, const GpudlPlanNode *node, int64_t n, int64_t operands,
                      GpudlSqueezeProduct *product, int64_t *results)
{
    const GpudlAttrs *attrs = node->attrs;
    const int32_t bias = node->n_inputs > 2 ? node->inputs[2] : -1;
    const int conv = node->op == GPUDL_OP_CONV;
    const GpudlShape *w;

    if ((!conv && node->op != GPUDL_OP_GEMM) || node->n_outputs != 1 || !is_constant(plan, node->inputs[1]))
        return 0;
    w = &plan->tensors[node->inputs[1]].shape;
    if (conv && (attrs->window.group != 1 || !reads_pixel(&attrs->window) ||
                 gpudl_shape_elements(w) != w->dims[0] * w->dims[1] || (node->n_inputs > 3 && node->inputs[3] >= 0)))
        return 0;
    if (!conv && (attrs->gemm.trans_a || w->rank != 2))
        return 0;
    *product = conv ? (GpudlSqueezeProduct){node->inputs[1], bias, 1, 1.f, 1.f, attrs->window.act}
                    : (GpudlSqueezeProduct){node->inputs[1],  bias,           attrs->gemm.trans_b, attrs->gemm.alpha,
                                            attrs->gemm.beta, attrs->gemm.act};
    if (product->beta == 0.f)
        product->bias = -1;
    *results = w->dims[product->by_rows ? 0 : 1];
    return w->dims[product->by_rows ? 1 : 0] == operands && is_vector(plan, node->outputs[0], n, *results) &&
           (product->bias < 0 || is_bias(plan, product->bias, *results));
}

/* Whether the node scales what the mean was taken of by the vector. */
static int is_scaling(const GpudlPlan *plan, const GpudlPlanNode *node, int32_t vector, int32_t x)
{
    const GpudlShape *shape = &plan->tensors[vector].shape;

    return node->inputs[node->inputs[0] == vector] == x && shape->rank == 4 &&
           shape->dims[1] == plan->tensors[x].shape.dims[1] &&
           ((const GpudlAttrs *)node->attrs)->binary.act.kind == GPUDL_ACT_NONE;
}

/* Follows the vector that a mean gives until it meets the product with what that was taken of. */
static int follow(const GpudlPlan *plan, int32_t mean, GpudlSqueezeFound *found)
{
    const int64_t *x = plan->tensors[found->x].shape.dims;
    int64_t now = x[1];
    int32_t tensor = plan->nodes[mean].outputs[0], at = mean;
    int n_products = 0;

    while (found->n_nodes < (int)(sizeof found->nodes / sizeof *found->nodes)) {
        const GpudlPlanNode *node;
        const GpudlAttrs *attrs;
        GpudlAct *act = n_products > 0 ? &found->products[n_products - 1].act : NULL;

        at = is_vector(plan, tensor, x[0], now) ? only_reader(plan, at, tensor) : -1;
        node = at >= 0 ? &plan->nodes[at] : NULL;
        if (node == NULL || node->n_outputs != 1)
            return 0;
        attrs = node->attrs;
        found->nodes[found->n_nodes++] = at;
        found->gate = tensor;
        found->y = node->outputs[0];
        if (node->op == GPUDL_OP_MUL)
            return n_products == 2 && is_scaling(plan, node, tensor, found->x);
        if (node->op == GPUDL_OP_ACTIVATION && act != NULL && act->kind == GPUDL_ACT_NONE) {
            *act = attrs->unary.act;
        } else if (node->op != GPUDL_OP_RESHAPE && node->op != GPUDL_OP_IDENTITY) {
            if (n_products == 2 || node->inputs[0] != tensor ||
                !product_of(plan, node, x[0], now, &found->products[n_products], &now))
                return 0;
            if (++n_products == 1 && now <= INT32_MAX)
                found->r = (int32_t)now;
        }
        tensor = found->y;
    }
    return 0;
}

int gpudl_squeeze_find(const GpudlPlan *plan, int32_t index, GpudlSqueezeFound *found)
{
    const GpudlPlanNode *mean = &plan->nodes[index];
    const GpudlShape *x = mean->op == GPUDL_OP_GLOBAL_AVERAGE_POOL ? &plan->tensors[mean->inputs[0]].shape : NULL;

    *found = (GpudlSqueezeFound){0};
    if (x == NULL || x->rank != 4 || !is_f32(plan, mean->inputs[0]) || mean->n_outputs != 1 || x->dims[0] > INT32_MAX ||
        x->dims[1] > INT32_MAX || x->dims[2] > INT32_MAX / x->dims[3])
        return 0;
    found->x = mean->inputs[0];
    found->c = (int32_t)x->dims[1];
    return follow(plan, index, found) && found->r > 0;
}

float *gpudl_squeeze_dense(const GpudlSqueezeProduct *product, const float *w, const float *bias, int64_t bias_elements,
                           int64_t results, int64_t operands)
{
    float *dense = calloc((size_t)(results * (operands + 1)), sizeof *dense);

    if (dense == NULL)
        return NULL;
    for (int64_t i = 0; i < results; i++) {
        for (int64_t k = 0; k < operands; k++)
            dense[i * operands + k] = product->factor * w[product->by_rows ? i * operands + k : k * results + i];
        if (bias != NULL)
            dense[results * operands + i] = product->beta * bias[bias_elements == 1 ? 0 : i];
    }
    return dense;
}
