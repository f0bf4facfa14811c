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

#define CPU_ALIGNMENT 64

typedef struct {
    void *constant; /* else in the workspace */
    uint64_t bytes, offset;
    int32_t first, last; /* steps */
    int32_t pending;     /* uses by nodes to come, and by the outside */
    int32_t used;        /* by a step */
} CpuBlock;

typedef struct {
    DnnMd md; /* NULL: dense in the tensor's dtype, which oneDNN does not know */
    int32_t block;
} CpuValue;

typedef struct {
    int arg, value;
} CpuArg;

typedef struct CpuCall CpuCall;

/** Either a primitive with its arguments, or a call with its views. */
typedef struct {
    dnnl_primitive_t primitive;
    uint32_t n_args;
    CpuArg *args;
    CpuCall *call;
    int32_t node;     /* of the plan, for messages and profiles */
    const char *what; /* implementation's name; static or the primitive's */
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
    uint32_t n_steps, n_blocks, n_values;
    CpuStep *steps;
    CpuBlock *blocks;
    CpuValue *values;
    int32_t *input_values, *output_values; /* dense, one per plan input and output */
    int input_interleaved;                 /* the first input wants its three channels interleaved, not planar */
    uint64_t work_bytes, weight_bytes;     /* weights: constants that steps read, packed or the model's own */
} CpuProgram;

/** Packed weights and other constants made at compile time, shared by programs and slots. */
typedef struct CpuPacked CpuPacked;
struct CpuPacked {
    CpuPacked *next;
    int32_t owner, part; /* plan tensor or node (owner), which of its constants */
    DnnMd md;            /* NULL: raw */
    uint64_t bytes;
    void *data;
};

/** What compiling needs of the engine. */
typedef struct {
    const GpudlHost *host;
    dnnl_engine_t dnn;
    dnnl_stream_t stream; /* of the compiling thread */
    CpuPacked *packed;
    uint64_t packed_bytes;
} CpuShared;

/** Compiles a plan; the calling thread's OpenMP threads must be 1. NULL with *fault and *status. */
CpuProgram *cpu_program_new(CpuShared *shared, const GpudlPlan *plan, GpudlStatus *status, GpudlFault *fault);
void cpu_program_free(CpuProgram *program);
void cpu_packed_free(CpuPacked *packed);

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
CpuInstance *cpu_instance_new(const CpuShared *shared, const CpuProgram *program);
void cpu_instance_free(CpuInstance *instance);

/** Address of an input (to be written; the first in the program's layout) or output (to be read), dense. */
void *cpu_instance_input(const CpuInstance *instance, uint32_t i);
/** Copies dense, planar values into an input, whatever its layout. */
void cpu_instance_set_input(const CpuInstance *instance, uint32_t i, const void *values);
const void *cpu_instance_output(const CpuInstance *instance, uint32_t i);

/** Runs all steps on the calling thread, whose OpenMP threads must be 1. */
GpudlStatus cpu_instance_run(const CpuInstance *instance, GpudlFault *fault);

/* ---- for the lowering of operators ------------------------------------------------------------------------------- */

/** State of one compilation. After a failure every function does nothing and returns -1 or NULL: lowering code checks
 * once, at its end. */
typedef struct {
    CpuShared *shared;
    const GpudlPlan *plan;
    CpuProgram *program;
    int32_t node;
    int32_t *tensor_values; /* first value of each tensor, -1: none yet */
    int32_t *next_value;    /* per value: the tensor's next one, -1 */
    int32_t *value_tensor;  /* per value */
    int32_t *remaining;     /* per tensor: uses to come, this node's included */
    uint8_t *done;          /* per node: already part of another's lowering */
    uint32_t value_room, step_room, block_room;
    GpudlStatus status;
    GpudlFault *fault;
} CpuCompiler;

/** Fails the compilation once; the first message stays. */
__attribute__((format(printf, 3, 4))) void cpu_fail(CpuCompiler *c, GpudlStatus status, const char *format, ...);

/** The tensor as it lies now, or in layout want, for which a reorder is added once. */
int32_t cpu_use(CpuCompiler *c, int32_t tensor, DnnMdRef want);
int32_t cpu_use_plain(CpuCompiler *c, int32_t tensor);
/** A constant tensor seen in another shape (stored: a layout of its bytes, e.g. with groups split off or transposed)
 * and packed into want; part tells several such views of one tensor apart. */
int32_t cpu_use_packed_as(CpuCompiler *c, int32_t tensor, int32_t part, DnnMdRef stored, DnnMdRef want);
DnnMdRef cpu_value_md(const CpuCompiler *c, int32_t value);

/** Gives a tensor its memory in a layout (taken over; NULL: dense in its dtype). */
int32_t cpu_define(CpuCompiler *c, int32_t tensor, DnnMd md);
/** Gives a tensor a layout (taken over) on another value's memory. */
int32_t cpu_define_alias(CpuCompiler *c, int32_t tensor, DnnMd md, int32_t value);
/** Another view (taken over) of a value's memory, belonging to no tensor. */
int32_t cpu_view(CpuCompiler *c, DnnMd md, int32_t value);
/** Memory for this node alone. */
int32_t cpu_temporary(CpuCompiler *c, DnnMd md);
/** TRUE if nobody but this node reads the value's memory from now on, so it may be overwritten. */
int cpu_may_overwrite(const CpuCompiler *c, int32_t value);

/** TRUE if two values lie in one block. */
int cpu_same_memory(const CpuCompiler *c, int32_t a, int32_t b);

/** A constant made at compile time: data (malloc'd, CPU_ALIGNMENT; taken over) is kept for part of this node. */
int32_t cpu_constant(CpuCompiler *c, int32_t part, DnnMd md, void *data, uint64_t bytes);
/** Looks one up that an earlier batch's program made; -1 if there is none. md is not taken. */
int32_t cpu_find_constant(CpuCompiler *c, int32_t part, DnnMdRef md);

/** Adds a primitive (pd is taken over and destroyed) with n (argument, value) pairs; its scratchpad is placed. */
void cpu_step(CpuCompiler *c, dnnl_primitive_desc_t pd, uint32_t n, const CpuArg *args);
/** Copies a value into another layout of the same dimensions. */
void cpu_copy(CpuCompiler *c, int32_t from, int32_t to);
/** Runs the node's operator by its reference kernel. */
void cpu_call(CpuCompiler *c);

/** The plan's tensor; and TRUE if it is constant float32, TRUE if float32 of rank 1 or more. */
const GpudlPlanTensor *cpu_tensor(const CpuCompiler *c, int32_t tensor);
int cpu_is_constant(const CpuCompiler *c, int32_t tensor);
int cpu_is_f32(const CpuCompiler *c, int32_t tensor);

/** Lowers one node by oneDNN; FALSE, having added nothing, if it can't: the reference kernel then takes it. */
typedef int CpuLower(CpuCompiler *c, const GpudlPlanNode *node);
CpuLower cpu_lower_conv, cpu_lower_gemm, cpu_lower_matmul;
CpuLower cpu_lower_pool, cpu_lower_global_pool, cpu_lower_lrn, cpu_lower_batch_norm, cpu_lower_reduce_mean;
CpuLower cpu_lower_activation, cpu_lower_unary, cpu_lower_binary, cpu_lower_softmax;
CpuLower cpu_lower_reshape, cpu_lower_identity, cpu_lower_transpose, cpu_lower_concat, cpu_lower_split, cpu_lower_slice;

/** Adds an activation over a value, in place if it is the last step of the node's output. */
void cpu_apply_activation(CpuCompiler *c, const GpudlAct *act, int32_t value);

/* fallback.c */
/** Nonzero if the node's operator has a reference kernel. */
int cpu_call_supported(const GpudlPlanNode *node);
/** Runs a call on views with data; inputs is scratch of n_inputs entries. Returns a GPUDL_KERNEL_ status. */
int cpu_call_run(const CpuCall *call, const GpudlTensorView *views, const GpudlTensorView **inputs);
const char *cpu_call_status_text(int status);

#endif
