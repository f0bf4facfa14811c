/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The operators that GraphDef and TensorFlow Lite have alike, but for their names. */
#include <string.h>

#include "tf-map.h"

typedef struct {
    const gchar *lite; /* TensorFlow Lite's name */
    TfOp op;           /* with GraphDef's */
} Shared;

static const Shared shared[] = {
    {"ABS", {"Abs", 1, 1, tf_map_unary, GPUDL_OP_ABS}},
    {"ADD_N", {"AddN", 1, TF_MANY, tf_map_add_n}},
    {"ARG_MAX", {"ArgMax", 2, 2, tf_map_arg_max}},
    {"BATCH_TO_SPACE_ND", {"BatchToSpaceND", 3, 3, tf_map_batch_to_space}},
    {"BROADCAST_ARGS", {"BroadcastArgs", 2, 2, tf_map_broadcast_args}},
    {"CEIL", {"Ceil", 1, 1, tf_map_unary, GPUDL_OP_CEIL}},
    {"ELU", {"Elu", 1, 1, tf_map_elu}},
    {"EQUAL", {"Equal", 2, 2, tf_map_binary, GPUDL_OP_EQUAL}},
    {"EXP", {"Exp", 1, 1, tf_map_unary, GPUDL_OP_EXP}},
    {"EXPAND_DIMS", {"ExpandDims", 2, 2, tf_map_expand_dims, .passes_choice = TRUE}},
    {"FLOOR", {"Floor", 1, 1, tf_map_unary, GPUDL_OP_FLOOR}},
    {"FLOOR_DIV", {"FloorDiv", 2, 2, tf_map_floor_div}},
    {"FLOOR_MOD", {"FloorMod", 2, 2, tf_map_binary, GPUDL_OP_MOD}},
    {"GREATER", {"Greater", 2, 2, tf_map_binary, GPUDL_OP_GREATER}},
    {"GREATER_EQUAL", {"GreaterEqual", 2, 2, tf_map_binary, GPUDL_OP_GREATER_OR_EQUAL}},
    {"LESS", {"Less", 2, 2, tf_map_binary, GPUDL_OP_LESS}},
    {"LESS_EQUAL", {"LessEqual", 2, 2, tf_map_binary, GPUDL_OP_LESS_OR_EQUAL}},
    {"LOG", {"Log", 1, 1, tf_map_unary, GPUDL_OP_LOG}},
    {"LOGICAL_AND", {"LogicalAnd", 2, 2, tf_map_binary, GPUDL_OP_AND}},
    {"LOGICAL_NOT", {"LogicalNot", 1, 1, tf_map_unary, GPUDL_OP_NOT}},
    {"LOGICAL_OR", {"LogicalOr", 2, 2, tf_map_binary, GPUDL_OP_OR}},
    {"NEG", {"Neg", 1, 1, tf_map_unary, GPUDL_OP_NEG}},
    {"NOT_EQUAL", {"NotEqual", 2, 2, tf_map_not_equal}},
    {"PAD", {"Pad", 2, 2, tf_map_pad}},
    {"PADV2", {"PadV2", 3, 3, tf_map_pad}},
    {"RANGE", {"Range", 3, 3, tf_map_range}},
    {"RANK", {"Rank", 1, 1, tf_map_rank}},
    {"RELU", {"Relu", 1, 1, tf_map_act, .act = GPUDL_ACT_RELU}},
    {"RELU6", {"Relu6", 1, 1, tf_map_act, .act = GPUDL_ACT_CLIP, .alpha = 0, .beta = 6}},
    {"REVERSE_V2", {"ReverseV2", 2, 2, tf_map_reverse}},
    {"ROUND", {"Round", 1, 1, tf_map_unary, GPUDL_OP_ROUND}},
    {"RSQRT", {"Rsqrt", 1, 1, tf_map_rsqrt}},
    {"SELECT", {"Select", 3, 3, tf_map_select_rows}},
    {"SELECT_V2", {"SelectV2", 3, 3, tf_map_select}},
    {"LOGISTIC", {"Sigmoid", 1, 1, tf_map_act, .act = GPUDL_ACT_SIGMOID}},
    {"SLICE", {"Slice", 3, 3, tf_map_slice}},
    {"SPACE_TO_BATCH_ND", {"SpaceToBatchND", 3, 3, tf_map_space_to_batch}},
    {"SQRT", {"Sqrt", 1, 1, tf_map_unary, GPUDL_OP_SQRT}},
    {"SQUARE", {"Square", 1, 1, tf_map_square}},
    {"SQUARED_DIFFERENCE", {"SquaredDifference", 2, 2, tf_map_squared_difference}},
    {"TANH", {"Tanh", 1, 1, tf_map_act, .act = GPUDL_ACT_TANH}},
    {"TILE", {"Tile", 2, 2, tf_map_tile}},
    {"TOPK_V2", {"TopKV2", 2, 2, tf_map_top_k}},
    {"TRANSPOSE", {"Transpose", 2, 2, tf_map_transpose}},
    {"ZEROS_LIKE", {"ZerosLike", 1, 1, tf_map_zeros_like}},
};

const TfOp *tf_op_find(const TfOp *table, gsize n, const gchar *name, gboolean lite)
{
    for (gsize i = 0; i < n; i++)
        if (strcmp(table[i].name, name) == 0)
            return &table[i];
    for (gsize i = 0; i < G_N_ELEMENTS(shared); i++)
        if (strcmp(lite ? shared[i].lite : shared[i].op.name, name) == 0)
            return &shared[i].op;
    return NULL;
}
