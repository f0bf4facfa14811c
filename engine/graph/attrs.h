/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Operators and their attributes. Plain C: backend modules read these structs through GpudlPlanNode.
 */
#ifndef GPUDL_ENGINE_ATTRS_H
#define GPUDL_ENGINE_ATTRS_H

#include "kernels/types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Operators. One row each in ops.c; stored by name in net.bin, so the numbers may change. */
typedef enum {
    GPUDL_OP_NONE = 0,
    /* sums of products; may carry act, and CONV a residual input */
    GPUDL_OP_CONV,   /* x, w [, bias [, residual]] */
    GPUDL_OP_GEMM,   /* a, b [, c]: alpha a' b' + beta c, rank 2 */
    GPUDL_OP_MATMUL, /* a, b: numpy matmul, rank 1..6 */
    /* windows */
    GPUDL_OP_MAX_POOL, /* outputs: y [, indices into all of x, int64] */
    GPUDL_OP_AVERAGE_POOL,
    GPUDL_OP_GLOBAL_MAX_POOL,
    GPUDL_OP_GLOBAL_AVERAGE_POOL,
    GPUDL_OP_LRN,
    GPUDL_OP_RESIZE,
    /* per channel */
    GPUDL_OP_BATCH_NORM, /* x, scale, bias, mean, variance */
    /* normalised by mean and variance of the values themselves */
    GPUDL_OP_LAYER_NORM, /* x [, scale [, bias]] of the dimensions normalised over */
    GPUDL_OP_GROUP_NORM, /* x [, scale [, bias]], one value a channel */
    /* element by element, one input */
    GPUDL_OP_ACTIVATION, /* attrs.unary.act */
    GPUDL_OP_ELU,
    GPUDL_OP_ABS,
    GPUDL_OP_NEG,
    GPUDL_OP_EXP,
    GPUDL_OP_LOG,
    GPUDL_OP_SQRT,
    GPUDL_OP_RECIPROCAL,
    GPUDL_OP_FLOOR,
    GPUDL_OP_CEIL,
    GPUDL_OP_ROUND, /* halves to even */
    GPUDL_OP_ERF,
    GPUDL_OP_NOT,
    GPUDL_OP_CAST,
    /* element by element, two inputs, numpy broadcasting; ADD, SUB, MUL may carry act */
    GPUDL_OP_ADD,
    GPUDL_OP_SUB,
    GPUDL_OP_MUL,
    GPUDL_OP_DIV, /* integers truncate */
    GPUDL_OP_POW,
    GPUDL_OP_MIN,
    GPUDL_OP_MAX,
    GPUDL_OP_PRELU, /* x, slope (broadcast onto x) */
    GPUDL_OP_MOD,
    GPUDL_OP_EQUAL,
    GPUDL_OP_LESS,
    GPUDL_OP_LESS_OR_EQUAL,
    GPUDL_OP_GREATER,
    GPUDL_OP_GREATER_OR_EQUAL,
    GPUDL_OP_AND,
    GPUDL_OP_OR,
    GPUDL_OP_XOR,
    GPUDL_OP_WHERE, /* condition, x, y */
    /* along axes */
    GPUDL_OP_SOFTMAX,
    GPUDL_OP_LOG_SOFTMAX,
    GPUDL_OP_REDUCE_MEAN,
    GPUDL_OP_REDUCE_SUM,
    GPUDL_OP_REDUCE_MAX,
    GPUDL_OP_REDUCE_MIN,
    GPUDL_OP_REDUCE_PROD,
    /* data movement */
    GPUDL_OP_RESHAPE, /* also Flatten, Squeeze, Unsqueeze */
    GPUDL_OP_TRANSPOSE,
    GPUDL_OP_CONCAT,
    GPUDL_OP_SPLIT,
    GPUDL_OP_SLICE,
    GPUDL_OP_PAD,
    GPUDL_OP_EXPAND,
    GPUDL_OP_GATHER, /* x, indices (int32 or int64) */
    GPUDL_OP_IDENTITY,
    GPUDL_OP_LAST = GPUDL_OP_IDENTITY
} GpudlOp;

/** Padding modes of GPUDL_OP_PAD. */
typedef enum { GPUDL_PAD_CONSTANT = 0, GPUDL_PAD_REFLECT = 1, GPUDL_PAD_EDGE = 2, GPUDL_PAD_WRAP = 3 } GpudlPadMode;

/** Most pieces a GPUDL_OP_SPLIT can make; also the most outputs of any node. */
#define GPUDL_MAX_OUTPUTS 64

/** Attributes of CONV and the pools. Spatial arrays are filled up in front with 1 (pads with 0): depth, height, width;
 * n_spatial says how many of the last entries are the tensor's. Padding is explicit here: importers resolve auto_pad.
 */
typedef struct {
    int32_t n_spatial;
    int32_t kernel[GPUDL_MAX_SPATIAL];
    int32_t stride[GPUDL_MAX_SPATIAL];
    int32_t pad_begin[GPUDL_MAX_SPATIAL];
    int32_t pad_end[GPUDL_MAX_SPATIAL];
    int32_t dilation[GPUDL_MAX_SPATIAL];
    int32_t group;             /* CONV */
    int32_t ceil_mode;         /* pools: round the output size up */
    int32_t count_include_pad; /* AVERAGE_POOL */
    GpudlAct act;              /* CONV: applied after bias and residual */
    int32_t column_major;      /* MAX_POOL's indices: first spatial dimension fastest, ONNX's storage_order */
} GpudlWindowAttrs;

typedef struct {
    int32_t trans_a, trans_b;
    float alpha, beta;
    GpudlAct act;
} GpudlGemmAttrs;

typedef struct {
    int32_t size;
    float alpha, beta, bias;
} GpudlLrnAttrs;

typedef struct {
    float epsilon;
} GpudlBatchNormAttrs;

/** Of LAYER_NORM and GROUP_NORM: y = (x - mean) / sqrt(variance + epsilon) * scale + bias, variance the mean of
 * (x - mean)^2. Frames stay apart: dimension 0 is not normalised over. */
typedef struct {
    int32_t axis, n_axes; /* LAYER_NORM: over dimensions axis .. axis + n_axes - 1, axis >= 1 */
    int32_t groups;       /* GROUP_NORM: of neighbouring channels, with all dimensions from 2 on */
    float epsilon;
} GpudlNormAttrs;

typedef struct {
    GpudlAct act; /* ACTIVATION: which; ELU: alpha */
} GpudlUnaryAttrs;

typedef struct {
    int32_t to;       /* GpudlDType */
    int32_t saturate; /* to floats of 8 bits: too large becomes the largest number, not infinity or NaN */
    int32_t round;    /* to float8e8m0: GpudlRound of kernels/narrow.h */
} GpudlCastAttrs;

typedef struct {
    GpudlAct act; /* ADD, SUB, MUL */
    int32_t fmod; /* MOD: sign of the dividend (C fmod) instead of the divisor */
} GpudlBinaryAttrs;

typedef struct {
    int32_t axis;    /* >= 0; the graph holds no negative axes. SOFTMAX, LOG_SOFTMAX, CONCAT, SPLIT, GATHER */
    int32_t flatten; /* SOFTMAX, LOG_SOFTMAX: over all dimensions from axis on (ONNX before opset 13) */
    int32_t n_sizes; /* SPLIT: number of outputs */
    int64_t sizes[GPUDL_MAX_OUTPUTS]; /* SPLIT: extents along axis, sum = the input's */
} GpudlAxisAttrs;

typedef struct {
    int32_t n_axes; /* 0: all axes */
    int32_t axes[GPUDL_MAX_RANK];
    int32_t keepdims;
} GpudlReduceAttrs;

typedef struct {
    int32_t rank;
    /** RESHAPE: 0 copies the input's dimension at this index, -1 (once) takes the rest. A true 0 extent cannot be said.
     * EXPAND: numpy broadcasting target, 1 keeps the input's. */
    int64_t dims[GPUDL_MAX_RANK];
} GpudlShapeAttrs;

typedef struct {
    int32_t rank;
    int32_t perm[GPUDL_MAX_RANK]; /* output dimension i is input dimension perm[i] */
} GpudlTransposeAttrs;

/** Per axis of the input: start inclusive, end exclusive as ONNX says them (negative from the end, clamped), step not
 * 0. Axes left alone: 0, INT64_MAX, 1. */
typedef struct {
    int32_t rank;
    int64_t start[GPUDL_MAX_RANK], end[GPUDL_MAX_RANK], step[GPUDL_MAX_RANK];
} GpudlSliceAttrs;

typedef struct {
    int32_t rank;
    int32_t mode;                                       /* GpudlPadMode */
    int64_t begin[GPUDL_MAX_RANK], end[GPUDL_MAX_RANK]; /* negative crops */
    double value;
} GpudlPadAttrs;

/** RESIZE. Per dimension the output's extent (0: it is left alone) and scale (0: the extents' quotient), filled up with
 * 0 behind rank. The numbers are GpudlResize's. */
typedef struct {
    int32_t rank;
    int32_t mode, coordinate, nearest, exclude_outside, antialias;
    float cubic_a;
    int64_t sizes[GPUDL_MAX_RANK];
    double scale[GPUDL_MAX_RANK];
} GpudlResizeAttrs;

typedef union {
    GpudlWindowAttrs window;
    GpudlGemmAttrs gemm;
    GpudlLrnAttrs lrn;
    GpudlBatchNormAttrs batch_norm;
    GpudlNormAttrs norm;
    GpudlUnaryAttrs unary;
    GpudlCastAttrs cast;
    GpudlBinaryAttrs binary;
    GpudlAxisAttrs axis;
    GpudlReduceAttrs reduce;
    GpudlShapeAttrs shape;
    GpudlTransposeAttrs transpose;
    GpudlSliceAttrs slice;
    GpudlPadAttrs pad;
    GpudlResizeAttrs resize;
} GpudlAttrs;

#ifdef __cplusplus
}
#endif
#endif
