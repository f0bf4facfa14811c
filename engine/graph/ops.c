/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "ops.h"

#include <math.h>
#include <string.h>

#include "kernels/narrow.h"
#include "kernels/resize.h"
#include "shape.h"

/* ---- attributes -------------------------------------------------------------------------------------------------- */

/* Far above any real window, far below what could overflow 64-bit sums of products of two. */
#define MAX_EXTENT (1 << 24)
/* Most that PAD can add to a side: more would be above the limit of a tensor's bytes anyway. */
#define MAX_PAD (G_GINT64_CONSTANT(1) << 31)

#define AT(member) offsetof(GpudlAttrs, member)
#define INT(label, member, low, high)                                                                                  \
    {                                                                                                                  \
        label, GPUDL_ATTR_INT, AT(member), 1, -1, low, high                                                            \
    }
#define BOOL(label, member) INT(label, member, 0, 1)
#define INTS(label, member, n, low, high)                                                                              \
    {                                                                                                                  \
        label, GPUDL_ATTR_INTS, AT(member), n, -1, low, high                                                           \
    }
#define INTS_USED(label, member, n, used, low, high)                                                                   \
    {                                                                                                                  \
        label, GPUDL_ATTR_INTS, AT(member), n, AT(used), low, high                                                     \
    }
#define LONGS_USED(label, member, n, used, low, high)                                                                  \
    {                                                                                                                  \
        label, GPUDL_ATTR_LONGS, AT(member), n, AT(used), low, high                                                    \
    }
#define FLOAT(label, member)                                                                                           \
    {                                                                                                                  \
        label, GPUDL_ATTR_FLOAT, AT(member), 1, -1, 0, 0                                                               \
    }
#define DOUBLE(label, member)                                                                                          \
    {                                                                                                                  \
        label, GPUDL_ATTR_DOUBLE, AT(member), 1, -1, 0, 0                                                              \
    }
#define ACT(label, member, low)                                                                                        \
    {                                                                                                                  \
        label, GPUDL_ATTR_ACT, AT(member), 1, -1, low, GPUDL_ACT_LAST                                                  \
    }
#define END                                                                                                            \
    {                                                                                                                  \
        NULL, GPUDL_ATTR_INT, 0, 0, -1, 0, 0                                                                           \
    }

#define WINDOW                                                                                                         \
    INT("n_spatial", window.n_spatial, 1, GPUDL_MAX_SPATIAL),                                                          \
        INTS("kernel", window.kernel, GPUDL_MAX_SPATIAL, 1, MAX_EXTENT),                                               \
        INTS("stride", window.stride, GPUDL_MAX_SPATIAL, 1, MAX_EXTENT),                                               \
        INTS("pad_begin", window.pad_begin, GPUDL_MAX_SPATIAL, 0, MAX_EXTENT),                                         \
        INTS("pad_end", window.pad_end, GPUDL_MAX_SPATIAL, 0, MAX_EXTENT),                                             \
        INTS("dilation", window.dilation, GPUDL_MAX_SPATIAL, 1, MAX_EXTENT)

static const GpudlAttrSpec conv_attrs[] = {WINDOW, INT("group", window.group, 1, G_MAXINT32), ACT("act", window.act, 0),
                                           END};
static const GpudlAttrSpec max_pool_attrs[] = {WINDOW, BOOL("ceil_mode", window.ceil_mode),
                                               BOOL("column_major", window.column_major), END};
static const GpudlAttrSpec average_pool_attrs[] = {WINDOW, BOOL("ceil_mode", window.ceil_mode),
                                                   BOOL("count_include_pad", window.count_include_pad), END};
static const GpudlAttrSpec gemm_attrs[] = {BOOL("trans_a", gemm.trans_a), BOOL("trans_b", gemm.trans_b),
                                           FLOAT("alpha", gemm.alpha),    FLOAT("beta", gemm.beta),
                                           ACT("act", gemm.act, 0),       END};
static const GpudlAttrSpec lrn_attrs[] = {INT("size", lrn.size, 1, MAX_EXTENT), FLOAT("alpha", lrn.alpha),
                                          FLOAT("beta", lrn.beta), FLOAT("bias", lrn.bias), END};
static const GpudlAttrSpec batch_norm_attrs[] = {FLOAT("epsilon", batch_norm.epsilon), END};
static const GpudlAttrSpec layer_norm_attrs[] = {INT("axis", norm.axis, 1, GPUDL_MAX_RANK - 1),
                                                 INT("n_axes", norm.n_axes, 1, GPUDL_MAX_RANK - 1),
                                                 FLOAT("epsilon", norm.epsilon), END};
static const GpudlAttrSpec group_norm_attrs[] = {INT("groups", norm.groups, 1, G_MAXINT32),
                                                 FLOAT("epsilon", norm.epsilon), END};
static const GpudlAttrSpec activation_attrs[] = {ACT("act", unary.act, GPUDL_ACT_RELU), END};
static const GpudlAttrSpec elu_attrs[] = {FLOAT("alpha", unary.act.alpha), END};
static const GpudlAttrSpec cast_attrs[] = {INT("to", cast.to, GPUDL_DTYPE_F32, GPUDL_DTYPE_LAST),
                                           BOOL("saturate", cast.saturate),
                                           INT("round", cast.round, 0, GPUDL_ROUND_LAST), END};
static const GpudlAttrSpec sum_attrs[] = {ACT("act", binary.act, 0), END};
static const GpudlAttrSpec mod_attrs[] = {BOOL("fmod", binary.fmod), END};
static const GpudlAttrSpec softmax_attrs[] = {INT("axis", axis.axis, 0, GPUDL_MAX_RANK - 1),
                                              BOOL("flatten", axis.flatten), END};
static const GpudlAttrSpec axis_attrs[] = {INT("axis", axis.axis, 0, GPUDL_MAX_RANK - 1), END};
static const GpudlAttrSpec split_attrs[] = {
    INT("axis", axis.axis, 0, GPUDL_MAX_RANK - 1), INT("n_sizes", axis.n_sizes, 1, GPUDL_MAX_OUTPUTS),
    LONGS_USED("sizes", axis.sizes, GPUDL_MAX_OUTPUTS, axis.n_sizes, 0, G_MAXINT64), END};
static const GpudlAttrSpec reduce_attrs[] = {
    INT("n_axes", reduce.n_axes, 0, GPUDL_MAX_RANK),
    INTS_USED("axes", reduce.axes, GPUDL_MAX_RANK, reduce.n_axes, 0, GPUDL_MAX_RANK - 1),
    BOOL("keepdims", reduce.keepdims), END};
static const GpudlAttrSpec reshape_attrs[] = {
    INT("rank", shape.rank, 0, GPUDL_MAX_RANK),
    LONGS_USED("dims", shape.dims, GPUDL_MAX_RANK, shape.rank, -1, G_MAXINT64), END};
static const GpudlAttrSpec expand_attrs[] = {INT("rank", shape.rank, 0, GPUDL_MAX_RANK),
                                             LONGS_USED("dims", shape.dims, GPUDL_MAX_RANK, shape.rank, 0, G_MAXINT64),
                                             END};
static const GpudlAttrSpec transpose_attrs[] = {
    INT("rank", transpose.rank, 0, GPUDL_MAX_RANK),
    INTS_USED("perm", transpose.perm, GPUDL_MAX_RANK, transpose.rank, 0, GPUDL_MAX_RANK - 1), END};
static const GpudlAttrSpec slice_attrs[] = {
    INT("rank", slice.rank, 0, GPUDL_MAX_RANK),
    LONGS_USED("start", slice.start, GPUDL_MAX_RANK, slice.rank, G_MININT64, G_MAXINT64),
    LONGS_USED("end", slice.end, GPUDL_MAX_RANK, slice.rank, G_MININT64, G_MAXINT64),
    LONGS_USED("step", slice.step, GPUDL_MAX_RANK, slice.rank, G_MININT64, G_MAXINT64), END};
static const GpudlAttrSpec pad_attrs[] = {INT("rank", pad.rank, 0, GPUDL_MAX_RANK),
                                          INT("mode", pad.mode, GPUDL_PAD_CONSTANT, GPUDL_PAD_WRAP),
                                          LONGS_USED("begin", pad.begin, GPUDL_MAX_RANK, pad.rank, -MAX_PAD, MAX_PAD),
                                          LONGS_USED("end", pad.end, GPUDL_MAX_RANK, pad.rank, -MAX_PAD, MAX_PAD),
                                          DOUBLE("value", pad.value),
                                          END};

static const GpudlAttrSpec resize_attrs[] = {
    INT("rank", resize.rank, 0, GPUDL_MAX_RANK),
    INT("mode", resize.mode, 0, GPUDL_SAMPLE_CUBIC),
    INT("coordinate", resize.coordinate, 0, GPUDL_SAMPLE_TF_HALF_PIXEL),
    INT("nearest", resize.nearest, 0, GPUDL_SAMPLE_CEIL),
    BOOL("exclude_outside", resize.exclude_outside),
    BOOL("antialias", resize.antialias),
    FLOAT("cubic_a", resize.cubic_a),
    LONGS_USED("sizes", resize.sizes, GPUDL_MAX_RANK, resize.rank, 0, G_MAXINT32),
    DOUBLE("scale0", resize.scale[0]),
    DOUBLE("scale1", resize.scale[1]),
    DOUBLE("scale2", resize.scale[2]),
    DOUBLE("scale3", resize.scale[3]),
    DOUBLE("scale4", resize.scale[4]),
    DOUBLE("scale5", resize.scale[5]),
    END};

/* ---- operators --------------------------------------------------------------------------------------------------- */

#define ROW(id, label, in_min, in_max, attrs, rule)                                                                    \
    [GPUDL_OP_##id] = {GPUDL_OP_##id, label, in_min, in_max, 1, 1, attrs, rule}
#define UNARY(id, label) ROW(id, label, 1, 1, NULL, gpudl_infer_unary)
#define BINARY(id, label) ROW(id, label, 2, 2, NULL, gpudl_infer_binary)
#define REDUCE(id, label) ROW(id, label, 1, 1, reduce_attrs, gpudl_infer_reduce)

static gboolean infer_none(GpudlNode *node, GError **error)
{
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "no operator");
}

static const GpudlOpInfo ops[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_NONE] = {GPUDL_OP_NONE, "None", 0, G_MAXUINT, 0, GPUDL_MAX_OUTPUTS, NULL, infer_none},
    ROW(CONV, "Conv", 2, 4, conv_attrs, gpudl_infer_conv),
    ROW(GEMM, "Gemm", 2, 3, gemm_attrs, gpudl_infer_gemm),
    ROW(MATMUL, "MatMul", 2, 2, NULL, gpudl_infer_matmul),
    [GPUDL_OP_MAX_POOL] = {GPUDL_OP_MAX_POOL, "MaxPool", 1, 1, 1, 2, max_pool_attrs, gpudl_infer_pool},
    ROW(AVERAGE_POOL, "AveragePool", 1, 1, average_pool_attrs, gpudl_infer_pool),
    ROW(GLOBAL_MAX_POOL, "GlobalMaxPool", 1, 1, NULL, gpudl_infer_global_pool),
    ROW(GLOBAL_AVERAGE_POOL, "GlobalAveragePool", 1, 1, NULL, gpudl_infer_global_pool),
    ROW(LRN, "LRN", 1, 1, lrn_attrs, gpudl_infer_lrn),
    ROW(RESIZE, "Resize", 1, 1, resize_attrs, gpudl_infer_resize),
    ROW(BATCH_NORM, "BatchNorm", 5, 5, batch_norm_attrs, gpudl_infer_batch_norm),
    ROW(LAYER_NORM, "LayerNorm", 1, 3, layer_norm_attrs, gpudl_infer_layer_norm),
    ROW(GROUP_NORM, "GroupNorm", 1, 3, group_norm_attrs, gpudl_infer_group_norm),
    ROW(ACTIVATION, "Activation", 1, 1, activation_attrs, gpudl_infer_unary),
    ROW(ELU, "Elu", 1, 1, elu_attrs, gpudl_infer_unary),
    UNARY(ABS, "Abs"),
    UNARY(NEG, "Neg"),
    UNARY(EXP, "Exp"),
    UNARY(LOG, "Log"),
    UNARY(SQRT, "Sqrt"),
    UNARY(RECIPROCAL, "Reciprocal"),
    UNARY(FLOOR, "Floor"),
    UNARY(CEIL, "Ceil"),
    UNARY(ROUND, "Round"),
    UNARY(ERF, "Erf"),
    UNARY(NOT, "Not"),
    ROW(CAST, "Cast", 1, 1, cast_attrs, gpudl_infer_cast),
    ROW(ADD, "Add", 2, 2, sum_attrs, gpudl_infer_binary),
    ROW(SUB, "Sub", 2, 2, sum_attrs, gpudl_infer_binary),
    ROW(MUL, "Mul", 2, 2, sum_attrs, gpudl_infer_binary),
    BINARY(DIV, "Div"),
    BINARY(POW, "Pow"),
    BINARY(MIN, "Min"),
    BINARY(MAX, "Max"),
    ROW(PRELU, "PRelu", 2, 2, NULL, gpudl_infer_prelu),
    ROW(MOD, "Mod", 2, 2, mod_attrs, gpudl_infer_binary),
    BINARY(EQUAL, "Equal"),
    BINARY(LESS, "Less"),
    BINARY(LESS_OR_EQUAL, "LessOrEqual"),
    BINARY(GREATER, "Greater"),
    BINARY(GREATER_OR_EQUAL, "GreaterOrEqual"),
    BINARY(AND, "And"),
    BINARY(OR, "Or"),
    BINARY(XOR, "Xor"),
    ROW(WHERE, "Where", 3, 3, NULL, gpudl_infer_where),
    ROW(SOFTMAX, "Softmax", 1, 1, softmax_attrs, gpudl_infer_softmax),
    ROW(LOG_SOFTMAX, "LogSoftmax", 1, 1, softmax_attrs, gpudl_infer_softmax),
    REDUCE(REDUCE_MEAN, "ReduceMean"),
    REDUCE(REDUCE_SUM, "ReduceSum"),
    REDUCE(REDUCE_MAX, "ReduceMax"),
    REDUCE(REDUCE_MIN, "ReduceMin"),
    REDUCE(REDUCE_PROD, "ReduceProd"),
    ROW(RESHAPE, "Reshape", 1, 1, reshape_attrs, gpudl_infer_reshape),
    ROW(TRANSPOSE, "Transpose", 1, 1, transpose_attrs, gpudl_infer_transpose),
    ROW(CONCAT, "Concat", 1, G_MAXUINT, axis_attrs, gpudl_infer_concat),
    [GPUDL_OP_SPLIT] = {GPUDL_OP_SPLIT, "Split", 1, 1, 1, GPUDL_MAX_OUTPUTS, split_attrs, gpudl_infer_split},
    ROW(SLICE, "Slice", 1, 1, slice_attrs, gpudl_infer_slice),
    ROW(PAD, "Pad", 1, 1, pad_attrs, gpudl_infer_pad),
    ROW(EXPAND, "Expand", 1, 1, expand_attrs, gpudl_infer_expand),
    ROW(GATHER, "Gather", 2, 2, axis_attrs, gpudl_infer_gather),
    ROW(IDENTITY, "Identity", 1, 1, NULL, gpudl_infer_identity),
};

const GpudlOpInfo *gpudl_op_info(GpudlOp op)
{
    return &ops[(guint)op <= GPUDL_OP_LAST ? op : GPUDL_OP_NONE];
}

const GpudlOpInfo *gpudl_op_find(const gchar *name)
{
    for (guint i = GPUDL_OP_NONE + 1; i <= GPUDL_OP_LAST; i++)
        if (g_strcmp0(ops[i].name, name) == 0)
            return &ops[i];
    return NULL;
}

/* ---- checks ------------------------------------------------------------------------------------------------------ */

static gboolean check_arity(const GpudlNode *node, const GpudlOpInfo *info, GError **error)
{
    guint present = info->max_inputs == G_MAXUINT ? node->n_inputs : info->min_inputs;

    if (node->n_inputs < info->min_inputs || node->n_inputs > info->max_inputs) {
        if (info->max_inputs == G_MAXUINT)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%u inputs, expected at least %u", node->n_inputs,
                                   info->min_inputs);
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%u inputs, expected %u to %u", node->n_inputs,
                               info->min_inputs, info->max_inputs);
    }
    if (node->n_outputs < info->min_outputs || node->n_outputs > info->max_outputs)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "%u outputs, expected %u to %u", node->n_outputs,
                               info->min_outputs, info->max_outputs);
    for (guint i = 0; i < present; i++)
        if (node->inputs[i] == NULL)
            return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "input %u is absent", i);
    return TRUE;
}

static gboolean check_integer(const GpudlNode *node, const GpudlAttrSpec *spec, guint i, gint64 value, GError **error)
{
    g_autofree gchar *index = NULL;

    if (value >= spec->min && value <= spec->max)
        return TRUE;
    index = spec->count > 1 ? g_strdup_printf("[%u]", i) : g_strdup("");
    return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error,
                           "attribute %s%s is %" G_GINT64_FORMAT ", expected %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT,
                           spec->name, index, value, spec->min, spec->max);
}

static gboolean check_act(const GpudlNode *node, const GpudlAttrSpec *spec, const GpudlAct *act, GError **error)
{
    if (!check_integer(node, spec, 0, (gint64)act->kind, error))
        return FALSE;
    if (isnan(act->alpha) || isnan(act->beta))
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "a parameter of attribute %s is not a number",
                               spec->name);
    if (act->kind == GPUDL_ACT_CLIP && act->alpha > act->beta)
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "clips to at least %g and at most %g",
                               (double)act->alpha, (double)act->beta);
    return TRUE;
}

static gboolean check_attr(const GpudlNode *node, const GpudlAttrSpec *spec, GError **error)
{
    const guint8 *base = (const guint8 *)&node->attrs, *at = base + spec->offset;
    guint count = spec->count;

    if (spec->count_offset >= 0) {
        gint32 used = *(const gint32 *)(base + spec->count_offset);

        /* the count is an attribute of its own, before this one in the list, and has passed */
        count = (guint)CLAMP(used, 0, (gint32)spec->count);
    }
    switch (spec->type) {
    case GPUDL_ATTR_INT:
    case GPUDL_ATTR_INTS:
        for (guint i = 0; i < count; i++)
            if (!check_integer(node, spec, i, ((const gint32 *)at)[i], error))
                return FALSE;
        return TRUE;
    case GPUDL_ATTR_LONGS:
        for (guint i = 0; i < count; i++)
            if (!check_integer(node, spec, i, ((const gint64 *)at)[i], error))
                return FALSE;
        return TRUE;
    case GPUDL_ATTR_FLOAT:
        if (isfinite(*(const float *)at))
            return TRUE;
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "attribute %s is %g, expected a finite number",
                               spec->name, (double)*(const float *)at);
    case GPUDL_ATTR_DOUBLE: /* infinities are padding for MAX_POOL */
        if (!isnan(*(const double *)at))
            return TRUE;
        return gpudl_node_fail(node, GPUDL_ERROR_FORMAT, error, "attribute %s is not a number", spec->name);
    case GPUDL_ATTR_ACT:
        return check_act(node, spec, (const GpudlAct *)at, error);
    }
    g_return_val_if_reached(FALSE);
}

gboolean gpudl_op_check(const GpudlNode *node, GError **error)
{
    const GpudlOpInfo *info = gpudl_op_info(node->op);

    if (!check_arity(node, info, error))
        return FALSE;
    for (const GpudlAttrSpec *spec = info->attrs; spec != NULL && spec->name != NULL; spec++)
        if (!check_attr(node, spec, error))
            return FALSE;
    return TRUE;
}
