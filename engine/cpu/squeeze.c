/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "squeeze.h"

#include <stdlib.h>

#include "isa.h"

/* Of a node's constants. */
enum { PART_SQUEEZE = 3 };

/* ---- finding ----------------------------------------------------------------------------------------------------- */

/* A value per frame and channel, whatever ones stand around. */
static int is_vector(const CpuCompiler *c, int32_t tensor, int64_t n, int64_t channels)
{
    const GpudlShape *shape = &cpu_tensor(c, tensor)->shape;

    return cpu_is_f32(c, tensor) && shape->rank >= 2 && shape->dims[0] == n && shape->dims[1] == channels &&
           gpudl_shape_elements(shape) == n * channels;
}

/* A bias has an element for each result, or one for all. */
static int is_bias(const CpuCompiler *c, int32_t tensor, int64_t results)
{
    const GpudlShape *shape = &cpu_tensor(c, tensor)->shape;
    const int64_t elements = cpu_is_constant(c, tensor) ? gpudl_shape_elements(shape) : 0;

    return elements == 1 || (elements == results && shape->dims[shape->rank - 1] == results);
}

/* What the node computes of a vector of that many operands; *results: how many it makes. */
static int product_of(const CpuCompiler *c, const GpudlPlanNode *node, int64_t n, int64_t operands,
                      CpuSqueezeProduct *product, int64_t *results)
{
    const GpudlAttrs *attrs = node->attrs;
    const int32_t bias = node->n_inputs > 2 ? node->inputs[2] : -1;
    const GpudlShape *w;
    int conv = node->op == GPUDL_OP_CONV;

    if ((!conv && node->op != GPUDL_OP_GEMM) || node->n_outputs != 1 || !cpu_is_constant(c, node->inputs[1]))
        return 0;
    w = &cpu_tensor(c, node->inputs[1])->shape;
    if (conv && (attrs->window.group != 1 || gpudl_shape_elements(w) != w->dims[0] * w->dims[1] ||
                 (node->n_inputs > 3 && node->inputs[3] >= 0)))
        return 0;
    if (!conv && (attrs->gemm.trans_a || w->rank != 2))
        return 0;
    *product = conv ? (CpuSqueezeProduct){node->inputs[1], bias, 1, 1.f, 1.f, attrs->window.act}
                    : (CpuSqueezeProduct){node->inputs[1],  bias,           attrs->gemm.trans_b, attrs->gemm.alpha,
                                          attrs->gemm.beta, attrs->gemm.act};
    if (product->beta == 0.f)
        product->bias = -1;
    *results = w->dims[product->by_rows ? 0 : 1];
    return w->dims[product->by_rows ? 1 : 0] == operands && is_vector(c, node->outputs[0], n, *results) &&
           (product->bias < 0 || is_bias(c, product->bias, *results));
}

/* Follows the vector that a mean gives until it meets the product with what that was taken of. */
static int follow(const CpuCompiler *c, const GpudlPlanNode *mean, CpuSqueezeFound *found)
{
    const int64_t *x = cpu_tensor(c, mean->inputs[0])->shape.dims;
    int64_t now = x[1];
    int32_t tensor = mean->outputs[0];
    int n_products = 0;

    while (found->n_nodes < (int)(sizeof found->nodes / sizeof *found->nodes)) {
        const int32_t reader = is_vector(c, tensor, x[0], now) ? cpu_only_reader(c, tensor) : -1;
        const GpudlPlanNode *node = reader >= 0 ? &c->plan->nodes[reader] : NULL;
        const GpudlAttrs *attrs = node != NULL ? node->attrs : NULL;
        GpudlAct *act = n_products > 0 ? &found->products[n_products - 1].act : NULL;

        if (node == NULL || node->n_outputs != 1)
            return 0;
        found->nodes[found->n_nodes++] = reader;
        found->y = node->outputs[0];
        if (node->op == GPUDL_OP_MUL) {
            const int32_t other = node->inputs[node->inputs[0] == tensor];
            const GpudlShape *gate = &cpu_tensor(c, tensor)->shape;

            if (n_products == 2)
                found->s.c = (int32_t)now;
            return n_products == 2 && other == mean->inputs[0] && gate->rank == 4 && now == x[1] &&
                   attrs->binary.act.kind == GPUDL_ACT_NONE;
        }
        if (node->op == GPUDL_OP_ACTIVATION && act != NULL && act->kind == GPUDL_ACT_NONE) {
            *act = attrs->unary.act;
        } else if (node->op != GPUDL_OP_RESHAPE && node->op != GPUDL_OP_IDENTITY) {
            if (n_products == 2 || node->inputs[0] != tensor ||
                !product_of(c, node, x[0], now, &found->products[n_products], &now))
                return 0;
            if (++n_products == 1 && now <= INT32_MAX)
                found->s.r = (int32_t)now;
        }
        tensor = found->y;
    }
    return 0;
}

int cpu_squeeze_find(const CpuCompiler *c, int32_t index, CpuSqueezeFound *found)
{
    const GpudlPlanNode *mean = &c->plan->nodes[index];
    const GpudlShape *x = mean->op == GPUDL_OP_GLOBAL_AVERAGE_POOL ? &cpu_tensor(c, mean->inputs[0])->shape : NULL;
    dnnl_data_type_t type;
    GpudlSqueeze *s = &found->s;

    *found = (CpuSqueezeFound){.kernels = gpudl_squeeze_kernels(cpu_isa_simd())};
    if (x == NULL || x->rank != 4 || !cpu_is_f32(c, mean->inputs[0]) || mean->n_outputs != 1 ||
        found->kernels == NULL || x->dims[0] > INT32_MAX || x->dims[1] > INT32_MAX ||
        x->dims[2] > INT32_MAX / x->dims[3] || !follow(c, mean, found))
        return 0;
    found->x = mean->inputs[0];
    type = cpu_result_type(c, found->y, c->type);
    s->type = type == dnnl_bf16 ? GPUDL_DTYPE_BF16 : GPUDL_DTYPE_F32;
    s->n = (int32_t)x->dims[0];
    s->pixels = (int32_t)(x->dims[2] * x->dims[3]);
    s->x_pixel = s->y_pixel = s->c;
    s->x_frame = s->y_frame = (int64_t)s->c * s->pixels;
    s->inner = found->products[0].act;
    s->gate = found->products[1].act;
    return type == cpu_result_type(c, found->x, c->type) && gpudl_squeeze_supported(s);
}

/* ---- lowering ---------------------------------------------------------------------------------------------------- */

/* Weights as [results][operands] and the bias, scaled; the caller's (free()). NULL if there is no memory. */
static float *dense_weights(const CpuCompiler *c, const CpuSqueezeProduct *p, int64_t results, int64_t operands)
{
    const float *w = cpu_tensor(c, p->weights)->data;
    float *dense = calloc((size_t)(results * (operands + 1)), sizeof *dense), *bias = dense + results * operands;

    if (dense == NULL)
        return NULL;
    for (int64_t i = 0; i < results; i++)
        for (int64_t k = 0; k < operands; k++)
            dense[i * operands + k] = p->factor * w[p->by_rows ? i * operands + k : k * results + i];
    for (int64_t i = 0; i < results && p->bias >= 0; i++) {
        const GpudlPlanTensor *t = cpu_tensor(c, p->bias);

        bias[i] = p->beta * ((const float *)t->data)[gpudl_shape_elements(&t->shape) == 1 ? 0 : i];
    }
    return dense;
}

static int32_t packed_weights(CpuCompiler *c, const CpuSqueezeFound *found)
{
    const GpudlSqueeze *s = &found->s;
    const size_t bytes = gpudl_squeeze_weights_size(s);
    int32_t value = cpu_find_constant(c, PART_SQUEEZE, NULL);
    float *packed, *first = NULL, *second = NULL;

    if (value >= 0)
        return value;
    packed = cpu_aligned_bytes(c->shared->dry ? 0 : bytes);
    if (packed != NULL && !c->shared->dry) {
        first = dense_weights(c, &found->products[0], s->r, s->c);
        second = dense_weights(c, &found->products[1], s->c, s->r);
        if (first != NULL && second != NULL) {
            gpudl_squeeze_pack(s, first, first + (int64_t)s->r * s->c, second, second + (int64_t)s->r * s->c, packed);
        } else {
            free(packed);
            packed = NULL;
        }
        free(first);
        free(second);
    }
    return cpu_constant(c, PART_SQUEEZE, NULL, packed, bytes);
}

int cpu_lower_squeeze(CpuCompiler *c, const GpudlPlanNode *node)
{
    CpuSqueezeFound found;
    CpuSqueeze step;
    int64_t scratch;
    DnnMd md;

    if (cpu_chosen_form(c, c->node) != CPU_FORM_OWN || !cpu_squeeze_find(c, c->node, &found))
        return 0;
    md = dnn_md_typed(found.s.type == GPUDL_DTYPE_BF16 ? dnnl_bf16 : dnnl_f32, 4,
                      cpu_tensor(c, node->inputs[0])->shape.dims, dnnl_acdb);
    if (md == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
        return 1;
    }
    for (int i = 0; i < found.n_nodes; i++)
        cpu_cover(c, found.nodes[i]);
    scratch = (int64_t)(gpudl_squeeze_scratch_size(&found.s) / sizeof(float));
    step = (CpuSqueeze){.kernels = found.kernels, .s = found.s};
    step.x = cpu_use(c, found.x, md);
    step.packed = packed_weights(c, &found);
    step.scratch = cpu_temporary(c, dnn_md_plain(1, &scratch));
    /* the product's use of x is this step's */
    cpu_hold(c, found.x, -1);
    step.y = cpu_may_overwrite(c, step.x) ? cpu_define_alias(c, found.y, md, step.x) : cpu_define(c, found.y, md);
    cpu_hold(c, found.x, 1);
    cpu_squeeze(c, &step);
    return 1;
}
