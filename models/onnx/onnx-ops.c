/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The operators that are taken. A row's first opset is 1 where nothing changed since before the oldest one taken. */
#include <string.h>

#include "onnx-internal.h"

#define ANY G_MAXUINT
#define POOL "auto_pad:s ceil_mode:i count_include_pad:i dilations:I kernel_shape:I pads:I storage_order:i strides:I"
#define MS "com.microsoft."
#define CONV "auto_pad:s dilations:I group:i kernel_shape:I pads:I strides:I"
#define REDUCE_ATTR "axes:I keepdims:i"
#define REDUCE_INPUT "keepdims:i noop_with_empty_axes:i"
#define RESIZE                                                                                                         \
    "antialias:i axes:I coordinate_transformation_mode:s cubic_coeff_a:f exclude_outside:i extrapolation_value:f "     \
    "keep_aspect_ratio_policy:s mode:s nearest_mode:s"
/* A reduction takes its axes as an attribute up to opset `last`, then as an input. */
#define REDUCE(name, last, map, op)                                                                                    \
    {name, 1, last, 1, 1, 1, REDUCE_ATTR, map, op},                                                                    \
    {                                                                                                                  \
        name, (last) + 1, 0, 1, 2, 1, REDUCE_INPUT, map, op                                                            \
    }
#define UNARY(name, since, op)                                                                                         \
    {                                                                                                                  \
        name, since, 0, 1, 1, 1, "", onnx_map_direct, op                                                               \
    }
#define BINARY(name, since, op)                                                                                        \
    {                                                                                                                  \
        name, since, 0, 2, 2, 1, "", onnx_map_direct, op                                                               \
    }

static const OnnxOp ops[] = {
    /* name, since, until, inputs, outputs, attributes, mapping, operator */
    UNARY("Abs", 1, GPUDL_OP_ABS),
    BINARY("Add", 7, GPUDL_OP_ADD),
    BINARY("And", 7, GPUDL_OP_AND),
    {"AveragePool", 1, 0, 1, 1, 1, POOL, onnx_map_pool, GPUDL_OP_AVERAGE_POOL},
    {"BatchNormalization", 7, 13, 5, 5, 5, "epsilon:f momentum:f spatial:i", onnx_map_batch_norm, GPUDL_OP_BATCH_NORM},
    {"BatchNormalization", 14, 0, 5, 5, 3, "epsilon:f momentum:f training_mode:i", onnx_map_batch_norm,
     GPUDL_OP_BATCH_NORM},
    {"Cast", 6, 0, 1, 1, 1, "round_mode:s saturate:i to:i", onnx_map_cast, GPUDL_OP_CAST},
    {"CastLike", 15, 0, 2, 2, 1, "round_mode:s saturate:i", onnx_map_cast_like, GPUDL_OP_CAST},
    UNARY("Ceil", 1, GPUDL_OP_CEIL),
    {"Celu", 12, 0, 1, 1, 1, "alpha:f", onnx_map_celu, GPUDL_OP_ELU},
    {"Clip", 1, 10, 1, 1, 1, "max:f min:f", onnx_map_clip, GPUDL_OP_ACTIVATION},
    {"Clip", 11, 0, 1, 3, 1, "", onnx_map_clip, GPUDL_OP_ACTIVATION},
    {"Col2Im", 18, 0, 3, 3, 1, "dilations:I pads:I strides:I", onnx_map_col2im, GPUDL_OP_NONE},
    {"Concat", 4, 0, 1, ANY, 1, "axis:i", onnx_map_concat, GPUDL_OP_CONCAT},
    {"Constant", 1, 0, 0, 0, 1, "value:t value_float:f value_floats:F value_int:i value_ints:I", onnx_map_constant,
     GPUDL_OP_NONE},
    {"ConstantOfShape", 9, 0, 1, 1, 1, "value:t", onnx_map_constant_of_shape, GPUDL_OP_EXPAND},
    {"Conv", 1, 0, 2, 3, 1, CONV, onnx_map_conv, GPUDL_OP_CONV},
    {"ConvInteger", 10, 0, 2, 4, 1, CONV, onnx_map_conv_integer, GPUDL_OP_CONV},
    {"ConvTranspose", 1, 0, 2, 3, 1, CONV " output_padding:I output_shape:I", onnx_map_conv_transpose, GPUDL_OP_CONV},
    {"Cos", 7, 0, 1, 1, 1, "", onnx_map_trigonometric, GPUDL_OP_NONE},
    {"CumSum", 11, 0, 2, 2, 1, "exclusive:i reverse:i", onnx_map_cum_sum, GPUDL_OP_NONE},
    {"DepthToSpace", 1, 0, 1, 1, 1, "blocksize:i mode:s", onnx_map_depth_to_space, GPUDL_OP_TRANSPOSE},
    {"DequantizeLinear", 10, 12, 2, 3, 1, "", onnx_map_dequantize_linear, GPUDL_OP_MUL},
    {"DequantizeLinear", 13, 0, 2, 3, 1, "axis:i block_size:i output_dtype:i", onnx_map_dequantize_linear,
     GPUDL_OP_MUL},
    BINARY("Div", 7, GPUDL_OP_DIV),
    {"Dropout", 7, 11, 1, 1, 2, "ratio:f", onnx_map_dropout, GPUDL_OP_IDENTITY},
    {"Dropout", 12, 0, 1, 3, 2, "seed:i", onnx_map_dropout, GPUDL_OP_IDENTITY},
    {"DynamicQuantizeLinear", 11, 0, 1, 1, 3, "", onnx_map_dynamic_quantize, GPUDL_OP_CAST},
    {"Einsum", 12, 0, 1, ANY, 1, "equation:s", onnx_map_einsum, GPUDL_OP_MATMUL},
    {"Elu", 1, 0, 1, 1, 1, "alpha:f", onnx_map_elu, GPUDL_OP_ELU},
    BINARY("Equal", 7, GPUDL_OP_EQUAL),
    UNARY("Erf", 9, GPUDL_OP_ERF),
    UNARY("Exp", 1, GPUDL_OP_EXP),
    {"Expand", 8, 0, 2, 2, 1, "", onnx_map_expand, GPUDL_OP_EXPAND},
    {"EyeLike", 9, 0, 1, 1, 1, "dtype:i k:i", onnx_map_eye_like, GPUDL_OP_NONE},
    {"Flatten", 1, 0, 1, 1, 1, "axis:i", onnx_map_flatten, GPUDL_OP_RESHAPE},
    UNARY("Floor", 1, GPUDL_OP_FLOOR),
    {"Gather", 1, 0, 2, 2, 1, "axis:i", onnx_map_gather, GPUDL_OP_GATHER},
    {"GatherND", 11, 0, 2, 2, 1, "batch_dims:i", onnx_map_gather_nd, GPUDL_OP_GATHER},
    {"Gelu", 20, 0, 1, 1, 1, "approximate:s", onnx_map_gelu, GPUDL_OP_ACTIVATION},
    {"Gemm", 7, 0, 2, 3, 1, "alpha:f beta:f transA:i transB:i", onnx_map_gemm, GPUDL_OP_GEMM},
    UNARY("GlobalAveragePool", 1, GPUDL_OP_GLOBAL_AVERAGE_POOL),
    UNARY("GlobalMaxPool", 1, GPUDL_OP_GLOBAL_MAX_POOL),
    BINARY("Greater", 7, GPUDL_OP_GREATER),
    BINARY("GreaterOrEqual", 12, GPUDL_OP_GREATER_OR_EQUAL),
    {"GroupNormalization", 18, 0, 3, 3, 1, "epsilon:f num_groups:i stash_type:i", onnx_map_group_norm,
     GPUDL_OP_GROUP_NORM},
    {"HardSigmoid", 1, 0, 1, 1, 1, "alpha:f beta:f", onnx_map_activation, GPUDL_OP_ACTIVATION},
    {"HardSwish", 14, 0, 1, 1, 1, "", onnx_map_activation, GPUDL_OP_ACTIVATION},
    {"Identity", 1, 0, 1, 1, 1, "", onnx_map_identity, GPUDL_OP_IDENTITY},
    {"If", 1, 0, 1, 1, GPUDL_MAX_OUTPUTS, "else_branch:g then_branch:g", onnx_map_if, GPUDL_OP_IDENTITY},
    {"InstanceNormalization", 6, 0, 3, 3, 1, "epsilon:f", onnx_map_instance_norm, GPUDL_OP_GROUP_NORM},
    {"LRN", 1, 0, 1, 1, 1, "alpha:f beta:f bias:f size:i", onnx_map_lrn, GPUDL_OP_LRN},
    {"LayerNormalization", 17, 0, 2, 3, 3, "axis:i epsilon:f stash_type:i", onnx_map_layer_norm, GPUDL_OP_LAYER_NORM},
    {"LeakyRelu", 1, 0, 1, 1, 1, "alpha:f", onnx_map_activation, GPUDL_OP_ACTIVATION},
    BINARY("Less", 7, GPUDL_OP_LESS),
    BINARY("LessOrEqual", 12, GPUDL_OP_LESS_OR_EQUAL),
    UNARY("Log", 1, GPUDL_OP_LOG),
    {"LogSoftmax", 1, 12, 1, 1, 1, "axis:i", onnx_map_softmax_flat, GPUDL_OP_LOG_SOFTMAX},
    {"LogSoftmax", 13, 0, 1, 1, 1, "axis:i", onnx_map_softmax, GPUDL_OP_LOG_SOFTMAX},
    BINARY("MatMul", 1, GPUDL_OP_MATMUL),
    {"MatMulInteger", 10, 0, 2, 4, 1, "", onnx_map_matmul_integer, GPUDL_OP_MATMUL},
    {"Max", 6, 0, 1, ANY, 1, "", onnx_map_variadic, GPUDL_OP_MAX},
    {"MaxPool", 1, 0, 1, 1, 2, POOL, onnx_map_pool, GPUDL_OP_MAX_POOL},
    {"Mean", 6, 0, 1, ANY, 1, "", onnx_map_mean, GPUDL_OP_ADD},
    {"Min", 6, 0, 1, ANY, 1, "", onnx_map_variadic, GPUDL_OP_MIN},
    {"Mish", 18, 0, 1, 1, 1, "", onnx_map_activation, GPUDL_OP_ACTIVATION},
    {"Mod", 10, 0, 2, 2, 1, "fmod:i", onnx_map_mod, GPUDL_OP_MOD},
    BINARY("Mul", 7, GPUDL_OP_MUL),
    UNARY("Neg", 1, GPUDL_OP_NEG),
    UNARY("Not", 1, GPUDL_OP_NOT),
    BINARY("Or", 7, GPUDL_OP_OR),
    BINARY("PRelu", 7, GPUDL_OP_PRELU),
    {"Pad", 2, 10, 1, 1, 1, "mode:s pads:I value:f", onnx_map_pad, GPUDL_OP_PAD},
    {"Pad", 11, 0, 2, 4, 1, "mode:s", onnx_map_pad, GPUDL_OP_PAD},
    {"Pow", 7, 0, 2, 2, 1, "", onnx_map_pow, GPUDL_OP_POW},
    {"QLinearConv", 10, 0, 8, 9, 1, CONV, onnx_map_qlinear_conv, GPUDL_OP_CONV},
    {"QLinearMatMul", 10, 0, 8, 8, 1, "", onnx_map_qlinear_matmul, GPUDL_OP_MATMUL},
    {"QuantizeLinear", 10, 12, 2, 3, 1, "", onnx_map_quantize_linear, GPUDL_OP_CAST},
    {"QuantizeLinear", 13, 0, 2, 3, 1, "axis:i block_size:i output_dtype:i precision:i saturate:i",
     onnx_map_quantize_linear, GPUDL_OP_CAST},
    {"Range", 11, 0, 3, 3, 1, "", onnx_map_range, GPUDL_OP_NONE},
    UNARY("Reciprocal", 1, GPUDL_OP_RECIPROCAL),
    REDUCE("ReduceL1", 17, onnx_map_reduce_l1, GPUDL_OP_REDUCE_SUM),
    REDUCE("ReduceL2", 17, onnx_map_reduce_l2, GPUDL_OP_REDUCE_SUM),
    REDUCE("ReduceLogSum", 17, onnx_map_reduce_log_sum, GPUDL_OP_REDUCE_SUM),
    REDUCE("ReduceLogSumExp", 17, onnx_map_reduce_log_sum_exp, GPUDL_OP_REDUCE_SUM),
    REDUCE("ReduceMax", 17, onnx_map_reduce, GPUDL_OP_REDUCE_MAX),
    REDUCE("ReduceMean", 17, onnx_map_reduce, GPUDL_OP_REDUCE_MEAN),
    REDUCE("ReduceMin", 17, onnx_map_reduce, GPUDL_OP_REDUCE_MIN),
    REDUCE("ReduceProd", 17, onnx_map_reduce, GPUDL_OP_REDUCE_PROD),
    REDUCE("ReduceSum", 12, onnx_map_reduce, GPUDL_OP_REDUCE_SUM),
    REDUCE("ReduceSumSquare", 17, onnx_map_reduce_sum_square, GPUDL_OP_REDUCE_SUM),
    {"Relu", 1, 0, 1, 1, 1, "", onnx_map_activation, GPUDL_OP_ACTIVATION},
    {"Reshape", 5, 0, 2, 2, 1, "allowzero:i", onnx_map_reshape, GPUDL_OP_RESHAPE},
    {"Resize", 10, 10, 2, 2, 1, "mode:s", onnx_map_resize, GPUDL_OP_RESIZE},
    {"Resize", 11, 0, 1, 4, 1, RESIZE, onnx_map_resize, GPUDL_OP_RESIZE},
    UNARY("Round", 11, GPUDL_OP_ROUND),
    {"ScatterND", 11, 0, 3, 3, 1, "reduction:s", onnx_map_scatter_nd, GPUDL_OP_GATHER},
    {"Selu", 6, 0, 1, 1, 1, "alpha:f gamma:f", onnx_map_selu, GPUDL_OP_ELU},
    {"SequenceAt", 11, 0, 2, 2, 1, "", onnx_map_sequence_at, GPUDL_OP_IDENTITY},
    {"Shape", 1, 0, 1, 1, 1, "end:i start:i", onnx_map_shape, GPUDL_OP_NONE},
    {"Sigmoid", 1, 0, 1, 1, 1, "", onnx_map_activation, GPUDL_OP_ACTIVATION},
    {"Sin", 7, 0, 1, 1, 1, "", onnx_map_trigonometric, GPUDL_OP_NONE},
    {"Size", 1, 0, 1, 1, 1, "", onnx_map_size, GPUDL_OP_NONE},
    {"Slice", 1, 9, 1, 1, 1, "axes:I ends:I starts:I", onnx_map_slice, GPUDL_OP_SLICE},
    {"Slice", 10, 0, 3, 5, 1, "", onnx_map_slice, GPUDL_OP_SLICE},
    {"Softmax", 1, 12, 1, 1, 1, "axis:i", onnx_map_softmax_flat, GPUDL_OP_SOFTMAX},
    {"Softmax", 13, 0, 1, 1, 1, "axis:i", onnx_map_softmax, GPUDL_OP_SOFTMAX},
    {"Softplus", 1, 0, 1, 1, 1, "", onnx_map_softplus, GPUDL_OP_LOG},
    {"Softsign", 1, 0, 1, 1, 1, "", onnx_map_softsign, GPUDL_OP_DIV},
    {"SpaceToDepth", 1, 0, 1, 1, 1, "blocksize:i mode:s", onnx_map_space_to_depth, GPUDL_OP_TRANSPOSE},
    {"Split", 2, 12, 1, 1, GPUDL_MAX_OUTPUTS, "axis:i split:I", onnx_map_split, GPUDL_OP_SPLIT},
    {"Split", 13, 0, 1, 2, GPUDL_MAX_OUTPUTS, "axis:i num_outputs:i", onnx_map_split, GPUDL_OP_SPLIT},
    {"SplitToSequence", 11, 0, 1, 2, 1, "axis:i keepdims:i", onnx_map_split_to_sequence, GPUDL_OP_SPLIT},
    UNARY("Sqrt", 1, GPUDL_OP_SQRT),
    {"Squeeze", 1, 12, 1, 1, 1, "axes:I", onnx_map_squeeze, GPUDL_OP_RESHAPE},
    {"Squeeze", 13, 0, 1, 2, 1, "", onnx_map_squeeze, GPUDL_OP_RESHAPE},
    BINARY("Sub", 7, GPUDL_OP_SUB),
    {"Sum", 6, 0, 1, ANY, 1, "", onnx_map_variadic, GPUDL_OP_ADD},
    {"Swish", 24, 0, 1, 1, 1, "alpha:f", onnx_map_swish, GPUDL_OP_MUL},
    {"Tanh", 1, 0, 1, 1, 1, "", onnx_map_activation, GPUDL_OP_ACTIVATION},
    {"ThresholdedRelu", 10, 0, 1, 1, 1, "alpha:f", onnx_map_thresholded_relu, GPUDL_OP_WHERE},
    {"Tile", 6, 0, 2, 2, 1, "", onnx_map_tile, GPUDL_OP_CONCAT},
    {"Transpose", 1, 0, 1, 1, 1, "perm:I", onnx_map_transpose, GPUDL_OP_TRANSPOSE},
    {"Trilu", 14, 0, 1, 2, 1, "upper:i", onnx_map_trilu, GPUDL_OP_WHERE},
    {"Unsqueeze", 1, 12, 1, 1, 1, "axes:I", onnx_map_unsqueeze, GPUDL_OP_RESHAPE},
    {"Unsqueeze", 13, 0, 2, 2, 1, "", onnx_map_unsqueeze, GPUDL_OP_RESHAPE},
    {"Upsample", 7, 8, 1, 1, 1, "mode:s scales:F", onnx_map_resize, GPUDL_OP_RESIZE},
    {"Upsample", 9, 0, 2, 2, 1, "mode:s", onnx_map_resize, GPUDL_OP_RESIZE},
    {"Where", 9, 0, 3, 3, 1, "", onnx_map_direct, GPUDL_OP_WHERE},
    BINARY("Xor", 7, GPUDL_OP_XOR),
    /* ONNX Runtime's, by their domain; they have no opsets */
    {MS "DequantizeLinear", 1, 0, 2, 3, 1, "axis:i", onnx_map_dequantize_linear, GPUDL_OP_MUL},
    {MS "FusedConv", 1, 0, 2, 4, 1, CONV " activation:s activation_params:F", onnx_map_fused_conv, GPUDL_OP_CONV},
    {MS "QGemm", 1, 0, 6, 9, 1, "alpha:f transA:i transB:i", onnx_map_qgemm, GPUDL_OP_GEMM},
    {MS "QLinearAdd", 1, 0, 7, 8, 1, "", onnx_map_qlinear_binary, GPUDL_OP_ADD},
    {MS "QLinearAveragePool", 1, 0, 4, 5, 1, POOL " channels_last:i", onnx_map_qlinear_pool, GPUDL_OP_AVERAGE_POOL},
    {MS "QLinearConcat", 1, 0, 5, ANY, 1, "axis:i", onnx_map_qlinear_concat, GPUDL_OP_CONCAT},
    {MS "QLinearGlobalAveragePool", 1, 0, 4, 5, 1, "channels_last:i", onnx_map_qlinear_direct,
     GPUDL_OP_GLOBAL_AVERAGE_POOL},
    {MS "QLinearLeakyRelu", 1, 0, 4, 5, 1, "alpha:f", onnx_map_qlinear_leaky, GPUDL_OP_ACTIVATION},
    {MS "QLinearMul", 1, 0, 7, 8, 1, "", onnx_map_qlinear_binary, GPUDL_OP_MUL},
    {MS "QLinearSigmoid", 1, 0, 4, 5, 1, "", onnx_map_qlinear_sigmoid, GPUDL_OP_ACTIVATION},
    {MS "QLinearSoftmax", 1, 0, 4, 5, 1, "axis:i opset:i", onnx_map_qlinear_softmax, GPUDL_OP_SOFTMAX},
    {MS "QuantizeLinear", 1, 0, 2, 3, 1, "axis:i", onnx_map_quantize_linear, GPUDL_OP_CAST},
};

const OnnxOp *onnx_ops(guint *n)
{
    *n = G_N_ELEMENTS(ops);
    return ops;
}

const OnnxOp *onnx_op_find(const gchar *name, gint64 opset, gboolean *known)
{
    if (known != NULL)
        *known = FALSE;
    for (guint i = 0; i < G_N_ELEMENTS(ops); i++) {
        if (strcmp(ops[i].name, name) != 0)
            continue;
        if (known != NULL)
            *known = TRUE;
        if (opset >= ops[i].since && (ops[i].until == 0 || opset <= ops[i].until))
            return &ops[i];
    }
    return NULL;
}
