/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Element by element, and softmax. */
#include <stdint.h>
#include <string.h>

#include "lower.h"

/* In place where nobody else reads the input. */
static int32_t output_over(CpuCompiler *c, const GpudlPlanNode *node, int32_t src)
{
    DnnMd md = src >= 0 ? dnn_md_copy(cpu_value_md(c, src)) : NULL;

    if (src < 0)
        return -1;
    return cpu_may_overwrite(c, src) ? cpu_define_alias(c, node->outputs[0], md, src)
                                     : cpu_define(c, node->outputs[0], md);
}

/* Functions that magnify what bfloat16 has lost are computed in float32. */
static int takes_lying(int32_t op)
{
    return op != GPUDL_OP_EXP && op != GPUDL_OP_LOG && op != GPUDL_OP_SQRT;
}

static int lower_eltwise(CpuCompiler *c, const GpudlPlanNode *node, const DnnEltwise *ops, int n)
{
    int32_t src = takes_lying(node->op) ? cpu_use_lying(c, node->inputs[0]) : cpu_use(c, node->inputs[0], NULL);
    int32_t dst = -1;
    dnnl_primitive_attr_t attr = dnn_attr(NULL);

    for (int i = 0; i < n && src >= 0; i++) {
        dnnl_primitive_desc_t pd = dnn_eltwise(c->shared->dnn, attr, &ops[i], cpu_value_md(c, src));

        if (pd == NULL && i == 0)
            break;
        if (i == 0)
            dst = output_over(c, node, src);
        cpu_step(c, pd, 2, (const CpuArg[]){{DNNL_ARG_SRC, i == 0 ? src : dst}, {DNNL_ARG_DST, dst}});
    }
    dnnl_primitive_attr_destroy(attr);
    return dst >= 0;
}

int cpu_lower_activation(CpuCompiler *c, const GpudlPlanNode *node)
{
    DnnEltwise ops[2];
    int n = dnn_activation(&((const GpudlAttrs *)node->attrs)->unary.act, ops);

    return n == 0 ? cpu_lower_identity(c, node) : lower_eltwise(c, node, ops, n);
}

int cpu_lower_unary(CpuCompiler *c, const GpudlPlanNode *node)
{
    DnnEltwise op = {dnnl_eltwise_abs, 0.f, 0.f};

    switch (node->op) {
    case GPUDL_OP_ELU:
        op = (DnnEltwise){dnnl_eltwise_elu, ((const GpudlAttrs *)node->attrs)->unary.act.alpha, 0.f};
        break;
    case GPUDL_OP_NEG:
        op = (DnnEltwise){dnnl_eltwise_linear, -1.f, 0.f};
        break;
    case GPUDL_OP_EXP:
        op.alg = dnnl_eltwise_exp;
        break;
    case GPUDL_OP_LOG:
        op.alg = dnnl_eltwise_log;
        break;
    case GPUDL_OP_SQRT:
        op.alg = dnnl_eltwise_sqrt;
        break;
    default: /* ABS, as set */
        break;
    }
    return lower_eltwise(c, node, &op, 1);
}

/* ---- two inputs -------------------------------------------------------------------------------------------------- */

static dnnl_alg_kind_t binary_kind(int32_t op)
{
    return op == GPUDL_OP_ADD   ? dnnl_binary_add
           : op == GPUDL_OP_SUB ? dnnl_binary_sub
           : op == GPUDL_OP_MUL ? dnnl_binary_mul
                                : dnnl_binary_div;
}

/* The tensor's dimensions with ones in front, up to rank. */
static void raised_dims(const GpudlShape *shape, int rank, int64_t *dims)
{
    for (int i = 0; i < rank; i++)
        dims[i] = i < rank - shape->rank ? 1 : shape->dims[i - (rank - shape->rank)];
}

/* How the operands of an operation would lie; the values are made once it is chosen. */
typedef struct {
    DnnMd left, right;
    dnnl_primitive_desc_t pd;
} Operands;

static void clear_operands(Operands *o)
{
    dnn_md_free(o->left);
    dnn_md_free(o->right);
    if (o->pd != NULL)
        dnnl_primitive_desc_destroy(o->pd);
    *o = (Operands){NULL, NULL, NULL};
}

static DnnMd lying_md(CpuCompiler *c, int32_t tensor, dnnl_data_type_t type)
{
    int32_t value = cpu_use_lying(c, tensor);
    DnnMdRef md = value >= 0 ? cpu_value_md(c, value) : NULL;

    if (md == NULL)
        return NULL;
    return dnn_md_type(md) == type ? dnn_md_copy(md) : dnn_md_as(md, type);
}

/* The second operand in the first one's kind of layout: oneDNN's fast loops want both alike. */
static DnnMd matching_md(CpuCompiler *c, int32_t tensor, DnnMdRef full, int rank)
{
    const GpudlShape *shape = &cpu_tensor(c, tensor)->shape;
    int64_t dims[GPUDL_MAX_RANK];
    DnnMd like;

    if (shape->rank == rank) {
        like = dnn_md_like(full, shape->dims);
        return like != NULL ? like : lying_md(c, tensor, dnnl_f32);
    }
    raised_dims(shape, rank, dims);
    return dnn_md_dense(dnn_md_type(full), rank, dims);
}

/* The value of the second operand in the layout that was chosen for it. */
static int32_t use_right(CpuCompiler *c, int32_t tensor, DnnMdRef md)
{
    if (cpu_tensor(c, tensor)->shape.rank == dnn_md_ndims(md))
        return cpu_use(c, tensor, md);
    return cpu_view(c, dnn_md_copy(md), cpu_use_dense(c, tensor, dnn_md_type(md)));
}

/* Both operands in one type and layout: the first one's own, or want. */
static Operands describe_binary(CpuCompiler *c, const GpudlPlanNode *node, int32_t a, int32_t b, dnnl_data_type_t type,
                                DnnMdRef want)
{
    int rank = cpu_tensor(c, node->outputs[0])->shape.rank;
    Operands o = {want != NULL ? dnn_md_copy(want) : lying_md(c, a, type), NULL, NULL};
    dnnl_primitive_attr_t attr = dnn_attr(NULL);

    if (o.left != NULL)
        o.right = matching_md(c, b, o.left, rank);
    if (o.right != NULL && attr != NULL)
        o.pd = dnn_binary(c->shared->dnn, attr, binary_kind(node->op), o.left, o.right, o.left);
    if (attr != NULL)
        dnnl_primitive_attr_destroy(attr);
    return o;
}

/* bfloat16 where that is what both have, or what one has and the other is constant. */
static dnnl_data_type_t binary_type(CpuCompiler *c, const GpudlPlanNode *node)
{
    int narrow = 0;

    if (c->wide[node->outputs[0]])
        return dnnl_f32;
    for (uint32_t i = 0; i < node->n_inputs; i++) {
        if (cpu_is_constant(c, node->inputs[i]))
            continue;
        if (cpu_lying_type(c, node->inputs[i]) != dnnl_bf16)
            return dnnl_f32;
        narrow = 1;
    }
    return narrow ? dnnl_bf16 : dnnl_f32;
}

static int is_general(const Operands *o)
{
    return o->pd != NULL && strncmp(dnn_pd_name(o->pd), "ref", 3) == 0;
}

/* Channels last where the first operand's own layout will not do: oneDNN has only its general loop for it (a gate per
 * channel on blocks of 8), which takes a hundred times as long as the copy; or it has blocks that are not full, which
 * 2.6.3 with AVX2 computes wrongly. */
static Operands choose_binary(CpuCompiler *c, const GpudlPlanNode *node, int32_t a, int32_t b, dnnl_data_type_t type)
{
    const GpudlShape *y = &cpu_tensor(c, node->outputs[0])->shape;
    Operands o = describe_binary(c, node, a, b, type, NULL);
    uint64_t full = (uint64_t)gpudl_shape_elements(y) * (type == dnnl_f32 ? sizeof(float) : sizeof(uint16_t));
    DnnMd other;

    if (o.pd == NULL || y->rank < 3 || (!is_general(&o) && dnn_md_bytes(o.left) == full))
        return o;
    other = y->rank == 4 ? dnn_md_typed(type, 4, y->dims, dnnl_acdb) : dnn_md_dense(type, y->rank, y->dims);
    clear_operands(&o);
    o = describe_binary(c, node, a, b, type, other);
    dnn_md_free(other);
    return o;
}

/* Neighbouring dimensions that the second operand repeats, or has, alike become one, so that a tensor of any rank is
 * one of frames, channels and pixels with a value a channel. Returns FALSE where it is not that. */
static int as_channels(const GpudlShape *y, const GpudlShape *b, int64_t y_dims[3], int64_t b_dims[3])
{
    int parts = 0, last = -1; /* 0: repeated, 1: had */

    for (int i = 0; i < 3; i++)
        y_dims[i] = b_dims[i] = 1;
    for (int i = 0; i < y->rank; i++) {
        int at = i - (y->rank - b->rank), has = at >= 0 && b->dims[at] != 1;

        if (y->dims[i] == 1)
            continue;
        if (has != last) {
            parts += parts == 0 && has ? 2 : 1; /* what is had comes second */
            last = has;
        }
        if (parts > 3)
            return 0;
        y_dims[parts - 1] *= y->dims[i];
        if (has)
            b_dims[parts - 1] *= y->dims[i];
    }
    return b_dims[1] > 1;
}

/* By way of row-major operands seen so. */
static int lower_by_channels(CpuCompiler *c, const GpudlPlanNode *node, int32_t a, int32_t b)
{
    const GpudlShape *y = &cpu_tensor(c, node->outputs[0])->shape;
    int64_t y_dims[3], b_dims[3];
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
    DnnMd full, narrow;
    int32_t left, right, dst;

    if (!as_channels(y, &cpu_tensor(c, b)->shape, y_dims, b_dims))
        return 0;
    full = dnn_md_plain(3, y_dims);
    narrow = dnn_md_plain(3, b_dims);
    attr = dnn_attr(NULL);
    pd = full != NULL && narrow != NULL ? dnn_binary(c->shared->dnn, attr, binary_kind(node->op), full, narrow, full)
                                        : NULL;
    dnnl_primitive_attr_destroy(attr);
    if (pd != NULL && strncmp(dnn_pd_name(pd), "ref", 3) == 0) {
        dnnl_primitive_desc_destroy(pd);
        pd = NULL;
    }
    if (pd != NULL) {
        left = cpu_use_plain(c, a);
        right = cpu_view(c, dnn_md_copy(narrow), cpu_use_plain(c, b));
        dst = cpu_same_memory(c, left, right) ? cpu_define(c, node->outputs[0], dnn_md_copy(cpu_value_md(c, left)))
                                              : output_over(c, node, left);
        cpu_step(c, pd, 3,
                 (const CpuArg[]){{DNNL_ARG_SRC_0, cpu_view(c, dnn_md_copy(full), left)},
                                  {DNNL_ARG_SRC_1, right},
                                  {DNNL_ARG_DST, cpu_view(c, dnn_md_copy(full), dst)}});
        if (node->op == GPUDL_OP_DIV && c->status == GPUDL_STATUS_OK)
            c->program->steps[c->program->n_steps - 1].padded = 1;
        else if (node->op != GPUDL_OP_DIV)
            cpu_apply_activation(c, &((const GpudlAttrs *)node->attrs)->binary.act, dst);
    }
    dnn_md_free(full);
    dnn_md_free(narrow);
    return pd != NULL;
}

int cpu_lower_binary(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlBinaryAttrs *attrs = &((const GpudlAttrs *)node->attrs)->binary;
    const GpudlShape *y = &cpu_tensor(c, node->outputs[0])->shape;
    int32_t a = node->inputs[0], b = node->inputs[1], left, right, dst;
    int commutes = node->op == GPUDL_OP_ADD || node->op == GPUDL_OP_MUL;
    dnnl_data_type_t type = binary_type(c, node);
    Operands o;

    if (commutes && (!gpudl_shape_equal(&cpu_tensor(c, a)->shape, y) ||
                     (cpu_is_constant(c, a) && gpudl_shape_equal(&cpu_tensor(c, b)->shape, y)))) {
        a = node->inputs[1];
        b = node->inputs[0];
    }
    if (!gpudl_shape_equal(&cpu_tensor(c, a)->shape, y))
        return 0;
    o = choose_binary(c, node, a, b, type);
    if (type != dnnl_f32 && (o.pd == NULL || is_general(&o))) {
        clear_operands(&o);
        o = choose_binary(c, node, a, b, dnnl_f32);
    }
    if (o.pd == NULL || (is_general(&o) && lower_by_channels(c, node, a, b))) {
        int done = o.pd != NULL;

        clear_operands(&o);
        return done;
    }
    left = cpu_use(c, a, o.left);
    right = use_right(c, b, o.right);
    dst = cpu_same_memory(c, left, right) ? cpu_define(c, node->outputs[0], dnn_md_copy(o.left))
                                          : output_over(c, node, left);
    cpu_step(c, o.pd, 3, (const CpuArg[]){{DNNL_ARG_SRC_0, left}, {DNNL_ARG_SRC_1, right}, {DNNL_ARG_DST, dst}});
    o.pd = NULL; /* the step's */
    clear_operands(&o);
    if (node->op == GPUDL_OP_DIV && c->status == GPUDL_STATUS_OK)
        c->program->steps[c->program->n_steps - 1].padded = 1;
    if (node->op != GPUDL_OP_DIV)
        cpu_apply_activation(c, &attrs->act, dst);
    return 1;
}

/* ---- softmax ----------------------------------------------------------------------------------------------------- */

int cpu_lower_softmax(CpuCompiler *c, const GpudlPlanNode *node)
{
    const GpudlAxisAttrs *attrs = &((const GpudlAttrs *)node->attrs)->axis;
    const GpudlShape *shape = &cpu_tensor(c, node->inputs[0])->shape;
    int64_t dims[3] = {1, 1, 1};
    dnnl_primitive_attr_t attr;
    dnnl_primitive_desc_t pd;
    int32_t src, dst;
    DnnMd md;

    /* as [before][axis][behind], row-major */
    for (int i = 0; i < shape->rank; i++)
        dims[i < attrs->axis ? 0 : i == attrs->axis || attrs->flatten ? 1 : 2] *= shape->dims[i];
    md = dnn_md_plain(3, dims);
    attr = dnn_attr(NULL);
    pd = md != NULL ? dnn_softmax(c->shared->dnn, attr, node->op == GPUDL_OP_LOG_SOFTMAX, md, 1) : NULL;
    dnnl_primitive_attr_destroy(attr);
    if (pd != NULL) {
        src = cpu_view(c, dnn_md_copy(md), cpu_use_plain(c, node->inputs[0]));
        dst = cpu_view(c, dnn_md_copy(md), cpu_define(c, node->outputs[0], dnn_md_plain(shape->rank, shape->dims)));
        cpu_step(c, pd, 2, (const CpuArg[]){{DNNL_ARG_SRC, src}, {DNNL_ARG_DST, dst}});
    }
    dnn_md_free(md);
    return pd != NULL;
}
