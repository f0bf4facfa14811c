/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "call.h"

#include "kernels/batchnorm.h"
#include "kernels/cast.h"
#include "kernels/conv.h"
#include "kernels/elementwise.h"
#include "kernels/gemm.h"
#include "kernels/lrn.h"
#include "kernels/matmul.h"
#include "kernels/movement.h"
#include "kernels/norm.h"
#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "kernels/resize.h"
#include "kernels/softmax.h"

typedef GpudlRefCall Call;

/** Carries one out; kind is the row's. Returns a GPUDL_KERNEL_ status. */
typedef int (*Eval)(const Call *call, int kind);

static const GpudlTensorView *optional(const Call *call, uint32_t i)
{
    return i < call->n_in ? call->in[i] : NULL;
}

static GpudlWindow window_of(const GpudlWindowAttrs *attrs)
{
    GpudlWindow window = {.n_spatial = attrs->n_spatial};

    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        window.kernel[i] = attrs->kernel[i];
        window.stride[i] = attrs->stride[i];
        window.pad_begin[i] = attrs->pad_begin[i];
        window.pad_end[i] = attrs->pad_end[i];
        window.dilation[i] = attrs->dilation[i];
    }
    return window;
}

static int eval_conv(const Call *c, int kind)
{
    const GpudlWindow window = window_of(&c->attrs->window);

    return gpudl_conv_ref(c->in[0], c->in[1], optional(c, 2), optional(c, 3), &window, c->attrs->window.group,
                          &c->attrs->window.act, c->out, NULL);
}

static int eval_gemm(const Call *c, int kind)
{
    const GpudlGemmAttrs *attrs = &c->attrs->gemm;
    const GpudlGemm params = {attrs->trans_a, attrs->trans_b, attrs->alpha, attrs->beta, attrs->act};

    return gpudl_gemm_ref(c->in[0], c->in[1], optional(c, 2), &params, c->out, NULL);
}

static int eval_matmul(const Call *c, int kind)
{
    static const GpudlAct none = {GPUDL_ACT_NONE, 0, 0};

    return gpudl_matmul_ref(c->in[0], c->in[1], &none, c->out, NULL);
}

static int eval_pool(const Call *c, int kind)
{
    const GpudlWindow window = window_of(&c->attrs->window);
    int status;

    if (kind == GPUDL_POOL_AVERAGE && c->attrs->window.count_include_pad)
        kind = GPUDL_POOL_AVERAGE_PAD;
    status = gpudl_pool_ref((GpudlPoolKind)kind, c->in[0], &window, c->out, NULL);
    if (status != GPUDL_KERNEL_OK || c->n_out < 2)
        return status;
    return gpudl_pool_indices_ref(c->in[0], &window, c->attrs->window.column_major, &c->out[1], NULL);
}

static int eval_global_pool(const Call *c, int kind)
{
    return gpudl_global_pool_ref((GpudlPoolKind)kind, c->in[0], c->out, NULL);
}

static int eval_lrn(const Call *c, int kind)
{
    const GpudlLrnAttrs *attrs = &c->attrs->lrn;

    return gpudl_lrn_ref(c->in[0], attrs->size, attrs->alpha, attrs->beta, attrs->bias, c->out, NULL);
}

static int eval_resize(const Call *c, int kind)
{
    const GpudlResizeAttrs *attrs = &c->attrs->resize;
    const GpudlResize params = {.mode = (GpudlSampleMode)attrs->mode,
                                .coordinate = (GpudlSampleCoordinate)attrs->coordinate,
                                .nearest = (GpudlSampleNearest)attrs->nearest,
                                .exclude_outside = attrs->exclude_outside,
                                .antialias = attrs->antialias,
                                .cubic_a = attrs->cubic_a};

    if (attrs->rank != c->in[0]->shape.rank)
        return GPUDL_KERNEL_SHAPE;
    return gpudl_resize_ref(c->in[0], attrs->scale, &params, c->out, NULL);
}

static int eval_batchnorm(const Call *c, int kind)
{
    return gpudl_batchnorm_ref(c->in[0], c->in[1], c->in[2], c->in[3], c->in[4], c->attrs->batch_norm.epsilon, c->out,
                               NULL);
}

static int eval_layer_norm(const Call *c, int kind)
{
    const GpudlNormAttrs *attrs = &c->attrs->norm;

    return gpudl_layer_norm_ref(c->in[0], optional(c, 1), optional(c, 2), attrs->axis, attrs->n_axes, attrs->epsilon,
                                c->out, NULL);
}

static int eval_group_norm(const Call *c, int kind)
{
    const GpudlNormAttrs *attrs = &c->attrs->norm;

    return gpudl_group_norm_ref(c->in[0], optional(c, 1), optional(c, 2), attrs->groups, attrs->epsilon, c->out, NULL);
}

static int eval_unary(const Call *c, int kind)
{
    return gpudl_unary_ref((GpudlUnaryOp)kind, &c->attrs->unary.act, c->in[0], c->out, NULL);
}

static int eval_binary(const Call *c, int kind)
{
    return gpudl_binary_ref((GpudlBinaryOp)kind, NULL, c->in[0], c->in[1], c->out, NULL);
}

static int eval_binary_act(const Call *c, int kind)
{
    return gpudl_binary_ref((GpudlBinaryOp)kind, &c->attrs->binary.act, c->in[0], c->in[1], c->out, NULL);
}

static int eval_mod(const Call *c, int kind)
{
    return eval_binary(c, c->attrs->binary.fmod ? GPUDL_BINARY_FMOD : GPUDL_BINARY_MOD);
}

static int eval_where(const Call *c, int kind)
{
    return gpudl_where_ref(c->in[0], c->in[1], c->in[2], c->out, NULL);
}

static int eval_cast(const Call *c, int kind)
{
    const GpudlCastAttrs *attrs = &c->attrs->cast;
    const GpudlCastRule rule = {attrs->saturate, (GpudlRound)attrs->round};

    return gpudl_cast_ref(c->in[0], c->out, &rule, NULL);
}

static int eval_softmax(const Call *c, int kind)
{
    return gpudl_softmax_ref((GpudlSoftmaxKind)kind, c->in[0], c->attrs->axis.axis, c->attrs->axis.flatten, c->out,
                             NULL);
}

static int eval_reduce(const Call *c, int kind)
{
    const GpudlReduceAttrs *attrs = &c->attrs->reduce;

    return gpudl_reduce_ref((GpudlReduceKind)kind, c->in[0], attrs->axes, attrs->n_axes, c->out, NULL);
}

static int eval_reshape(const Call *c, int kind)
{
    return gpudl_reshape_ref(c->in[0], c->out, NULL);
}

static int eval_transpose(const Call *c, int kind)
{
    if (c->attrs->transpose.rank != c->in[0]->shape.rank)
        return GPUDL_KERNEL_SHAPE;
    return gpudl_transpose_ref(c->in[0], c->attrs->transpose.perm, c->out, NULL);
}

static int eval_concat(const Call *c, int kind)
{
    for (uint32_t i = 0; i < c->n_in; i++)
        if (c->in[i] == NULL)
            return GPUDL_KERNEL_SHAPE;
    return gpudl_concat_ref(c->in, c->n_in, c->attrs->axis.axis, c->out, NULL);
}

static int eval_split(const Call *c, int kind)
{
    return gpudl_split_ref(c->in[0], c->attrs->axis.axis, c->out, c->n_out, NULL);
}

static int eval_slice(const Call *c, int kind)
{
    const GpudlSliceAttrs *attrs = &c->attrs->slice;

    if (attrs->rank != c->in[0]->shape.rank)
        return GPUDL_KERNEL_SHAPE;
    return gpudl_slice_ref(c->in[0], attrs->start, attrs->end, attrs->step, c->out, NULL);
}

static int eval_pad(const Call *c, int kind)
{
    static const GpudlPadding paddings[] = {
        [GPUDL_PAD_CONSTANT] = GPUDL_PADDING_CONSTANT,
        [GPUDL_PAD_REFLECT] = GPUDL_PADDING_REFLECT,
        [GPUDL_PAD_EDGE] = GPUDL_PADDING_EDGE,
        [GPUDL_PAD_WRAP] = GPUDL_PADDING_WRAP,
    };
    const GpudlPadAttrs *attrs = &c->attrs->pad;

    if (attrs->rank != c->in[0]->shape.rank || (uint32_t)attrs->mode >= sizeof paddings / sizeof paddings[0])
        return GPUDL_KERNEL_SHAPE;
    return gpudl_pad_ref(paddings[attrs->mode], c->in[0], attrs->begin, attrs->end, attrs->value, c->out, NULL);
}

static int eval_expand(const Call *c, int kind)
{
    return gpudl_expand_ref(c->in[0], c->out, NULL);
}

static int eval_gather(const Call *c, int kind)
{
    return gpudl_gather_ref(c->in[0], c->in[1], c->attrs->axis.axis, c->out, NULL);
}

static const struct {
    Eval eval;
    int kind;
} rows[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_CONV] = {eval_conv, 0},
    [GPUDL_OP_GEMM] = {eval_gemm, 0},
    [GPUDL_OP_MATMUL] = {eval_matmul, 0},
    [GPUDL_OP_MAX_POOL] = {eval_pool, GPUDL_POOL_MAX},
    [GPUDL_OP_AVERAGE_POOL] = {eval_pool, GPUDL_POOL_AVERAGE},
    [GPUDL_OP_GLOBAL_MAX_POOL] = {eval_global_pool, GPUDL_POOL_MAX},
    [GPUDL_OP_GLOBAL_AVERAGE_POOL] = {eval_global_pool, GPUDL_POOL_AVERAGE},
    [GPUDL_OP_LRN] = {eval_lrn, 0},
    [GPUDL_OP_RESIZE] = {eval_resize, 0},
    [GPUDL_OP_BATCH_NORM] = {eval_batchnorm, 0},
    [GPUDL_OP_LAYER_NORM] = {eval_layer_norm, 0},
    [GPUDL_OP_GROUP_NORM] = {eval_group_norm, 0},
    [GPUDL_OP_ACTIVATION] = {eval_unary, GPUDL_UNARY_ACTIVATION},
    [GPUDL_OP_ELU] = {eval_unary, GPUDL_UNARY_ELU},
    [GPUDL_OP_ABS] = {eval_unary, GPUDL_UNARY_ABS},
    [GPUDL_OP_NEG] = {eval_unary, GPUDL_UNARY_NEG},
    [GPUDL_OP_EXP] = {eval_unary, GPUDL_UNARY_EXP},
    [GPUDL_OP_LOG] = {eval_unary, GPUDL_UNARY_LOG},
    [GPUDL_OP_SQRT] = {eval_unary, GPUDL_UNARY_SQRT},
    [GPUDL_OP_RECIPROCAL] = {eval_unary, GPUDL_UNARY_RECIPROCAL},
    [GPUDL_OP_FLOOR] = {eval_unary, GPUDL_UNARY_FLOOR},
    [GPUDL_OP_CEIL] = {eval_unary, GPUDL_UNARY_CEIL},
    [GPUDL_OP_ROUND] = {eval_unary, GPUDL_UNARY_ROUND},
    [GPUDL_OP_ERF] = {eval_unary, GPUDL_UNARY_ERF},
    [GPUDL_OP_NOT] = {eval_unary, GPUDL_UNARY_NOT},
    [GPUDL_OP_CAST] = {eval_cast, 0},
    [GPUDL_OP_ADD] = {eval_binary_act, GPUDL_BINARY_ADD},
    [GPUDL_OP_SUB] = {eval_binary_act, GPUDL_BINARY_SUB},
    [GPUDL_OP_MUL] = {eval_binary_act, GPUDL_BINARY_MUL},
    [GPUDL_OP_DIV] = {eval_binary, GPUDL_BINARY_DIV},
    [GPUDL_OP_POW] = {eval_binary, GPUDL_BINARY_POW},
    [GPUDL_OP_MIN] = {eval_binary, GPUDL_BINARY_MIN},
    [GPUDL_OP_MAX] = {eval_binary, GPUDL_BINARY_MAX},
    [GPUDL_OP_PRELU] = {eval_binary, GPUDL_BINARY_PRELU},
    [GPUDL_OP_MOD] = {eval_mod, 0},
    [GPUDL_OP_EQUAL] = {eval_binary, GPUDL_BINARY_EQUAL},
    [GPUDL_OP_LESS] = {eval_binary, GPUDL_BINARY_LESS},
    [GPUDL_OP_LESS_OR_EQUAL] = {eval_binary, GPUDL_BINARY_LESS_OR_EQUAL},
    [GPUDL_OP_GREATER] = {eval_binary, GPUDL_BINARY_GREATER},
    [GPUDL_OP_GREATER_OR_EQUAL] = {eval_binary, GPUDL_BINARY_GREATER_OR_EQUAL},
    [GPUDL_OP_AND] = {eval_binary, GPUDL_BINARY_AND},
    [GPUDL_OP_OR] = {eval_binary, GPUDL_BINARY_OR},
    [GPUDL_OP_XOR] = {eval_binary, GPUDL_BINARY_XOR},
    [GPUDL_OP_WHERE] = {eval_where, 0},
    [GPUDL_OP_SOFTMAX] = {eval_softmax, GPUDL_SOFTMAX},
    [GPUDL_OP_LOG_SOFTMAX] = {eval_softmax, GPUDL_LOG_SOFTMAX},
    [GPUDL_OP_REDUCE_MEAN] = {eval_reduce, GPUDL_REDUCE_MEAN},
    [GPUDL_OP_REDUCE_SUM] = {eval_reduce, GPUDL_REDUCE_SUM},
    [GPUDL_OP_REDUCE_MAX] = {eval_reduce, GPUDL_REDUCE_MAX},
    [GPUDL_OP_REDUCE_MIN] = {eval_reduce, GPUDL_REDUCE_MIN},
    [GPUDL_OP_REDUCE_PROD] = {eval_reduce, GPUDL_REDUCE_PROD},
    [GPUDL_OP_RESHAPE] = {eval_reshape, 0},
    [GPUDL_OP_TRANSPOSE] = {eval_transpose, 0},
    [GPUDL_OP_CONCAT] = {eval_concat, 0},
    [GPUDL_OP_SPLIT] = {eval_split, 0},
    [GPUDL_OP_SLICE] = {eval_slice, 0},
    [GPUDL_OP_PAD] = {eval_pad, 0},
    [GPUDL_OP_EXPAND] = {eval_expand, 0},
    [GPUDL_OP_GATHER] = {eval_gather, 0},
    [GPUDL_OP_IDENTITY] = {eval_reshape, 0},
};

int gpudl_ref_call_supported(int op)
{
    return op >= 0 && op <= GPUDL_OP_LAST && rows[op].eval != NULL;
}

int gpudl_ref_call(int op, const GpudlRefCall *call)
{
    return rows[op].eval(call, rows[op].kind);
}
