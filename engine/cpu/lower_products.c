/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Sums of products: convolution, Gemm, MatMul. */
#include <stdlib.h>
#include <string.h>

#include "conv.h"
#include "inverted.h"
#include "product.h"

#define ARG_NONE (-1)

/* Ways that one constant can be seen; see cpu_use_packed_as(). */
enum { PART_GROUPS = -2, PART_ROWS = -3, PART_COLUMNS = -4 };

/* ---- convolution ------------------------------------------------------------------------------------------------- */

/* By Winograd's transforms, where they are worth it and oneDNN has them with what follows; else NULL. */
static dnnl_primitive_desc_t winograd_conv(CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, DnnMdRef dst)
{
    const CpuWinograd form = cpu_winograd_of(c, node);
    DnnMd src = form != CPU_WINOGRAD_NONE ? dnn_md_tag(4, conv->x, dnnl_aBcd16b) : NULL;
    dnnl_primitive_desc_t pd =
        src != NULL ? cpu_conv_describe_winograd(c->shared, conv, src, dst, form == CPU_WINOGRAD_LARGE) : NULL;

    dnn_md_free(src);
    return pd;
}

/* The better of two, the first where they are as good; the other is freed. */
static dnnl_primitive_desc_t better(dnnl_primitive_desc_t pd, dnnl_primitive_desc_t other)
{
    const int swap = cpu_quality(other) > cpu_quality(pd);
    dnnl_primitive_desc_t unused = swap ? pd : other;

    if (unused != NULL)
        dnnl_primitive_desc_destroy(unused);
    return swap ? other : pd;
}

/* The input's own layout where oneDNN is as good with it as with the one it would rather have: a reorder is dearer than
 * the difference between two fast implementations. */
static dnnl_primitive_desc_t choose_conv(CpuCompiler *c, const GpudlPlanNode *node, const CpuConv *conv, DnnMdRef dst)
{
    int32_t value = cpu_use_lying(c, node->inputs[0]);
    DnnMdRef lying = value >= 0 ? cpu_value_md(c, value) : NULL;
    dnnl_primitive_desc_t wanted = cpu_conv_describe(c->shared, conv, NULL, dst), own = NULL;
    DnnMd now = lying != NULL && !dnn_md_is_plain(lying) ? dnn_md_as(lying, conv->type) : NULL;

    if (now != NULL)
        own = cpu_conv_describe(c->shared, conv, now, dst);
    dnn_md_free(now);
    return better(own, wanted);
}

int32_t cpu_conv_output(CpuCompiler *c, const GpudlPlanNode *node, int32_t src, int32_t residual, DnnMdRef md)
{
    int32_t from, to;

    if (residual < 0)
        return cpu_define(c, node->outputs[0], dnn_md_copy(md));
    from = cpu_use_lying(c, residual);
    if (from >= 0 && !cpu_same_memory(c, from, src) && cpu_may_overwrite(c, from) &&
        dnn_md_equal(cpu_value_md(c, from), md))
        return cpu_define_alias(c, node->outputs[0], dnn_md_copy(md), from);
    to = cpu_define(c, node->outputs[0], dnn_md_copy(md));
    cpu_copy(c, from, to);
    return to;
}

/* Weights in the layout that the primitive wants, which names groups as a dimension of their own. A constant is packed
 * once; anything else is reordered each time. */
static int32_t conv_weights(CpuCompiler *c, int32_t tensor, DnnMdRef want)
{
    DnnMd plain = dnn_md_plain(dnn_md_ndims(want), dnn_md_dims(want));
    int32_t value = cpu_use_plain(c, tensor), result = ARG_NONE;

    if (dnn_md_ndims(want) == cpu_tensor(c, tensor)->shape.rank) {
        result = cpu_use(c, tensor, want);
    } else if (!cpu_is_constant(c, tensor)) {
        value = cpu_view(c, dnn_md_copy(plain), value);
        result = cpu_temporary(c, dnn_md_copy(want));
        cpu_copy(c, value, result);
    } else {
        result = cpu_use_packed_as(c, tensor, PART_GROUPS, plain, want);
    }
    dnn_md_free(plain);
    return result;
}

/* Descriptions promise what 2.6.3's jit_bf16 then can't generate. What was made is in oneDNN's cache. */
static int can_be_made(dnnl_primitive_desc_t pd)
{
    dnnl_primitive_t primitive = NULL;

    if (pd == NULL || dnnl_primitive_create(&primitive, pd) != dnnl_success)
        return 0;
    dnnl_primitive_destroy(primitive);
    return 1;
}

/* The convolution in one type; NULL if oneDNN has none. Of groups of channels that fill no block it has only general
 * code where either end lies in blocks. */
static dnnl_primitive_desc_t first_conv(CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type)
{
    dnnl_primitive_desc_t pd;
    CpuConv conv;
    DnnMd dst = NULL;

    if (!cpu_conv_of(c, node, type, &conv))
        return NULL;
    if (cpu_prefers_blocks(c, node->outputs[0]))
        dst = dnn_md_tag(4, conv.y, dnnl_aBcd16b);
    pd = winograd_conv(c, node, &conv, dst);
    if (pd == NULL)
        pd = choose_conv(c, node, &conv, dst);
    if (dst != NULL && cpu_quality(pd) <= CPU_GENERAL)
        pd = better(pd, choose_conv(c, node, &conv, NULL));
    dnn_md_free(dst);
    return pd;
}

/* In bfloat16, but where oneDNN has only lesser code for that than for float32. */
static dnnl_primitive_desc_t best_conv(CpuCompiler *c, const GpudlPlanNode *node)
{
    dnnl_primitive_desc_t pd = first_conv(c, node, c->type);

    if (c->type != dnnl_f32 && pd != NULL && !can_be_made(pd)) {
        dnnl_primitive_desc_destroy(pd);
        pd = NULL;
    }
    if (c->type == dnnl_f32 || cpu_quality(pd) >= CPU_WIDE_LOOPS)
        return pd;
    return better(pd, first_conv(c, node, dnnl_f32));
}

/* In the form that was chosen, or NULL. */
static dnnl_primitive_desc_t chosen_conv(CpuCompiler *c, const GpudlPlanNode *node)
{
    const CpuForm form = cpu_chosen_form(c, c->node);
    dnnl_primitive_desc_t pd = NULL;
    CpuConv conv;

    if (form != CPU_FORM_FIRST && cpu_conv_of(c, node, c->type, &conv))
        pd = cpu_conv_describe_form(c->shared, &conv, form);
    if (pd == NULL || can_be_made(pd))
        return pd;
    dnnl_primitive_desc_destroy(pd);
    return NULL;
}

/* By a kernel of our own, where that is the form that was chosen. */
static int lower_own(CpuCompiler *c, const GpudlPlanNode *node)
{
    CpuOwnConv own;
    CpuConv conv;
    DnnMd x, y;

    if (cpu_chosen_form(c, c->node) != CPU_FORM_OWN || !cpu_conv_of(c, node, c->type, &conv) ||
        !cpu_conv_own(c, node, &conv, &own))
        return 0;
    x = dnn_md_typed(conv.type, 4, conv.x, dnnl_acdb);
    y = dnn_md_typed(conv.type, 4, conv.y, dnnl_acdb);
    if (x == NULL || y == NULL) {
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    } else {
        const int64_t scratch = (int64_t)(own.scratch_bytes / sizeof(float));
        const int32_t constants[] = {node->inputs[1], conv.has_bias ? node->inputs[2] : -1};
        CpuUse uses[4];
        uint32_t n = 0;

        uses[n++] = (CpuUse){cpu_use(c, node->inputs[0], x), 1};
        uses[n++] =
            (CpuUse){cpu_own_constant(c, own.part, own.packed_bytes, own.pack, own.problem, own.size, 2, constants), 1};
        if (scratch > 0)
            uses[n++] = (CpuUse){cpu_temporary(c, dnn_md_plain(1, &scratch)), 0};
        uses[n] = (CpuUse){cpu_conv_output(c, node, uses[0].value, conv.post.sum ? node->inputs[3] : -1, y),
                           conv.post.sum ? 2 : 1};
        cpu_own(c, own.name, own.run, own.problem, own.size, n + 1, uses);
    }
    dnn_md_free(x);
    dnn_md_free(y);
    return 1;
}

int cpu_lower_conv(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlWindowAttrs *attrs = &((const GpudlAttrs *)node->attrs)->window;
    int32_t bias = node->n_inputs > 2 ? node->inputs[2] : -1, residual = node->n_inputs > 3 ? node->inputs[3] : -1;
    dnnl_primitive_desc_t pd;

    if (cpu_fused(c, &attrs->act).kind != attrs->act.kind && gpudl_activate(&attrs->act, 0) != 0)
        return 0; /* it could not be put behind: blocks may have padding, which is 0 */
    if (cpu_lower_inverted(c, node) || lower_own(c, node))
        return 1;
    pd = chosen_conv(c, node);
    if (pd == NULL)
        pd = best_conv(c, node);
    if (pd != NULL) {
        DnnMdRef src_md = dnn_pd_md(pd, dnnl_query_src_md, 0);
        int32_t src = cpu_use(c, node->inputs[0], src_md);
        int32_t weights = conv_weights(c, node->inputs[1], dnn_pd_md(pd, dnnl_query_weights_md, 0));
        int32_t bias_value = bias >= 0 ? cpu_use_plain(c, bias) : ARG_NONE;
        int32_t dst = cpu_conv_output(c, node, src, residual, dnn_pd_md(pd, dnnl_query_dst_md, 0));
        const CpuArg args[] = {
            {DNNL_ARG_SRC, src}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, dst}, {DNNL_ARG_BIAS, bias_value}};

        cpu_step(c, pd, bias >= 0 ? 4 : 3, args);
        cpu_apply_exact(c, &attrs->act, dst);
    }
    return pd != NULL;
}

/* ---- matrices ---------------------------------------------------------------------------------------------------- */

/* What is added to each column, times beta; NULL if there is nothing, or no memory. */
static float *product_bias(const CpuCompiler *c, const CpuProduct *p)
{
    const GpudlPlanTensor *t = p->bias >= 0 ? cpu_tensor(c, p->bias) : NULL;
    const int64_t way = t != NULL && gpudl_shape_elements(&t->shape) > 1;
    float *bias = t != NULL ? aligned_alloc(CPU_ALIGNMENT, ((size_t)p->n * sizeof(float) + 63) / 64 * 64) : NULL;

    for (int64_t i = 0; bias != NULL && i < p->n; i++)
        bias[i] = p->beta * ((const float *)t->data)[i * way];
    return bias;
}

/* The values times the factor, in the layout that is wanted; NULL if there is no memory. */
static void *scaled(const CpuCompiler *c, const CpuProduct *p, DnnMdRef stored, DnnMdRef want)
{
    const float *values = cpu_tensor(c, p->w)->data;
    const int64_t n = p->n * p->k;
    float *result;
    void *packed;

    if (c->shared->dry)
        return cpu_aligned_room(0);
    result = cpu_aligned_room((uint64_t)n * sizeof *result);
    for (int64_t i = 0; result != NULL && i < n; i++)
        result[i] = p->factor * values[i];
    if (result == NULL || dnn_md_equal(stored, want))
        return result;
    packed = cpu_aligned_bytes(dnn_md_bytes(want));
    if (packed != NULL && !cpu_reorder_now(c->shared->dnn, c->shared->stream, stored, result, want, packed)) {
        free(packed);
        packed = NULL;
    }
    free(result);
    return packed;
}

/* Weights as the primitive wants them. */
static int32_t product_weights(CpuCompiler *c, const CpuProduct *p, DnnMdRef want)
{
    DnnMd stored = dnn_md_tag(2, (const int64_t[]){p->n, p->k}, p->by_rows ? dnnl_ab : dnnl_ba);
    int32_t weights = -1;

    if (stored == NULL)
        cpu_fail(c, GPUDL_STATUS_NO_MEMORY, "no memory for the program");
    else if (p->factor == 1.f)
        weights = cpu_use_packed_as(c, p->w, p->by_rows ? PART_ROWS : PART_COLUMNS, stored, want);
    else
        weights = cpu_find_constant(c, 1, want);
    if (weights < 0 && stored != NULL && p->factor != 1.f)
        weights = cpu_constant(c, 1, dnn_md_copy(want), scaled(c, p, stored, want), dnn_md_bytes(want));
    dnn_md_free(stored);
    return weights;
}

/* By oneDNN, in the product's type. bias: see product_bias(), taken over. */
static int lower_inner_product(CpuCompiler *c, const GpudlPlanNode *node, const CpuProduct *p, float *bias)
{
    dnnl_primitive_desc_t pd = cpu_product_describe(c->shared, p);
    DnnMd x = dnn_md_dense(p->type, 2, (const int64_t[]){p->m, p->k}), bias_md = dnn_md_plain(1, &p->n);

    if (pd != NULL) {
        int32_t src = cpu_use(c, node->inputs[0], x), bias_value = ARG_NONE, dst;
        int32_t weights = product_weights(c, p, dnn_pd_md(pd, dnnl_query_weights_md, 0));

        if (p->bias >= 0) {
            bias_value = cpu_find_constant(c, 0, bias_md);
            if (bias_value < 0) {
                bias_value = cpu_constant(c, 0, dnn_md_copy(bias_md), bias, (uint64_t)p->n * sizeof(float));
                bias = NULL;
            }
        }
        dst = cpu_define(c, node->outputs[0], dnn_md_dense(p->y_type, 2, (const int64_t[]){p->m, p->n}));
        cpu_step(
            c, pd, p->bias >= 0 ? 4 : 3,
            (const CpuArg[]){
                {DNNL_ARG_SRC, src}, {DNNL_ARG_WEIGHTS, weights}, {DNNL_ARG_DST, dst}, {DNNL_ARG_BIAS, bias_value}});
        cpu_apply_exact(c, p->act, dst);
    }
    free(bias);
    dnn_md_free(x);
    dnn_md_free(bias_md);
    return pd != NULL;
}

/* A fully connected layer, in the form that was chosen, which is an exact program's as well: NaN goes through both, and
 * weights are packed once. */
static int lower_product(CpuCompiler *c, const GpudlPlanNode *node)
{
    const int own = c->shared->forms != NULL && c->shared->forms[c->node] == CPU_FORM_OWN;
    CpuProduct p;

    if (!cpu_product_of(c, node, c->type, &p))
        return 0;
    if ((own && cpu_lower_matvec(c, node, &p)) || lower_inner_product(c, node, &p, product_bias(c, &p)))
        return 1;
    return c->type != dnnl_f32 && cpu_product_of(c, node, dnnl_f32, &p) &&
           lower_inner_product(c, node, &p, product_bias(c, &p));
}

int cpu_lower_gemm(CpuCompiler *c, const GpudlPlanNode *node)
{
    return lower_product(c, node);
}

/* Ranks are made equal with ones in front; a vector gets its row or column. */
static int matmul_dims(const GpudlShape *a, const GpudlShape *b, const GpudlShape *y, int64_t dims[3][GPUDL_MAX_RANK])
{
    int rank = a->rank > b->rank ? a->rank : b->rank;

    if (a->rank < 2 || b->rank < 2 || y->rank != rank)
        return 0;
    for (int i = 0; i < rank; i++) {
        dims[0][i] = i < rank - a->rank ? 1 : a->dims[i - (rank - a->rank)];
        dims[1][i] = i < rank - b->rank ? 1 : b->dims[i - (rank - b->rank)];
        dims[2][i] = y->dims[i];
    }
    return rank;
}

static dnnl_primitive_desc_t describe_matmul(CpuCompiler *c, const GpudlPlanNode *node, dnnl_data_type_t type, int rank,
                                             int64_t dims[3][GPUDL_MAX_RANK], DnnMd md[3])
{
    dnnl_primitive_attr_t attr = dnn_attr(NULL);
    dnnl_primitive_desc_t pd = NULL;

    for (int i = 0; i < 3; i++)
        md[i] = dnn_md_dense(i < 2 ? type : cpu_result_type(c, node->outputs[0], type), rank, dims[i]);
    if (md[0] != NULL && md[1] != NULL && md[2] != NULL && attr != NULL)
        pd = dnn_matmul(c->shared->dnn, attr, md[0], md[1], md[2]);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return pd;
}

static void free_mds(DnnMd md[3])
{
    for (int i = 0; i < 3; i++)
        dnn_md_free(md[i]);
}

int cpu_lower_matmul(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlShape *a = &cpu_tensor(c, node->inputs[0])->shape, *b = &cpu_tensor(c, node->inputs[1])->shape;
    int64_t dims[3][GPUDL_MAX_RANK];
    int rank = matmul_dims(a, b, &cpu_tensor(c, node->outputs[0])->shape, dims);
    dnnl_data_type_t type = c->type;
    dnnl_primitive_desc_t pd;
    DnnMd md[3];

    if (rank == 0)
        return 0;
    if (rank == 2 && cpu_is_constant(c, node->inputs[1]))
        return lower_product(c, node);
    pd = describe_matmul(c, node, type, rank, dims, md);
    if (type != dnnl_f32 && (pd == NULL || strncmp(dnn_pd_name(pd), "ref", 3) == 0)) {
        if (pd != NULL)
            dnnl_primitive_desc_destroy(pd);
        free_mds(md);
        type = dnnl_f32;
        pd = describe_matmul(c, node, type, rank, dims, md);
    }
    if (pd != NULL) {
        int32_t left = cpu_view(c, dnn_md_copy(md[0]), cpu_use_dense(c, node->inputs[0], type));
        int32_t right = cpu_view(c, dnn_md_copy(md[1]), cpu_use_dense(c, node->inputs[1], type));
        int32_t dst = cpu_define(c, node->outputs[0], dnn_md_copy(md[2]));

        cpu_step(c, pd, 3, (const CpuArg[]){{DNNL_ARG_SRC, left}, {DNNL_ARG_WEIGHTS, right}, {DNNL_ARG_DST, dst}});
    }
    free_mds(md);
    return pd != NULL;
}
