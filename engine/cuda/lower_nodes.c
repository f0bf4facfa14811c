/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Which function lowers which operator, and what is refused. */
#include "engine/module.h"
#include "lower.h"

/* name: as in listings, for messages. lower NULL: can't be run here. */
static const struct {
    const char *name;
    CudaLower *lower;
} rows[GPUDL_OP_LAST + 1] = {
    [GPUDL_OP_NONE] = {"None", NULL},
    [GPUDL_OP_CONV] = {"Conv", cuda_lower_conv},
    [GPUDL_OP_GEMM] = {"Gemm", cuda_lower_gemm},
    [GPUDL_OP_MATMUL] = {"MatMul", cuda_lower_matmul},
    [GPUDL_OP_MAX_POOL] = {"MaxPool", cuda_lower_pool},
    [GPUDL_OP_AVERAGE_POOL] = {"AveragePool", cuda_lower_pool},
    [GPUDL_OP_GLOBAL_MAX_POOL] = {"GlobalMaxPool", cuda_lower_global_pool},
    [GPUDL_OP_GLOBAL_AVERAGE_POOL] = {"GlobalAveragePool", cuda_lower_global_pool},
    [GPUDL_OP_LRN] = {"Lrn", NULL},
    [GPUDL_OP_BATCH_NORM] = {"BatchNorm", cuda_lower_batch_norm},
    [GPUDL_OP_LAYER_NORM] = {"LayerNorm", cuda_lower_layer_norm},
    [GPUDL_OP_GROUP_NORM] = {"GroupNorm", cuda_lower_group_norm},
    [GPUDL_OP_ACTIVATION] = {"Activation", cuda_lower_unary},
    [GPUDL_OP_ELU] = {"Elu", cuda_lower_unary},
    [GPUDL_OP_ABS] = {"Abs", cuda_lower_unary},
    [GPUDL_OP_NEG] = {"Neg", cuda_lower_unary},
    [GPUDL_OP_EXP] = {"Exp", cuda_lower_unary},
    [GPUDL_OP_LOG] = {"Log", cuda_lower_unary},
    [GPUDL_OP_SQRT] = {"Sqrt", cuda_lower_unary},
    [GPUDL_OP_RECIPROCAL] = {"Reciprocal", cuda_lower_unary},
    [GPUDL_OP_FLOOR] = {"Floor", cuda_lower_unary},
    [GPUDL_OP_CEIL] = {"Ceil", cuda_lower_unary},
    [GPUDL_OP_ROUND] = {"Round", cuda_lower_unary},
    [GPUDL_OP_ERF] = {"Erf", cuda_lower_unary},
    [GPUDL_OP_NOT] = {"Not", NULL},
    [GPUDL_OP_CAST] = {"Cast", NULL},
    [GPUDL_OP_ADD] = {"Add", cuda_lower_binary},
    [GPUDL_OP_SUB] = {"Sub", cuda_lower_binary},
    [GPUDL_OP_MUL] = {"Mul", cuda_lower_binary},
    [GPUDL_OP_DIV] = {"Div", cuda_lower_binary},
    [GPUDL_OP_POW] = {"Pow", cuda_lower_binary},
    [GPUDL_OP_MIN] = {"Min", cuda_lower_binary},
    [GPUDL_OP_MAX] = {"Max", cuda_lower_binary},
    [GPUDL_OP_PRELU] = {"PRelu", cuda_lower_binary},
    [GPUDL_OP_MOD] = {"Mod", NULL},
    [GPUDL_OP_EQUAL] = {"Equal", NULL},
    [GPUDL_OP_LESS] = {"Less", NULL},
    [GPUDL_OP_LESS_OR_EQUAL] = {"LessOrEqual", NULL},
    [GPUDL_OP_GREATER] = {"Greater", NULL},
    [GPUDL_OP_GREATER_OR_EQUAL] = {"GreaterOrEqual", NULL},
    [GPUDL_OP_AND] = {"And", NULL},
    [GPUDL_OP_OR] = {"Or", NULL},
    [GPUDL_OP_XOR] = {"Xor", NULL},
    [GPUDL_OP_WHERE] = {"Where", NULL},
    [GPUDL_OP_SOFTMAX] = {"Softmax", cuda_lower_softmax},
    [GPUDL_OP_LOG_SOFTMAX] = {"LogSoftmax", NULL},
    [GPUDL_OP_REDUCE_MEAN] = {"ReduceMean", cuda_lower_reduce},
    [GPUDL_OP_REDUCE_SUM] = {"ReduceSum", cuda_lower_reduce},
    [GPUDL_OP_REDUCE_MAX] = {"ReduceMax", cuda_lower_reduce},
    [GPUDL_OP_REDUCE_MIN] = {"ReduceMin", cuda_lower_reduce},
    [GPUDL_OP_REDUCE_PROD] = {"ReduceProd", cuda_lower_reduce},
    [GPUDL_OP_RESHAPE] = {"Reshape", cuda_lower_reshape},
    [GPUDL_OP_TRANSPOSE] = {"Transpose", cuda_lower_transpose},
    [GPUDL_OP_CONCAT] = {"Concat", cuda_lower_concat},
    [GPUDL_OP_SPLIT] = {"Split", cuda_lower_split},
    [GPUDL_OP_SLICE] = {"Slice", cuda_lower_slice},
    [GPUDL_OP_PAD] = {"Pad", NULL},
    [GPUDL_OP_EXPAND] = {"Expand", cuda_lower_expand},
    [GPUDL_OP_GATHER] = {"Gather", NULL},
    [GPUDL_OP_IDENTITY] = {"Identity", cuda_lower_identity},
};

int cuda_refuse(CudaCompiler *c, const char *format, ...)
{
    const GpudlPlanNode *node = &c->plan->nodes[c->node];
    char why[256];
    va_list args;

    va_start(args, format);
    vsnprintf(why, sizeof why, format, args);
    va_end(args);
    cuda_compiler_fail(c, GPUDL_STATUS_UNSUPPORTED, "backend cuda can't run node '%s' (%s): %s; use backend cpu",
                       node->name, rows[node->op].name, why);
    return 0;
}

/* Everything that is computed here is float32 in the plan. */
static int check_types(CudaCompiler *c, const GpudlPlanNode *node)
{
    for (uint32_t i = 0; i < node->n_inputs + node->n_outputs; i++) {
        const int32_t tensor = i < node->n_inputs ? node->inputs[i] : node->outputs[i - node->n_inputs];

        if (tensor >= 0 && cuda_tensor(c, tensor)->dtype != GPUDL_DTYPE_F32)
            return cuda_refuse(c, "'%s' is %s, expected float32", cuda_tensor(c, tensor)->name,
                               gpudl_dtype_name(cuda_tensor(c, tensor)->dtype));
        if (tensor >= 0 && gpudl_shape_elements(&cuda_tensor(c, tensor)->shape) == 0)
            return cuda_refuse(c, "'%s' is empty", cuda_tensor(c, tensor)->name);
    }
    return 1;
}

void cuda_lower_node(CudaCompiler *c, const GpudlPlanNode *node)
{
    if (node->op <= GPUDL_OP_NONE || node->op > GPUDL_OP_LAST) {
        cuda_compiler_fail(c, GPUDL_STATUS_UNSUPPORTED, "node '%s': operator %d is not known", node->name, node->op);
        return;
    }
    if (rows[node->op].lower == NULL)
        cuda_refuse(c, "there is no kernel for this operator yet");
    else if (check_types(c, node))
        rows[node->op].lower(c, node);
}
