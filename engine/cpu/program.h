/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * One plan compiled for the CPU: steps (oneDNN primitives and own data movers) over placed memory blocks. A program is
 * made once, then read by all slots; each slot brings its own workspace and memory objects (CpuInstance).
 *
 * Vocabulary: a block is a piece of workspace with a lifetime, or constant memory; a value is a layout on a block; a
 * plan's tensor has one or more values (its own, and copies in other layouts).
 */
#ifndef GPUDL_ENGINE_CPU_PROGRAM_H
#define GPUDL_ENGINE_CPU_PROGRAM_H

#include "dnn.h"
#include "engine/backend.h"
#include "engine/graph/attrs.h"
#include "kernels/depthwise.h"
#include "kernels/inverted.h"
#include "kernels/join.h"
#include "kernels/matvec.h"
#include "kernels/norm.h"
#include "kernels/pointwise.h"
#include "kernels/squeeze.h"
#include "kernels/stem.h"
#include "kernels/winograd.h"
#include "preproc.h"

#define CPU_ALIGNMENT 64 /* of blocks, constants and workspaces */

typedef struct {
    void *constant; /* else in the workspace */
    uint64_t bytes, offset;
    int32_t first, last; /* steps */
    int32_t pending;     /* uses by nodes to come, and by the outside */
    int32_t used;        /* by a step or as an output */
} CpuBlock;

typedef struct {
    DnnMd md; /* NULL: dense in the tensor's dtype, which oneDNN does not know */
    int32_t block;
} CpuValue;

typedef struct {
    int arg, value;
} CpuArg;

typedef struct CpuCall CpuCall;

/** A norm by a kernel of our own: which of GpudlNormKernels, its extents (n: rows or frames) and values, scale and bias
 * -1 where there are none. */
typedef enum { CPU_NORM_ROWS = 0, CPU_NORM_PLANAR, CPU_NORM_INTERLEAVED } CpuNormKind;
typedef struct {
    const GpudlNormKernels *kernels;
    CpuNormKind kind;
    int64_t n, c, plane, groups;
    float epsilon;
    int32_t x, scale, bias, y;
} CpuNorm;

/** Pieces beside one another: rows of each into columns of y, all float32 or all bfloat16 (narrow). With scale and
 * shift (values of one number a channel, -1: none), and ReLU then: in rows of channels (block 0), or in frames of
 * blocks of so many channels, each of which has plane rows. */
typedef struct {
    int32_t value;
    int64_t columns;
} CpuJoinPiece;
typedef struct {
    const GpudlJoinKernels *kernels;
    int64_t rows, pitch; /* of y, in elements; with blocks: frames, and elements of one */
    int64_t block, plane;
    int32_t y, scale, shift;
    int relu, narrow;
    uint32_t n;
    CpuJoinPiece pieces[];
} CpuJoin;

/** A depthwise convolution by a kernel of our own, and its values. */
typedef struct {
    const GpudlDepthwiseKernels *kernels;
    GpudlDepthwise d;
    int32_t x, packed, y;
} CpuDepthwise;

/** A dense convolution by a kernel of our own, in tiles, and its values; y is the residual's memory where there is one.
 */
typedef struct {
    const GpudlWinogradKernels *kernels;
    GpudlWinograd d;
    int32_t x, packed, scratch, y;
} CpuTiles;

/** A convolution by 1x1 by a kernel of our own, and its values; y as above. */
typedef struct {
    const GpudlPointwiseKernels *kernels;
    GpudlPointwise d;
    int32_t x, packed, y;
} CpuPointwise;

/** A convolution of few channels by a kernel of our own, and its values. */
typedef struct {
    const GpudlStemKernels *kernels;
    GpudlStem d;
    int32_t x, packed, y;
} CpuStem;

/** A matrix times a vector by a kernel of our own, and its values. */
typedef struct {
    const GpudlMatvecKernels *kernels;
    GpudlMatvec d;
    int32_t x, packed, y;
} CpuMatvec;

/** An inverted residual by a kernel of our own, the nodes that it computes (-1: there is none), and its values; y may
 * be x's memory. */
typedef struct {
    const GpudlInvertedKernels *kernels;
    GpudlInverted d;
    int32_t nodes[3];
    int32_t x, packed, scratch, y;
} CpuInverted;

/** Squeeze-and-excite by a kernel of our own, and its values. */
typedef struct {
    const GpudlSqueezeKernels *kernels;
    GpudlSqueeze s;
    int32_t x, packed, scratch, y;
} CpuSqueeze;

/** Channels, last, dealt out in turns by a kernel of our own, and its values. */
typedef struct {
    int64_t pixels, groups, size;
    int narrow; /* bfloat16, else float32 */
    int32_t x, y;
} CpuShuffle;

/** Either a primitive with its arguments, or a call with its views, or a norm, or a join, or a convolution (depthwise,
 * in tiles, by 1x1, of few channels), or an inverted residual, or a matrix times a vector, or squeeze-and-excite, or a
 * shuffle, or an activation over a value's bytes. */
typedef struct {
    dnnl_primitive_t primitive;
    uint32_t n_args;
    CpuArg *args;
    CpuCall *call;
    CpuNorm *norm;
    CpuJoin *join;
    CpuDepthwise *depthwise;
    CpuTiles *tiles;
    CpuPointwise *pointwise;
    CpuStem *stem;
    CpuMatvec *matvec;
    CpuInverted *inverted;
    CpuSqueeze *squeeze;
    CpuShuffle *shuffle;
    const GpudlAct *act; /* of the plan; or NULL */
    int32_t act_value;
    int padded;        /* divides 0 by 0 where its vectors hang over; what NaN it makes beside arrives in its output */
    int32_t node;      /* of the plan, for messages and profiles */
    int32_t last_node; /* that it computes as well */
    const char *what;  /* implementation's name; static, the primitive's or label */
    char *label;       /* or NULL */
} CpuStep;

/** An operation of the plan run by a reference kernel, on dense tensors. */
struct CpuCall {
    const GpudlPlanNode *node;
    uint32_t n_inputs, n_outputs;
    GpudlTensorView *views; /* inputs, then outputs; dtype NONE: absent. data is filled in when run */
    int32_t *values;
};

typedef struct {
    const GpudlPlan *plan;
    int exact; /* NaN goes through all of it, see cpu_program_new() */
    uint32_t n_steps, n_blocks, n_values;
    CpuStep *steps;
    CpuBlock *blocks;
    CpuValue *values;
    int32_t *input_values, *output_values; /* dense, one per plan input and output */
    CpuPreprocLayout input_layout;         /* of the first input: interleaved only if it has three channels */
    int spreads_nan;                       /* a NaN of the input may reach its neighbours, with no flag raised */
    uint64_t work_bytes, weight_bytes;     /* weights: constants that steps read */
} CpuProgram;

/** Takes NULL. */
void cpu_program_free(CpuProgram *program);

/** A program on one workspace. */
typedef struct {
    const CpuProgram *program;
    dnnl_stream_t stream;
    uint8_t *workspace;
    dnnl_memory_t *memories; /* per value */
    dnnl_exec_arg_t *args;   /* of all steps, one after the other */
    GpudlTensorView *views;  /* scratch of the largest call */
    const GpudlTensorView **inputs;
} CpuInstance;

/** NULL if there is no memory. */
CpuInstance *cpu_instance_new(dnnl_engine_t dnn, const CpuProgram *program);
void cpu_instance_free(CpuInstance *instance);

/** Address of an input (to be written; the first in the program's layout) or output (to be read), dense. */
void *cpu_instance_input(const CpuInstance *instance, uint32_t i);
/** Copies dense, planar values into an input, whatever its layout. */
void cpu_instance_set_input(const CpuInstance *instance, uint32_t i, const void *values);
const void *cpu_instance_output(const CpuInstance *instance, uint32_t i);

/** Runs all steps on the calling thread, whose OpenMP threads must be 1. host: asked between steps whether to give up,
 * NULL: nobody is. */
GpudlStatus cpu_instance_run(const CpuInstance *instance, const GpudlHost *host, GpudlFault *fault);

/**
 * Whether NaN was made or met since cpu_forget_nan() on this thread, also where it has gone since: the processor's flag
 * of invalid operations, which maxps, minps and ordered comparisons raise for each NaN they drop. That is free, while
 * looking at values is not. May be set without any NaN in what counts.
 */
void cpu_forget_nan(void);
int cpu_met_nan(void);

/** One step of those; args are the step's in instance->args. */
GpudlStatus cpu_instance_run_step(const CpuInstance *instance, const CpuStep *step, const dnnl_exec_arg_t *args,
                                  GpudlFault *fault);

/** Times the steps, each runs (at least 1) times, on the calling thread, whose OpenMP threads must be 1. rows has room
 * for all steps; *n_rows are filled. */
GpudlStatus cpu_instance_profile(const CpuInstance *instance, uint32_t runs, GpudlProfileRow *rows, uint32_t *n_rows,
                                 GpudlFault *fault);

/* fallback.c */
/** Nonzero if the node's operator has a reference kernel. */
int cpu_call_supported(const GpudlPlanNode *node);
/** Runs a call on views with data; inputs is scratch of n_inputs entries. Returns a GPUDL_KERNEL_ status. */
int cpu_call_run(const CpuCall *call, const GpudlTensorView *views, const GpudlTensorView **inputs);
const char *cpu_call_status_text(int status);

#endif
