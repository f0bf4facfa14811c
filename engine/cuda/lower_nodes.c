/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which function lowers which operator, and what is refused. */
#include "engine/module.h"
#include "lower.h"

/* The types that an operator's tensors may have. */
enum { FLOATS = 0, NUMBERS, ANY };

/* name: as in listings, for messages. lower NULL: can't be run here. */
static const struct {
    const char *name;
    CudaLower *lower;
    int types;
} rows[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_NONE] = {"None", NULL, FLOATS},
    [GPUDL_OP_CONV] = {"Conv", cuda_lower_conv, FLOATS},
    [GPUDL_OP_GEMM] = {"Gemm", cuda_lower_gemm, NUMBERS},
    [GPUDL_OP_MATMUL] = {"MatMul", cuda_lower_matmul, NUMBERS},
    [GPUDL_OP_MAX_POOL] = {"MaxPool", cuda_lower_pool, NUMBERS},
    [GPUDL_OP_AVERAGE_POOL] = {"AveragePool", cuda_lower_pool, FLOATS},
    [GPUDL_OP_GLOBAL_MAX_POOL] = {"GlobalMaxPool", cuda_lower_global_pool, FLOATS},
    [GPUDL_OP_GLOBAL_AVERAGE_POOL] = {"GlobalAveragePool", cuda_lower_global_pool, FLOATS},
    [GPUDL_OP_LRN] = {"Lrn", cuda_lower_lrn, FLOATS},
    [GPUDL_OP_RESIZE] = {"Resize", cuda_lower_resize, ANY},
    [GPUDL_OP_BATCH_NORM] = {"BatchNorm", cuda_lower_batch_norm, FLOATS},
    [GPUDL_OP_LAYER_NORM] = {"LayerNorm", cuda_lower_layer_norm, FLOATS},
    [GPUDL_OP_GROUP_NORM] = {"GroupNorm", cuda_lower_group_norm, FLOATS},
    [GPUDL_OP_ACTIVATION] = {"Activation", cuda_lower_unary, NUMBERS},
    [GPUDL_OP_ELU] = {"Elu", cuda_lower_unary, FLOATS},
    [GPUDL_OP_ABS] = {"Abs", cuda_lower_unary, NUMBERS},
    [GPUDL_OP_NEG] = {"Neg", cuda_lower_unary, NUMBERS},
    [GPUDL_OP_EXP] = {"Exp", cuda_lower_unary, FLOATS},
    [GPUDL_OP_LOG] = {"Log", cuda_lower_unary, FLOATS},
    [GPUDL_OP_SQRT] = {"Sqrt", cuda_lower_unary, FLOATS},
    [GPUDL_OP_RECIPROCAL] = {"Reciprocal", cuda_lower_unary, FLOATS},
    [GPUDL_OP_FLOOR] = {"Floor", cuda_lower_unary, FLOATS},
    [GPUDL_OP_CEIL] = {"Ceil", cuda_lower_unary, FLOATS},
    [GPUDL_OP_ROUND] = {"Round", cuda_lower_unary, FLOATS},
    [GPUDL_OP_ERF] = {"Erf", cuda_lower_unary, FLOATS},
    [GPUDL_OP_NOT] = {"Not", cuda_lower_typed_unary, NUMBERS},
    [GPUDL_OP_CAST] = {"Cast", cuda_lower_cast, ANY},
    [GPUDL_OP_ADD] = {"Add", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_SUB] = {"Sub", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_MUL] = {"Mul", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_DIV] = {"Div", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_POW] = {"Pow", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_MIN] = {"Min", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_MAX] = {"Max", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_PRELU] = {"PRelu", cuda_lower_binary, NUMBERS},
    [GPUDL_OP_MOD] = {"Mod", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_EQUAL] = {"Equal", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_LESS] = {"Less", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_LESS_OR_EQUAL] = {"LessOrEqual", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_GREATER] = {"Greater", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_GREATER_OR_EQUAL] = {"GreaterOrEqual", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_AND] = {"And", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_OR] = {"Or", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_XOR] = {"Xor", cuda_lower_typed_binary, NUMBERS},
    [GPUDL_OP_WHERE] = {"Where", cuda_lower_where, ANY},
    [GPUDL_OP_SOFTMAX] = {"Softmax", cuda_lower_softmax, FLOATS},
    [GPUDL_OP_LOG_SOFTMAX] = {"LogSoftmax", cuda_lower_softmax, FLOATS},
    [GPUDL_OP_REDUCE_MEAN] = {"ReduceMean", cuda_lower_reduce, NUMBERS},
    [GPUDL_OP_REDUCE_SUM] = {"ReduceSum", cuda_lower_reduce, NUMBERS},
    [GPUDL_OP_REDUCE_MAX] = {"ReduceMax", cuda_lower_reduce, NUMBERS},
    [GPUDL_OP_REDUCE_MIN] = {"ReduceMin", cuda_lower_reduce, NUMBERS},
    [GPUDL_OP_REDUCE_PROD] = {"ReduceProd", cuda_lower_reduce, NUMBERS},
    [GPUDL_OP_RESHAPE] = {"Reshape", cuda_lower_reshape, ANY},
    [GPUDL_OP_TRANSPOSE] = {"Transpose", cuda_lower_transpose, ANY},
    [GPUDL_OP_CONCAT] = {"Concat", cuda_lower_concat, ANY},
    [GPUDL_OP_SPLIT] = {"Split", cuda_lower_split, ANY},
    [GPUDL_OP_SLICE] = {"Slice", cuda_lower_slice, ANY},
    [GPUDL_OP_PAD] = {"Pad", cuda_lower_pad, ANY},
    [GPUDL_OP_EXPAND] = {"Expand", cuda_lower_expand, ANY},
    [GPUDL_OP_GATHER] = {"Gather", cuda_lower_gather, ANY},
    [GPUDL_OP_IDENTITY] = {"Identity", cuda_lower_identity, ANY},
};

static int takes(int types, GpudlDType dtype)
{
    return types == ANY || cuda_is_float(dtype) || (types == NUMBERS && cuda_is_integer(dtype));
}

static int is_empty(const CudaCompiler *c, int32_t tensor)
{
    return gpudl_shape_elements(&cuda_tensor(c, tensor)->shape) == 0;
}

static int check_tensors(CudaCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        const int32_t tensor = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];

        if (tensor < 0)
            continue;
        if (!takes(rows[node->op].types, cuda_tensor(c, tensor)->dtype))
            return cuda_refuse(c, "'%s' is %s, expected %s", cuda_tensor(c, tensor)->name,
                               gpudl_dtype_name(cuda_tensor(c, tensor)->dtype),
                               rows[node->op].types == FLOATS ? "float32" : "float32 or integers of 8 bits and more");
        if (is_empty(c, tensor) && node->op != GPUDL_OP_CONCAT && node->op != GPUDL_OP_SPLIT &&
            node->op != GPUDL_OP_PAD)
            return cuda_refuse(c, "'%s' is empty", cuda_tensor(c, tensor)->name);
    }
    return 1;
}

/* A node that makes nothing has nothing to do. */
static int makes_nothing(CudaCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_outputs; i++)
        if (!is_empty(c, node->outputs[i]))
            return 0;
    for (uint32_t i = 0; i < node->n_outputs; i++)
        cuda_define(c, node->outputs[i]);
    return 1;
}

void cuda_lower_node(CudaCompiler *c, const GpudlPlanNode *node)
{
    if (node->op <= GPUDL_OP_NONE || node->op > GPUDL_OP_LAST) {
        cuda_compiler_fail(c, GPUDL_STATUS_UNSUPPORTED, "node '%s': operator %d is not known", node->name, node->op);
        return;
    }
    c->op_name = rows[node->op].name;
    if (cuda_is_shuffle(c, c->node))
        cuda_lower_shuffle(c, node);
    else if (rows[node->op].lower == NULL)
        cuda_refuse(c, "there is no kernel for this operator yet");
    else if (!makes_nothing(c, node) && check_tensors(c, node))
        rows[node->op].lower(c, node);
}
