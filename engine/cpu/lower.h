/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The lowering of operators: what lower_*.c say of a node, and the state of the compilation they say it to.
 */
#ifndef GPUDL_ENGINE_CPU_LOWER_H
#define GPUDL_ENGINE_CPU_LOWER_H

#include "packed.h"
#include "packing.h"
#include "program.h"

/** A tensor that may be taken in pieces. */
typedef struct {
    int32_t node; /* the concatenation that is not made for it, -1: none */
    int32_t uses; /* by what takes pieces */
} CpuWaiting;

/** State of one compilation. After a failure every function does nothing and returns -1 or NULL: lowering code checks
 * once, at its end. */
typedef struct {
    CpuShared *shared;
    const GpudlPlan *plan;
    CpuProgram *program;
    int exact;               /* see cpu_program_new() */
    dnnl_data_type_t type;   /* what products multiply: f32, or bf16, sums being f32 in any case */
    uint8_t *wide;           /* per tensor: is f32 all the same, see mark_wide() */
    int32_t node, last_node; /* being lowered; the last of those that its steps compute */
    int32_t *tensor_values;  /* first value of each tensor, -1: none yet */
    int32_t *next_value;     /* per value: the tensor's next one, -1 */
    int32_t *raw_blocks;     /* per constant tensor: the block of the model's own bytes, -1 */
    int32_t *readers;        /* per tensor: the last node that reads it, -1 */
    int32_t *remaining;      /* per tensor: uses to come, this node's included */
    uint8_t *done;           /* per node: already part of another's lowering */
    int winograd;            /* some convolutions go by Winograd's transforms */
    CpuWaiting *waiting;     /* per tensor; NULL: no concatenation was met */
    uint32_t value_room, step_room, block_room;
    CpuPacking packing; /* of weights, at the end */
    GpudlStatus status;
    GpudlFault *fault;
} CpuCompiler;

/** Fails the compilation once; the first message stays. */
__attribute__((format(printf, 3, 4))) void cpu_fail(CpuCompiler *c, GpudlStatus status, const char *format, ...);

/** Fills the packed constants that lowering has asked for: at its end, before anything runs. */
void cpu_pack_weights(CpuCompiler *c);

/** The tensor in float32 as it lies now, or in layout want, for which a reorder is added once. */
int32_t cpu_use(CpuCompiler *c, int32_t tensor, DnnMdRef want);
/** Row-major, float32. */
int32_t cpu_use_plain(CpuCompiler *c, int32_t tensor);
/** As it lies now, in its own type or in this one. What reads it so takes bfloat16 as well. */
int32_t cpu_use_lying(CpuCompiler *c, int32_t tensor);
int32_t cpu_use_lying_as(CpuCompiler *c, int32_t tensor, dnnl_data_type_t type);
/** Row-major, in this type. */
int32_t cpu_use_dense(CpuCompiler *c, int32_t tensor, dnnl_data_type_t type);
/** The type that a tensor has now: f32 or bf16; dnnl_data_type_undef for what oneDNN does not know. Constants: f32. */
dnnl_data_type_t cpu_lying_type(CpuCompiler *c, int32_t tensor);
/** What a product that multiplies this type writes into a tensor. */
dnnl_data_type_t cpu_result_type(const CpuCompiler *c, int32_t tensor, dnnl_data_type_t type);
/** The form that a node was given. */
CpuForm cpu_chosen_form(const CpuCompiler *c, int32_t node);
/** How good an implementation is, by its name: none; general code, which finds each value's place anew and takes some
 * thousand times as long as loops; products of matrices; generated loops, and those of the widest vectors. */
typedef enum { CPU_NOTHING = 0, CPU_GENERAL, CPU_MATRICES, CPU_LOOPS, CPU_WIDE_LOOPS } CpuQuality;
CpuQuality cpu_quality(dnnl_primitive_desc_t pd);
/** A constant tensor seen in another shape (stored: a layout of its bytes, e.g. with groups split off or transposed)
 * and packed into want; part tells several such views of one tensor apart. */
int32_t cpu_use_packed_as(CpuCompiler *c, int32_t tensor, int32_t part, DnnMdRef stored, DnnMdRef want);
/** Row-major; NULL for what oneDNN does not know (other types, scalars). Of the caller. */
DnnMd cpu_plain_md(CpuCompiler *c, int32_t tensor);
DnnMdRef cpu_value_md(const CpuCompiler *c, int32_t value);

/** Gives a tensor its memory in a layout (taken over; NULL: dense in its dtype). */
int32_t cpu_define(CpuCompiler *c, int32_t tensor, DnnMd md);
/** Gives a tensor a layout (taken over) on another value's memory. */
int32_t cpu_define_alias(CpuCompiler *c, int32_t tensor, DnnMd md, int32_t value);
/** So many uses of a value's memory more are to come, by nodes or from outside; negative: fewer. */
void cpu_expect(CpuCompiler *c, int32_t value, int32_t uses);
/** Another view (taken over) of a value's memory, belonging to no tensor. */
int32_t cpu_view(CpuCompiler *c, DnnMd md, int32_t value);
/** Memory for this node alone. */
int32_t cpu_temporary(CpuCompiler *c, DnnMd md);
/** TRUE if nobody but this node reads the value's memory from now on, so it may be overwritten. */
int cpu_may_overwrite(const CpuCompiler *c, int32_t value);

/** Has a value's memory be a part of another's from the beginning, so many bytes behind that one's; what the two
 * hold must be the same bytes. FALSE, having done nothing, where that can't be: of constants, inputs, what is a part
 * already, larger than the value or nested deeply, and where it would not be aligned. Nobody overwrites a part, nor the
 * whole before parts were read for the last time. */
int cpu_put_into(CpuCompiler *c, int32_t value, int32_t whole, uint64_t at);
/** A part of a value's memory, which belongs to no tensor: for copies of what can't be put there. Takes md over. */
int32_t cpu_part(CpuCompiler *c, DnnMd md, int32_t whole, uint64_t at);

/** TRUE if two values lie in one block. */
int cpu_same_memory(const CpuCompiler *c, int32_t a, int32_t b);

/** A constant made at compile time: data (malloc'd, CPU_ALIGNMENT; taken over) is kept for part of this node. */
int32_t cpu_constant(CpuCompiler *c, int32_t part, DnnMd md, void *data, uint64_t bytes);
/** A constant of this node as a kernel of our own has it, so many bytes: found, or to be packed at the end of n tensors
 * (-1: none). The problem (size bytes) is copied. */
int32_t cpu_own_constant(CpuCompiler *c, int32_t part, uint64_t bytes, CpuPackFunc *pack, const void *problem,
                         size_t size, uint32_t n, const int32_t *tensors);
/** Looks one up that an earlier batch's program made; -1 if there is none. md is not taken. */
int32_t cpu_find_constant(CpuCompiler *c, int32_t part, DnnMdRef md);

/** Adds a primitive (pd is taken over and destroyed) with n (argument, value) pairs; its scratchpad is placed. */
void cpu_step(CpuCompiler *c, dnnl_primitive_desc_t pd, uint32_t n, const CpuArg *args);
/** Copies a value into another layout of the same dimensions. */
void cpu_copy(CpuCompiler *c, int32_t from, int32_t to);
/** A step behind those that are there, of the node that is being lowered; NULL after a failure. What it runs by is
 * still to be filled in, and its values to be told by cpu_touch(). */
CpuStep *cpu_add_step(CpuCompiler *c);
/** The last step uses the value. */
void cpu_touch(CpuCompiler *c, int32_t value);
/** Adds a step by a kernel of our own: its name, static, its problem (copied, size bytes), and n values; one that is
 * not there (negative) is a failure. NULL after a failure; the caller may fill in flops. */
CpuOwn *cpu_own(CpuCompiler *c, const char *name, CpuOwnFunc *run, const void *problem, size_t size, uint32_t n,
                const CpuUse *uses);
/** Runs the node's operator by its reference kernel. */
void cpu_call(CpuCompiler *c);

/** The plan's tensor; and TRUE if it is constant float32, TRUE if float32 of rank 1 or more. */
const GpudlPlanTensor *cpu_tensor(const CpuCompiler *c, int32_t tensor);
int cpu_is_constant(const CpuCompiler *c, int32_t tensor);
int cpu_is_f32(const CpuCompiler *c, int32_t tensor);
/** The only node that reads a tensor; -1 if there are more, or the outside does. */
int32_t cpu_only_reader(const CpuCompiler *c, int32_t tensor);

/** At the end: a constant that steps read as it lies in the plan gets memory of the engine's, for the plan's goes. */
void cpu_keep_raw(CpuCompiler *c, int32_t tensor);

/** A later node becomes part of this one's lowering, whose next step computes it. */
void cpu_cover(CpuCompiler *c, int32_t node);

/** Lowers one node by oneDNN; FALSE, having added nothing, if it can't: the reference kernel then takes it. */
typedef int CpuLower(CpuCompiler *c, const GpudlPlanNode *node);
CpuLower cpu_lower_conv, cpu_lower_gemm, cpu_lower_matmul;
CpuLower cpu_lower_pool, cpu_lower_global_pool, cpu_lower_lrn, cpu_lower_batch_norm, cpu_lower_reduce;
CpuLower cpu_lower_layer_norm, cpu_lower_group_norm;
CpuLower cpu_lower_activation, cpu_lower_unary, cpu_lower_binary, cpu_lower_softmax;
CpuLower cpu_lower_reshape, cpu_lower_identity, cpu_lower_transpose, cpu_lower_concat, cpu_lower_split, cpu_lower_slice;

/** The window of a first pool over n dimensions, of whose results a second one makes the mean of all: oneDNN adds up a
 * window in one chain, and each addition rounds a sum that grows. FALSE where that is short and one pool does, and in
 * bfloat16, to which results are rounded. */
int cpu_mean_window(const CpuCompiler *c, int n, const int64_t *dims, int64_t *window);

/** A shuffle of channels: Reshape (node) n, c, h, w to n, g, c/g, h, w (or n, g, c/g, h w); Transpose of 1 and 2;
 * Reshape back: a permutation of channels that leaves every other thing alone. Returns the last of the three nodes, -1
 * if it is anything else. size: c/g. */
int32_t cpu_find_shuffle(const CpuCompiler *c, const GpudlPlanNode *node, int64_t *size);

/** A concatenation by oneDNN's own loops. */
CpuLower cpu_lower_concat_copy;
/** A batch normalisation, and the ReLU (-1: none) behind it, of a concatenation that waits; FALSE if it does not. */
int cpu_lower_joined_norm(CpuCompiler *c, const GpudlPlanNode *node, int32_t relu);
/** Whether a tensor is a concatenation that waits for its readers; makes it after all, for one that can't take pieces.
 */
int cpu_is_waiting(const CpuCompiler *c, int32_t tensor);
void cpu_make_waiting(CpuCompiler *c, int32_t tensor);
/** So many more uses of a tensor are to come, or have passed (negative): of the pieces, too, where it waits. */
void cpu_hold(CpuCompiler *c, int32_t tensor, int32_t uses);

/** Tells, of a compilation that begins, whether Winograd's transforms are used at all; by which of them a convolution
 * goes, of 2x2 or of 4x4 results at a time; whether a tensor should lie in blocks of channels for their sake. */
typedef enum { CPU_WINOGRAD_NONE = 0, CPU_WINOGRAD_SMALL, CPU_WINOGRAD_LARGE } CpuWinograd;
void cpu_begin_winograd(CpuCompiler *c);
CpuWinograd cpu_winograd_of(const CpuCompiler *c, const GpudlPlanNode *node);
int cpu_prefers_blocks(const CpuCompiler *c, int32_t tensor);

/** Whether oneDNN may make a number of a NaN by this activation. */
int cpu_act_drops_nan(const GpudlAct *act);
/** What is to be fused: the activation, or none where an exact program needs cpu_apply_exact(). */
GpudlAct cpu_fused(const CpuCompiler *c, const GpudlAct *act);
/** In an exact program: an activation that cpu_fused() has left out, over the whole block of a
 * value, in place: padding within it has to stay 0. Else nothing. */
void cpu_apply_exact(CpuCompiler *c, const GpudlAct *act, int32_t value);

/** Adds an activation over a value, in place if it is the last step of the node's output. */
void cpu_apply_activation(CpuCompiler *c, const GpudlAct *act, int32_t value);

#endif
