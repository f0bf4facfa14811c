/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Every operator's shape rule, good and bad. A case is text: inputs "f32:1x3x8x8", "-" for an absent one, "f32:" for a
 * scalar; attributes "name=v,v" by the names of the operator table (an activation is kind:alpha:beta), so the table's
 * offsets are tested with it.
 */
#include <glib.h>
#include <math.h>
#include <string.h>

#include "engine/gpudl.h"
#include "engine/graph/ops.h"
#include "engine/limits.h"

typedef struct {
    GpudlOp op;
    const gchar *inputs, *attrs;
    const gchar *outputs; /* expected, or NULL: an error ... */
    const gchar *message; /* ... whose text contains this */
    gint code;            /* ... and whose code is this; 0 (FAILED) stands for FORMAT */
} Case;

#define GOOD(op, inputs, attrs, outputs)                                                                               \
    {                                                                                                                  \
        GPUDL_OP_##op, inputs, attrs, outputs, NULL, 0                                                                 \
    }
#define BAD(op, inputs, attrs, message)                                                                                \
    {                                                                                                                  \
        GPUDL_OP_##op, inputs, attrs, NULL, message, 0                                                                 \
    }
#define BAD_CODE(op, inputs, attrs, message, code)                                                                     \
    {                                                                                                                  \
        GPUDL_OP_##op, inputs, attrs, NULL, message, GPUDL_ERROR_##code                                                \
    }

#define K3 "n_spatial=2 kernel=1,3,3 "
#define HUGE_TENSOR "u8:1024x1024x1024"

static const Case cases[] = {
    /* windows */
    GOOD(CONV, "f32:1x3x8x9 f32:16x3x3x3", K3, "f32:1x16x6x7"),
    GOOD(CONV, "f32:2x3x8x8 f32:16x3x3x3 f32:16", K3 "stride=1,2,2 pad_begin=0,1,1 pad_end=0,1,1", "f32:2x16x4x4"),
    GOOD(CONV, "f32:1x3x8x8 f32:16x3x3x3 - f32:1x16x6x6", K3 "act=1:0:0", "f32:1x16x6x6"),
    GOOD(CONV, "f16:1x4x8x8 f16:8x1x3x3 f16:8 f16:1x8x4x4", K3 "group=4 dilation=1,2,2", "f16:1x8x4x4"),
    GOOD(CONV, "f32:1x3x9 f32:5x3x4", "n_spatial=1 kernel=1,1,4 stride=1,1,3 pad_end=0,0,1", "f32:1x5x3"),
    GOOD(CONV, "f32:1x2x4x5x6 f32:7x2x2x3x4", "n_spatial=3 kernel=2,3,4", "f32:1x7x3x3x3"),
    GOOD(CONV, "f32:1x1x1x1 f32:1x1x3x3", K3 "pad_begin=0,2,0 pad_end=0,0,2", "f32:1x1x1x1"),
    BAD(CONV, "f32:1x3x8x8", K3, "1 inputs, expected 2 to 4"),
    BAD(CONV, "f32:1x3x8x8 -", K3, "input 1 is absent"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3 f32:16 - -", K3, "5 inputs"),
    BAD(CONV, "i32:1x3x8x8 i32:16x3x3x3", K3, "is int32, expected a float type"),
    BAD(CONV, "f32:1x3x8x8 f16:16x3x3x3", K3, "is float16, expected float32"),
    BAD(CONV, "f32:3x8 f32:16x3", "n_spatial=1", "has rank 2, expected 3 to 5"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3", K3, "has rank 3, expected 4"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", "n_spatial=1", "1 spatial dimensions"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", "n_spatial=0", "attribute n_spatial is 0, expected 1 to 3"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", "n_spatial=2 kernel=2,3,3", "attributes for depth"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", "n_spatial=2 kernel=1,3,5", "kernel width is 5, the weights' is 3"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", "n_spatial=2 kernel=1,3,-3", "kernel[2] is -3"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "stride=1,0,1", "stride[1] is 0"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "stride=1,-2147483648,1", "stride[1] is -2147483648"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "dilation=1,1,0", "dilation[2] is 0"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "pad_begin=0,-1,0", "pad_begin[1] is -1"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "pad_end=0,0,2147483647", "pad_end[2] is 2147483647"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "dilation=1,16777216,1", "window of 33554433 does not fit"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "group=0", "group is 0"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "group=2", "2 groups do not divide 3 input"),
    BAD(CONV, "f32:1x4x8x8 f32:15x2x3x3", K3 "group=2", "15 output channels"),
    BAD(CONV, "f32:1x4x8x8 f32:16x4x3x3", K3 "group=2", "4 input channels a group"),
    BAD(CONV, "f32:1x3x8x8 f32:0x3x3x3", K3, "weights are empty"),
    BAD(CONV, "f32:1x3x2x8 f32:16x3x3x3", K3, "window of 3 does not fit the padded height, 2"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3 f32:15", K3, "is 15, expected 16"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3 f32:16 f32:1x16x1x1", K3, "is 1x16x1x1, expected 1x16x6x6"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "act=12:0:0", "act is 12, expected 0 to 11"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "act=2:6:0", "clips to at least 6 and at most 0"),
    BAD(CONV, "f32:1x3x8x8 f32:16x3x3x3", K3 "act=2:nan:6", "not a number"),
    BAD_CODE(CONV, "f32:1x1x1x1 f32:1x1x3x3", K3 "pad_begin=0,16777216,16777216", "more than", LIMIT),
    GOOD(MAX_POOL, "f32:1x3x112x112", K3 "stride=1,2,2 pad_begin=0,1,1 pad_end=0,1,1", "f32:1x3x56x56"),
    GOOD(MAX_POOL, "f32:1x3x112x112", K3 "stride=1,2,2 ceil_mode=1", "f32:1x3x56x56"),
    GOOD(MAX_POOL, "f32:1x3x111x113", K3 "stride=1,2,2 ceil_mode=1", "f32:1x3x55x56"),
    GOOD(MAX_POOL, "f32:1x1x4x4", "n_spatial=2 stride=1,3,3 ceil_mode=1", "f32:1x1x2x2"),
    GOOD(MAX_POOL, "f32:1x1x5x5", "n_spatial=2 stride=1,3,3 ceil_mode=1", "f32:1x1x2x2"),
    GOOD(MAX_POOL, "f32:1x1x3x3", "n_spatial=2 kernel=1,2,2 stride=1,2,2 pad_begin=0,1,1 pad_end=0,1,1 ceil_mode=1",
         "f32:1x1x2x2"),
    BAD(MAX_POOL, "f32:1x3x8x8", K3 "pad_begin=0,3,0", "padding 3, 0 of the height must be below the window's 3"),
    BAD(MAX_POOL, "f32:1x3x8x1", "n_spatial=2 kernel=1,1,2 dilation=1,1,3 pad_begin=0,0,3 pad_end=0,0,3",
        "dilation 3 is larger than the width"),
    BAD(MAX_POOL, "f32:1x3x8x8", K3 "ceil_mode=2", "ceil_mode is 2"),
    GOOD(MAX_POOL, "u8:1x3x8x8", K3, "u8:1x3x6x6"),
    GOOD(MAX_POOL, "f32:2x3x8x8", K3 "column_major=1", "f32:2x3x6x6 i64:2x3x6x6"),
    BAD(MAX_POOL, "bool:1x3x8x8", K3, "expected a number type"),
    BAD(MAX_POOL, "e5m2:1x3x8x8", K3, "is float8e5m2, expected a number type"),
    BAD(MAX_POOL, "f32:1x3x8x8", K3 "column_major=2", "column_major is 2"),
    GOOD(AVERAGE_POOL, "f32:1x3x8x8", K3 "count_include_pad=1 pad_end=0,1,1", "f32:1x3x7x7"),
    GOOD(AVERAGE_POOL, "f32:1x3x7", "n_spatial=1 kernel=1,1,7", "f32:1x3x1"),
    BAD(AVERAGE_POOL, "u8:1x3x8x8", K3, "expected a float type"),
    BAD(AVERAGE_POOL, "f32:1x3x8x8", K3 "count_include_pad=-1", "count_include_pad is -1"),
    BAD(AVERAGE_POOL, "f32:1x3x8x8", "n_spatial=2 kernel=1,9,9", "window of 9 does not fit"),
    GOOD(GLOBAL_MAX_POOL, "f32:2x3x8x9", "", "f32:2x3x1x1"),
    BAD(GLOBAL_MAX_POOL, "f32:2x3", "", "rank 2"),
    GOOD(GLOBAL_AVERAGE_POOL, "f32:2x3x8x9x4", "", "f32:2x3x1x1x1"),
    BAD(GLOBAL_AVERAGE_POOL, "f32:2x3x0x9", "", "dimension 2 is 0"),
    GOOD(RESIZE, "f32:1x3x4x5", "rank=4 sizes=0,0,8,10 scale2=2 scale3=2", "f32:1x3x8x10"),
    GOOD(RESIZE, "u8:2x5", "rank=2 sizes=0,3", "u8:2x3"),
    BAD(RESIZE, "u8:2x5", "rank=2 sizes=0,3 mode=1", "is uint8, expected a float type"),
    BAD(RESIZE, "f32:2x5", "rank=3 sizes=0,3,3", "extents for 3 dimensions, the input has rank 2"),
    BAD(RESIZE, "f32:2x5", "rank=2 sizes=0,3 scale1=-1", "scale -1 of dimension 1"),
    BAD(RESIZE, "f32:2x5", "rank=2 sizes=0,3 scale1=inf", "scale inf of dimension 1"),
    BAD(RESIZE, "f32:2x5", "rank=2 sizes=0,3 scale1=1e-9", "of dimension 1"),
    BAD(RESIZE, "f32:2x5", "rank=2 sizes=0,3 scale2=1", "scale 1 of dimension 2 of an input of rank 2"),
    BAD(RESIZE, "f32:2x5", "rank=2 scale1=2", "a scale but no extent for dimension 1"),
    BAD(RESIZE, "f32:2x0", "rank=2 sizes=0,3", "dimension 1 is empty"),
    BAD(RESIZE, "f32:2x5000", "rank=2 sizes=0,1", "at most 4096 times smaller"),
    BAD(RESIZE, "f32:2x5", "rank=2 sizes=0,3 coordinate=6", "attribute coordinate is 6"),
    GOOD(LRN, "f32:1x9x4x4", "size=5 alpha=0.0001 beta=0.75 bias=1", "f32:1x9x4x4"),
    BAD(LRN, "f32:1x9x4x4", "size=0", "size is 0"),
    BAD(LRN, "f32:1x9x4x4", "size=5 alpha=inf", "alpha is inf"),
    GOOD(BATCH_NORM, "f32:1x4x5x5 f32:4 f32:4 f32:4 f32:4", "epsilon=1e-5", "f32:1x4x5x5"),
    BAD(BATCH_NORM, "f32:1x4x5x5 f32:4 f32:4 f32:4", "", "4 inputs, expected 5 to 5"),
    BAD(BATCH_NORM, "f32:1x4x5x5 f32:4 f32:4 f32:3 f32:4", "", "input 3, 'x3', is 3, expected 4"),
    BAD(BATCH_NORM, "f32:4 f32:4 f32:4 f32:4 f32:4", "", "rank 1"),
    BAD(BATCH_NORM, "f32:1x4 f32:4 f32:4 f32:4 f32:4", "epsilon=nan", "epsilon is nan"),
    /* products */
    GOOD(GEMM, "f32:2x3 f32:3x4", "", "f32:2x4"),
    GOOD(GEMM, "f32:3x2 f32:4x3 f32:4", "trans_a=1 trans_b=1 act=1:0:0", "f32:2x4"),
    GOOD(GEMM, "f32:2x3 f32:3x4 f32:2x1", "", "f32:2x4"),
    GOOD(GEMM, "f32:2x3 f32:3x4 f32:", "", "f32:2x4"),
    GOOD(GEMM, "f32:2x3 f32:3x4 -", "", "f32:2x4"),
    BAD(GEMM, "f32:2x3 f32:4x3", "", "inner dimensions are 3 and 4"),
    BAD(GEMM, "f32:2x3 f32:3x4 f32:3", "", "is 3, expected 2x4"),
    BAD(GEMM, "f32:2x3 f32:3x4 f32:1x2x4", "", "is 1x2x4, expected 2x4"),
    BAD(GEMM, "f32:1x2x3 f32:3x4", "", "rank 3, expected 2"),
    BAD(GEMM, "f32:2x3 f32:3x4", "alpha=nan", "alpha is nan"),
    BAD(GEMM, "f32:2x3 f32:3x4", "trans_a=3", "trans_a is 3"),
    GOOD(MATMUL, "f32:2x3 f32:3x4", "", "f32:2x4"),
    GOOD(MATMUL, "f32:3 f32:3", "", "f32:"),
    GOOD(MATMUL, "f32:3 f32:5x3x4", "", "f32:5x4"),
    GOOD(MATMUL, "f32:5x2x3 f32:3", "", "f32:5x2"),
    GOOD(MATMUL, "f32:1x1x7x1x2x3 f32:6x3x4", "", "f32:1x1x7x6x2x4"),
    BAD(MATMUL, "f32:2x3 f32:4x3", "", "inner dimensions are 3 and 4"),
    BAD(MATMUL, "f32: f32:3", "", "rank 0"),
    BAD(MATMUL, "f32:2x2x3 f32:3x3x4", "", "do not broadcast"),
    BAD(MATMUL, "f32:2x3 f64:3x4", "", "is float64, expected float32"),
    GOOD(LAYER_NORM, "f32:2x3x4", "axis=2 n_axes=1 epsilon=1e-5", "f32:2x3x4"),
    GOOD(LAYER_NORM, "f16:2x3x4 f16:3x4 f16:3x4", "axis=1 n_axes=2 epsilon=0", "f16:2x3x4"),
    GOOD(LAYER_NORM, "f32:2x3x4x4 - f32:3", "axis=1 n_axes=1 epsilon=1e-5", "f32:2x3x4x4"),
    BAD(LAYER_NORM, "i32:2x3x4", "axis=2 n_axes=1", "is int32, expected a float type"),
    BAD(LAYER_NORM, "f32:2x3x4", "axis=0 n_axes=1", "axis is 0, expected 1 to 5"),
    BAD(LAYER_NORM, "f32:2x3x4", "axis=1 n_axes=0", "n_axes is 0"),
    BAD(LAYER_NORM, "f32:2x3x4", "axis=2 n_axes=2", "dimensions 2 to 3 of an input of rank 3"),
    BAD(LAYER_NORM, "f32:2x3x4", "axis=5 n_axes=5", "dimensions 5 to 9 of an input of rank 3"),
    BAD(LAYER_NORM, "f32:2x3x4 f32:3", "axis=2 n_axes=1", "is 3, expected 4"),
    BAD(LAYER_NORM, "f32:2x3x4 f32:4 f16:4", "axis=2 n_axes=1", "is float16, expected float32"),
    BAD(LAYER_NORM, "f32:2x3x4", "axis=2 n_axes=1 epsilon=-1", "epsilon is -1, expected 0 or more"),
    GOOD(GROUP_NORM, "f32:2x6x4x4 f32:6 f32:6", "groups=3 epsilon=1e-5", "f32:2x6x4x4"),
    GOOD(GROUP_NORM, "f64:2x6", "groups=2", "f64:2x6"),
    BAD(GROUP_NORM, "f32:6", "groups=1", "has rank 1, expected 2 to 6"),
    BAD(GROUP_NORM, "f32:2x6x4", "groups=0", "groups is 0"),
    BAD(GROUP_NORM, "f32:2x6x4", "groups=4", "4 groups do not divide 6 channels"),
    BAD(GROUP_NORM, "f32:2x6x4 f32:3", "groups=3", "is 3, expected 6"),
    BAD(GROUP_NORM, "i8:2x6x4", "groups=3", "is int8, expected a float type"),
    /* element by element */
    GOOD(ACTIVATION, "f32:2x3", "act=7:0:0", "f32:2x3"),
    BAD(ACTIVATION, "f32:2x3", "", "act is 0, expected 1 to 11"),
    BAD(ACTIVATION, "i64:2x3", "act=1:0:0", "is int64"),
    GOOD(ELU, "f32:2", "alpha=1", "f32:2"),
    BAD(ELU, "f32:2", "alpha=inf", "alpha is inf"),
    GOOD(ABS, "i8:2", "", "i8:2"),
    BAD(ABS, "bool:2", "", "is bool"),
    GOOD(NEG, "i64:2", "", "i64:2"),
    BAD(NEG, "u8:2", "", "is uint8, expected a signed type"),
    GOOD(EXP, "f32:1x2x3x4x5x6", "", "f32:1x2x3x4x5x6"),
    BAD(EXP, "i32:2", "", "is int32"),
    GOOD(LOG, "f32:0x4", "", "f32:0x4"),
    BAD(LOG, "", "", "0 inputs"),
    GOOD(SQRT, "f64:2", "", "f64:2"),
    BAD(SQRT, "i32:2", "", "is int32"),
    GOOD(RECIPROCAL, "bf16:2", "", "bf16:2"),
    BAD(RECIPROCAL, "i32:2", "", "is int32"),
    GOOD(FLOOR, "f32:2", "", "f32:2"),
    BAD(FLOOR, "i32:2", "", "is int32"),
    GOOD(CEIL, "f32:2", "", "f32:2"),
    BAD(CEIL, "i32:2", "", "is int32"),
    GOOD(ROUND, "f32:2", "", "f32:2"),
    BAD(ROUND, "i32:2", "", "is int32"),
    GOOD(ERF, "f32:2", "", "f32:2"),
    BAD(ERF, "f32:2 f32:2", "", "2 inputs"),
    GOOD(NOT, "bool:2", "", "bool:2"),
    BAD(NOT, "i32:2", "", "is int32, expected bool"),
    GOOD(CAST, "f32:2x3", "to=11", "i64:2x3"),
    GOOD(CAST, "bool:", "to=2", "f16:"),
    BAD(CAST, "f32:2", "to=0", "to is 0"),
    GOOD(CAST, "f32:2x3", "to=14 saturate=0", "e4m3fn:2x3"),
    GOOD(CAST, "i2:2x3", "to=18 round=2", "e8m0:2x3"),
    GOOD(CAST, "e8m0:2x3", "to=19", "e2m1:2x3"),
    BAD(CAST, "f32:2", "to=24", "to is 24"),
    BAD(CAST, "f32:2", "to=14 saturate=2", "saturate is 2"),
    BAD(CAST, "f32:2", "to=18 round=3", "round is 3"),
    GOOD(ADD, "f32:4x1x3 f32:2x1", "act=1:0:0", "f32:4x2x3"),
    BAD(ADD, "e4m3fn:2 e4m3fn:2", "", "is float8e4m3fn, expected a number type"),
    BAD(ADD, "i4:2 i4:2", "", "is int4, expected a number type"),
    GOOD(ADD, "i64: i64:5", "", "i64:5"),
    GOOD(ADD, "f32:0 f32:1", "", "f32:0"),
    BAD(ADD, "f32:2x3 f32:2", "", "2x3 and input 1, 'x1', of 2 do not broadcast"),
    BAD(ADD, "f32:0 f32:2", "", "do not broadcast"),
    BAD(ADD, "f32:2 i64:2", "", "is int64, expected float32"),
    BAD(ADD, "i64:2 i64:2", "act=1:0:0", "carries an activation"),
    BAD(ADD, "bool:2 bool:2", "", "is bool"),
    BAD_CODE(ADD, "f32:65536x1 f32:1x65536", "", "more than", LIMIT),
    GOOD(SUB, "f32:2 f32:2", "act=8:0:0", "f32:2"),
    BAD(SUB, "f32:2 f32:2", "act=-1:0:0", "act is"),
    GOOD(MUL, "u8:2 u8:2", "", "u8:2"),
    BAD(MUL, "u8:2", "", "1 inputs"),
    GOOD(DIV, "i64:2x1 i64:3", "", "i64:2x3"),
    BAD(DIV, "i64:2 i64:3", "", "do not broadcast"),
    GOOD(POW, "f32:2 i64:", "", "f32:2"),
    BAD(POW, "f32:2 bool:", "", "is bool"),
    GOOD(MIN, "i64:3 i64:1", "", "i64:3"),
    BAD(MIN, "f32:3 f32:3 f32:3", "", "3 inputs"),
    GOOD(MAX, "f32:3 f32:1", "", "f32:3"),
    BAD(MAX, "f32:3 f16:1", "", "is float16"),
    GOOD(PRELU, "f32:1x3x4x4 f32:3x1x1", "", "f32:1x3x4x4"),
    BAD(PRELU, "f32:1x3x4x4 f32:2x3x1x1", "", "is 2x3x1x1, expected 1x3x4x4"),
    GOOD(MOD, "i32:2 i32:2", "", "i32:2"),
    GOOD(MOD, "f32:2 f32:2", "fmod=1", "f32:2"),
    GOOD(MOD, "f32:2 f32:2", "", "f32:2"),
    BAD(MOD, "f32:2 bool:2", "", "is bool"),
    GOOD(EQUAL, "i64:2x1 i64:3", "", "bool:2x3"),
    GOOD(EQUAL, "bool:2 bool:2", "", "bool:2"),
    BAD(EQUAL, "bool:2 i64:2", "", "is int64, expected bool"),
    BAD(EQUAL, "u4:2 u4:2", "", "is uint4, expected a number type"),
    GOOD(LESS, "f32:2 f32:", "", "bool:2"),
    BAD(LESS, "bool:2 bool:2", "", "is bool"),
    GOOD(LESS_OR_EQUAL, "f32:2 f32:", "", "bool:2"),
    BAD(LESS_OR_EQUAL, "f32:2 f32:3", "", "do not broadcast"),
    GOOD(GREATER, "f32:2 f32:", "", "bool:2"),
    BAD(GREATER, "f32:2 f32:3", "", "do not broadcast"),
    GOOD(GREATER_OR_EQUAL, "f32:2 f32:", "", "bool:2"),
    BAD(GREATER_OR_EQUAL, "f32:2 f32:3", "", "do not broadcast"),
    GOOD(AND, "bool:2 bool:1", "", "bool:2"),
    BAD(AND, "i32:2 i32:2", "", "expected bool"),
    GOOD(OR, "bool:2 bool:1", "", "bool:2"),
    BAD(OR, "i32:2 i32:2", "", "expected bool"),
    GOOD(XOR, "bool:2 bool:1", "", "bool:2"),
    BAD(XOR, "i32:2 i32:2", "", "expected bool"),
    GOOD(WHERE, "bool:3x1 f32:2 f32:1x1x1", "", "f32:1x3x2"),
    BAD(WHERE, "f32:3x1 f32:2 f32:2", "", "expected bool"),
    BAD(WHERE, "bool:3x1 f32:2 i64:2", "", "float32 and int64"),
    BAD(WHERE, "bool:3 f32:2 f32:2", "", "do not broadcast"),
    /* along axes */
    GOOD(SOFTMAX, "f32:2x1000", "axis=1", "f32:2x1000"),
    GOOD(SOFTMAX, "f32:2x10x1x1", "axis=1 flatten=1", "f32:2x10x1x1"),
    BAD(SOFTMAX, "f32:2x10", "axis=2", "axis 2 of an input of rank 2"),
    BAD(SOFTMAX, "f32:2x10", "axis=-1", "axis is -1"),
    BAD(SOFTMAX, "f32:", "axis=0", "axis 0 of an input of rank 0"),
    GOOD(LOG_SOFTMAX, "f32:2x10", "axis=0", "f32:2x10"),
    BAD(LOG_SOFTMAX, "i32:2x10", "axis=0", "is int32"),
    GOOD(REDUCE_MEAN, "f32:2x3x4x5", "n_axes=2 axes=2,3 keepdims=1", "f32:2x3x1x1"),
    GOOD(REDUCE_MEAN, "f32:2x3x4x5", "n_axes=2 axes=3,2", "f32:2x3"),
    GOOD(REDUCE_MEAN, "f32:2x3x4x5", "", "f32:"),
    BAD(REDUCE_MEAN, "f32:2x3", "n_axes=1 axes=2", "axis 2 of an input of rank 2"),
    BAD(REDUCE_MEAN, "f32:2x3", "n_axes=2 axes=1,1", "axis 1 is named twice"),
    BAD(REDUCE_MEAN, "f32:2x3", "n_axes=7", "n_axes is 7"),
    BAD(REDUCE_MEAN, "f32:2x0", "n_axes=1 axes=1", "axis 1 is empty"),
    GOOD(REDUCE_SUM, "i64:2x0", "n_axes=1 axes=1", "i64:2"),
    BAD(REDUCE_SUM, "i64:2x3", "n_axes=1 axes=-1", "axes[0] is -1"),
    GOOD(REDUCE_MAX, "f32:2x3", "keepdims=1", "f32:1x1"),
    BAD(REDUCE_MAX, "f32:0", "", "axis 0 is empty"),
    GOOD(REDUCE_MIN, "f32:2x3", "n_axes=1 axes=0", "f32:3"),
    BAD(REDUCE_MIN, "bool:2", "", "is bool"),
    GOOD(REDUCE_PROD, "i64:3", "", "i64:"),
    BAD(REDUCE_PROD, "i64:3", "keepdims=5", "keepdims is 5"),
    /* data movement */
    GOOD(RESHAPE, "f32:2x3x4", "rank=2 dims=0,-1", "f32:2x12"),
    BAD(RESHAPE, "f32:2x3x4", "rank=0", "2x3x4 cannot become scalar"),
    GOOD(RESHAPE, "f32:1x1", "rank=0", "f32:"),
    GOOD(RESHAPE, "bool:6", "rank=3 dims=1,2,3", "bool:1x2x3"),
    GOOD(RESHAPE, "f32:0x3", "rank=2 dims=0,5", "f32:0x5"),
    BAD(RESHAPE, "f32:2x3x4", "rank=2 dims=5,-1", "2x3x4 cannot become 5x-1"),
    BAD(RESHAPE, "f32:2x3", "rank=2 dims=2,4", "2x3 cannot become 2x4"),
    BAD(RESHAPE, "f32:2x3", "rank=2 dims=-1,-1", "dimensions 0 and 1 are both -1"),
    BAD(RESHAPE, "f32:2x3", "rank=3 dims=1,6,0", "copied from an input of rank 2"),
    BAD(RESHAPE, "f32:2x3", "rank=1 dims=-2", "dims[0] is -2"),
    BAD(RESHAPE, "f32:0x3", "rank=2 dims=0,-1", "cannot become"),
    BAD(RESHAPE, "f32:2x3", "rank=7", "rank is 7"),
    BAD(RESHAPE, "f32:2x3", "rank=3 dims=4611686018427387904,4,-1", "cannot become"),
    GOOD(TRANSPOSE, "f32:2x3x4", "rank=3 perm=2,0,1", "f32:4x2x3"),
    BAD(TRANSPOSE, "f32:2x3x4", "rank=3 perm=0,0,1", "no permutation"),
    BAD(TRANSPOSE, "f32:2x3x4", "rank=3 perm=0,1,3", "no permutation"),
    BAD(TRANSPOSE, "f32:2x3x4", "rank=2 perm=0,1", "attributes for rank 2, the input has rank 3"),
    GOOD(CONCAT, "f32:1x2x3 f32:1x5x3 f32:1x0x3", "axis=1", "f32:1x7x3"),
    BAD(CONCAT, "f32:1x2 f32:2x2", "axis=1", "is 2x2, expected 1x2"),
    BAD(CONCAT, "f32:1x2 f32:1x2x1", "axis=1", "rank 3"),
    BAD(CONCAT, "f32:1x2 -", "axis=1", "input 1 is absent"),
    BAD(CONCAT, "f32:1x2 i32:1x2", "axis=1", "is int32"),
    BAD(CONCAT, "f32:2", "axis=1", "axis 1 of an input of rank 1"),
    BAD(CONCAT, "", "axis=0", "at least 1"),
    BAD_CODE(CONCAT, HUGE_TENSOR " " HUGE_TENSOR, "axis=0", "more than", LIMIT),
    GOOD(SPLIT, "f32:2x6", "axis=1 n_sizes=3 sizes=1,2,3", "f32:2x1 f32:2x2 f32:2x3"),
    BAD(SPLIT, "f32:2x6", "axis=1 n_sizes=2 sizes=1,2", "sum is 3, the input's axis 1 has 6"),
    BAD(SPLIT, "f32:2x6", "axis=1 n_sizes=2 sizes=-1,7", "sizes[0] is -1"),
    BAD(SPLIT, "f32:2x6", "axis=1 n_sizes=65", "n_sizes is 65"),
    BAD(SPLIT, "f32:2x6", "axis=1 n_sizes=2 sizes=9223372036854775807,7", "sum is 9223372036854775807"),
    GOOD(SLICE, "f32:10x10", "rank=2 start=0,2 end=9223372036854775807,8 step=1,3", "f32:10x2"),
    GOOD(SLICE, "f32:10", "rank=1 start=-3 end=100 step=1", "f32:3"),
    GOOD(SLICE, "f32:10", "rank=1 start=9 end=-9223372036854775808 step=-1", "f32:10"),
    GOOD(SLICE, "f32:10", "rank=1 start=-1 end=-11 step=-4", "f32:3"),
    GOOD(SLICE, "f32:10", "rank=1 start=0 end=10 step=9223372036854775807", "f32:1"),
    GOOD(SLICE, "f32:10", "rank=1 start=9 end=-11 step=-9223372036854775808", "f32:1"),
    GOOD(SLICE, "f32:10", "rank=1 start=5 end=2 step=1", "f32:0"),
    GOOD(SLICE, "f32:10", "rank=1 start=20 end=30 step=1", "f32:0"),
    GOOD(SLICE, "f32:0", "rank=1 start=-1 end=-5 step=-1", "f32:0"),
    BAD(SLICE, "f32:10", "rank=1 start=0 end=10 step=0", "step of axis 0 is 0"),
    BAD(SLICE, "f32:10x10", "rank=1 start=0 end=10 step=1", "attributes for rank 1"),
    GOOD(PAD, "f32:2x3", "rank=2 begin=1,0 end=0,-2 value=-inf", "f32:3x1"),
    GOOD(PAD, "f32:2x3", "rank=2 mode=1 begin=1,2 end=0,2", "f32:3x7"),
    GOOD(PAD, "f32:2x3", "rank=2 mode=2 begin=9,0 end=0,0", "f32:11x3"),
    GOOD(PAD, "f32:2x3", "rank=2 mode=3 begin=2,0 end=0,3", "f32:4x6"),
    BAD(PAD, "f32:2x3", "rank=2 mode=1 begin=0,3 end=0,0", "padding 3 of axis 1, whose extent 3 allows 2"),
    BAD(PAD, "f32:2x3", "rank=2 mode=3 begin=0,4 end=0,0", "whose extent 3 allows 3"),
    BAD(PAD, "f32:0", "rank=1 mode=2 begin=1 end=0", "no edge to repeat"),
    BAD(PAD, "f32:0", "rank=1 mode=1 begin=1 end=0", "allows 0"),
    BAD(PAD, "f32:2", "rank=1 begin=-3 end=4", "crops more than its 2"),
    BAD(PAD, "f32:2", "rank=1 begin=-1 end=-2", "crops more than its 2"),
    BAD(PAD, "f32:2", "rank=1 value=nan begin=1 end=1", "value is not a number"),
    BAD(PAD, "f32:2", "rank=1 mode=4 begin=1 end=1", "mode is 4"),
    BAD(PAD, "f32:2", "rank=1 begin=9223372036854775807 end=1", "begin[0] is"),
    BAD_CODE(PAD, "f32:4", "rank=1 mode=2 begin=-1 end=1", "cropping needs the mode constant", UNSUPPORTED),
    BAD_CODE(PAD, "f32:2", "rank=1 begin=2147483648 end=2147483648", "at most", LIMIT),
    GOOD(EXPAND, "f32:3x1", "rank=3 dims=2,1,4", "f32:2x3x4"),
    GOOD(EXPAND, "f32:2x3", "rank=1 dims=1", "f32:2x3"),
    GOOD(EXPAND, "f32:", "rank=2 dims=0,4", "f32:0x4"),
    BAD(EXPAND, "f32:3x2", "rank=2 dims=3,4", "3x2 does not broadcast to 3x4"),
    BAD(EXPAND, "f32:3x1", "rank=2 dims=3,-1", "dims[1] is -1"),
    BAD_CODE(EXPAND, "f32:1", "rank=1 dims=9223372036854775807", "at most", LIMIT),
    BAD_CODE(EXPAND, "f32:1", "rank=3 dims=4194304,4194304,4194304", "more than", LIMIT),
    GOOD(GATHER, "f32:5x6x7 i64:2x3", "axis=1", "f32:5x2x3x7"),
    GOOD(GATHER, "i64:4 i32:", "axis=0", "i64:"),
    BAD(GATHER, "f32:5 f32:2", "axis=0", "expected int32 or int64"),
    BAD(GATHER, "f32:5 i64:2", "axis=1", "axis 1 of an input of rank 1"),
    BAD_CODE(GATHER, "f32:1x1x1x1 i64:1x1x1x1", "axis=0", "rank 7", UNSUPPORTED),
    GOOD(IDENTITY, "bool:2x3", "", "bool:2x3"),
    GOOD(IDENTITY, "i4:2x3", "", "i4:2x3"),
    BAD(IDENTITY, "f32:1 f32:1", "", "2 inputs"),
};

static const gchar *const dtype_names[GPUDL_DTYPE_LAST + 1] = {
    "none", "f32",  "f16",    "bf16",     "f64",  "i8",       "u8",   "i16",  "u16", "i32", "u32", "i64",
    "u64",  "bool", "e4m3fn", "e4m3fnuz", "e5m2", "e5m2fnuz", "e8m0", "e2m1", "i4",  "u4",  "i2",  "u2",
};

static GpudlDType parse_tensor(const gchar *text, GpudlShape *shape)
{
    g_auto(GStrv) parts = g_strsplit(text, ":", 2);
    g_auto(GStrv) dims = NULL;

    g_assert_nonnull(parts[1]);
    dims = g_strsplit(parts[1], "x", -1);
    memset(shape, 0, sizeof(*shape));
    for (guint i = 0; dims[i] != NULL; i++)
        shape->dims[shape->rank++] = g_ascii_strtoll(dims[i], NULL, 10);
    for (guint i = 1; i <= GPUDL_DTYPE_LAST; i++)
        if (strcmp(dtype_names[i], parts[0]) == 0)
            return (GpudlDType)i;
    g_error("element type %s?", parts[0]);
}

static void set_attr(GpudlNode *node, const gchar *name, const gchar *text)
{
    g_auto(GStrv) values = g_strsplit(text, ",", -1);
    const GpudlAttrSpec *spec = gpudl_op_info(node->op)->attrs;
    guint8 *at;

    while (spec != NULL && spec->name != NULL && strcmp(spec->name, name) != 0)
        spec++;
    if (spec == NULL || spec->name == NULL)
        g_error("operator %s has no attribute %s", gpudl_op_info(node->op)->name, name);
    at = (guint8 *)&node->attrs + spec->offset;
    g_assert_cmpuint(g_strv_length(values), <=, spec->count);
    for (guint i = 0; values[i] != NULL; i++) {
        switch (spec->type) {
        case GPUDL_ATTR_INT:
        case GPUDL_ATTR_INTS:
            ((gint32 *)at)[i] = (gint32)g_ascii_strtoll(values[i], NULL, 10);
            break;
        case GPUDL_ATTR_LONGS:
            ((gint64 *)at)[i] = g_ascii_strtoll(values[i], NULL, 10);
            break;
        case GPUDL_ATTR_FLOAT:
            *(float *)at = (float)g_ascii_strtod(values[i], NULL);
            break;
        case GPUDL_ATTR_DOUBLE:
            *(double *)at = g_ascii_strtod(values[i], NULL);
            break;
        case GPUDL_ATTR_ACT: {
            g_auto(GStrv) parts = g_strsplit(values[i], ":", 3);
            GpudlAct *act = (GpudlAct *)at;

            act->kind = (GpudlActKind)g_ascii_strtoll(parts[0], NULL, 10);
            act->alpha = (float)g_ascii_strtod(parts[1], NULL);
            act->beta = (float)g_ascii_strtod(parts[2], NULL);
        }
        }
    }
}

static GpudlNode *build(GpudlGraph *graph, const Case *c)
{
    g_auto(GStrv) inputs = g_strsplit(c->inputs, " ", -1), attrs = g_strsplit(c->attrs, " ", -1);
    guint n_inputs = c->inputs[0] != '\0' ? g_strv_length(inputs) : 0, n_outputs = 1;
    g_autofree GpudlTensor **tensors = g_new0(GpudlTensor *, n_inputs + 1);
    GpudlNode *node;

    /* the first input is the graph's, its batch as it stands; the others have no say in the batch */
    for (guint i = 0; i < n_inputs; i++) {
        g_autofree gchar *name = g_strdup_printf("x%u", i);
        GpudlShape shape;
        GpudlDType dtype;

        if (strcmp(inputs[i], "-") == 0)
            continue;
        dtype = parse_tensor(inputs[i], &shape);
        tensors[i] = gpudl_graph_add_input(graph, name, dtype, &shape);
        if (gpudl_shape_elements(&shape) == 0) {
            g_autoptr(GBytes) nothing = g_bytes_new(NULL, 0);

            /* inputs may not be empty, constants may */
            g_ptr_array_remove(graph->inputs, tensors[i]);
            tensors[i] = gpudl_graph_add_constant(graph, name, dtype, &shape, nothing, NULL);
        }
    }
    if (c->outputs != NULL) {
        g_auto(GStrv) outputs = g_strsplit(c->outputs, " ", -1);

        n_outputs = g_strv_length(outputs);
    } else if (c->op == GPUDL_OP_SPLIT) {
        n_outputs = 2;
    }
    node = gpudl_graph_add_node(graph, c->op, "node", tensors, n_inputs, NULL, n_outputs);
    for (guint i = 0; attrs[i] != NULL; i++) {
        g_auto(GStrv) pair = g_strsplit(attrs[i], "=", 2);

        if (attrs[i][0] != '\0')
            set_attr(node, pair[0], pair[1]);
    }
    return node;
}

static void check_outputs(const Case *c, const GpudlNode *node)
{
    g_auto(GStrv) outputs = g_strsplit(c->outputs, " ", -1);

    g_assert_cmpuint(g_strv_length(outputs), ==, node->n_outputs);
    for (guint i = 0; i < node->n_outputs; i++) {
        g_autofree gchar *found = NULL, *wanted = NULL;
        GpudlShape shape;
        GpudlDType dtype = parse_tensor(outputs[i], &shape);

        wanted = gpudl_shape_to_string(&shape);
        found = gpudl_shape_to_string(&node->outputs[i]->shape);
        g_assert_cmpstr(found, ==, wanted);
        g_assert_cmpint(node->outputs[i]->dtype, ==, dtype);
    }
}

static void test_case(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GpudlGraph) graph = gpudl_graph_new();
    g_autoptr(GError) error = NULL;
    GpudlNode *node = build(graph, c);
    gboolean ok = gpudl_graph_infer(graph, 0, &error);
    gint code = c->code != 0 ? c->code : (gint)GPUDL_ERROR_FORMAT;

    if (c->outputs != NULL) {
        g_assert_no_error(error);
        g_assert_true(ok);
        check_outputs(c, node);
        return;
    }
    g_assert_false(ok);
    g_assert_error(error, GPUDL_ERROR, code);
    if (c->message != NULL && strstr(error->message, c->message) == NULL)
        g_error("'%s' is not in '%s'", c->message, error->message);
    if (strstr(error->message, "node 'node'") == NULL || strstr(error->message, gpudl_op_info(c->op)->name) == NULL)
        g_error("neither node nor operator in '%s'", error->message);
}

/* No operator without a case that fits and one that does not. */
static void test_every_operator(void)
{
    for (guint op = GPUDL_OP_NONE + 1; op <= GPUDL_OP_LAST; op++) {
        guint good = 0, bad = 0;

        for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
            if (cases[i].op != (GpudlOp)op)
                continue;
            good += cases[i].outputs != NULL;
            bad += cases[i].outputs == NULL;
        }
        if (good == 0 || bad == 0)
            g_error("operator %s has %u good and %u bad cases", gpudl_op_info((GpudlOp)op)->name, good, bad);
    }
}

static void test_table(void)
{
    for (guint i = GPUDL_OP_NONE + 1; i <= GPUDL_OP_LAST; i++) {
        const GpudlOpInfo *info = gpudl_op_info((GpudlOp)i);

        g_assert_cmpint(info->op, ==, i);
        g_assert_nonnull(info->name);
        g_assert_nonnull(info->infer);
        g_assert_true(gpudl_op_find(info->name) == info);
        g_assert_cmpuint(info->min_inputs, <=, info->max_inputs);
        g_assert_cmpuint(info->min_outputs, >=, 1);
        g_assert_cmpuint(info->max_outputs, <=, GPUDL_MAX_OUTPUTS);
        for (const GpudlAttrSpec *a = info->attrs; a != NULL && a->name != NULL; a++) {
            const GpudlAttrSpec *count = info->attrs;

            g_assert_cmpuint(a->offset, <, sizeof(GpudlAttrs));
            /* a count comes before what it counts and bounds it */
            while (a->count_offset >= 0 && count < a && count->offset != (gsize)a->count_offset)
                count++;
            if (a->count_offset >= 0) {
                g_assert_true(count < a);
                g_assert_cmpint(count->type, ==, GPUDL_ATTR_INT);
                g_assert_cmpint(count->min, >=, 0);
                g_assert_cmpint(count->max, <=, a->count);
            }
        }
    }
    g_assert_null(gpudl_op_find("None"));
    g_assert_null(gpudl_op_find("conv"));
    g_assert_null(gpudl_op_find(NULL));
    g_assert_cmpint(gpudl_op_info((GpudlOp)12345)->op, ==, GPUDL_OP_NONE);
    g_assert_cmpint(gpudl_op_info((GpudlOp)-1)->op, ==, GPUDL_OP_NONE);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/ops/table", test_table);
    g_test_add_func("/ops/every-operator-has-cases", test_every_operator);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree gchar *path = g_strdup_printf("/ops/%s/%s/%u", gpudl_op_info(cases[i].op)->name,
                                                 cases[i].outputs != NULL ? "good" : "bad", i);

        g_test_add_data_func(path, &cases[i], test_case);
    }
    return g_test_run();
}
