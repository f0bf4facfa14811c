/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * One plan compiled for the CPU: steps (oneDNN primitives and own data movers) over placed memory blocks. A program is
 * made once, then read by all slots; each slot brings its own workspace and memory objects (CpuInstance).
 *
 * Vocabulary: a block is a piece of workspace with a lifetime, or of another block, or constant memory; a value is a
 * layout on a block; a plan's tensor has one or more values (its own, and copies in other layouts).
 */
#ifndef GPUDL_ENGINE_CPU_PROGRAM_H
#define GPUDL_ENGINE_CPU_PROGRAM_H

#include "dnn.h"
#include "engine/backend.h"
#include "engine/graph/attrs.h"
#include "preproc.h"

#define CPU_ALIGNMENT 64 /* of blocks, constants and workspaces */

typedef struct {
    void *constant;         /* else in the workspace */
    uint64_t bytes, offset; /* offset: in the workspace, once blocks are placed */
    int32_t within;         /* the block that it is a part of, -1: none. Such chains have no circle, and are short */
    uint64_t at;            /* where in that block */
    int32_t levels;         /* of parts in it: 0: it has none, 1: they have none */
    int32_t fixed;          /* becomes no part: an input's, which the host writes */
    int32_t first, last;    /* steps */
    int32_t pending;        /* uses by nodes to come, and by the outside */
    int32_t held;           /* such uses of its parts, and of theirs */
    int32_t used;           /* by a step or as an output */
} CpuBlock;

typedef struct {
    DnnMd md; /* NULL: dense in the tensor's dtype, which oneDNN does not know */
    int32_t block;
} CpuValue;

typedef struct {
    int arg, value;
} CpuArg;

typedef struct CpuCall CpuCall;

/** A value that a step by a kernel of our own uses, and how often its bytes are read or written; 0: scratch memory. */
typedef struct {
    int32_t value, moves;
} CpuUse;

/** Computes a problem on the addresses of its uses, in their order. */
typedef void CpuOwnFunc(const void *problem, void *const *data);

/** A step by a kernel of our own. */
typedef struct {
    CpuOwnFunc *run;
    void *problem;
    uint64_t flops; /* 0: those of its nodes */
    uint32_t n;
    CpuUse uses[];
} CpuOwn;

/** Either a primitive with its arguments, or a call with its views, or a kernel of our own, or an activation over a
 * value's bytes. */
typedef struct {
    dnnl_primitive_t primitive;
    uint32_t n_args;
    CpuArg *args;
    CpuCall *call;
    CpuOwn *own;
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
    void **data; /* scratch of the own step with the most uses */
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
