/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The state of a compilation: what lower_*.c make values and steps of, and what they say of a node.
 */
#ifndef GPUDL_ENGINE_CUDA_LOWER_H
#define GPUDL_ENGINE_CUDA_LOWER_H

#include "convs.h"
#include "engine/graph/attrs.h"
#include "packer.h"
#include "program.h"
#include "weights.h"

/** Where a tensor is to be made: a slice of another one's value. */
typedef struct {
    int32_t concat; /* the tensor, -1: nowhere in particular */
    int32_t axis;
    int64_t start;
} CudaTarget;

/** Channels that come from other tensors (shuffles.c). */
typedef struct CudaShuffles CudaShuffles;

/** State of one compilation. After a failure every function does nothing and returns -1 or NULL: lowering code checks
 * once, at its end. */
typedef struct {
    CudaDevice *device;
    const GpudlHost *host;
    CudaConvs *convs;
    CudaWeights *weights;
    const GpudlPlan *plan;
    CudaProgram *program;
    GpudlDType dtype; /* of pictures: float16, bfloat16 or float32 */
    int32_t tf32, activation;
    int tries_blocks, tries_branches;
    uint64_t work_limit;    /* bytes of work memory that the plans beside the fastest, and room for branches to run
                             * beside one another, may make it, 0: any */
    int32_t node;           /* being lowered */
    const char *op_name;    /* its name, for messages */
    uint8_t *covered;       /* per node: part of an earlier one's step */
    int32_t *tensor_values; /* per tensor, -1: none yet */
    CudaTarget *targets;    /* per tensor */
    int32_t *turned;        /* per tensor, rows of pictures: so many pixels, by which terms lie, then by channels; 0: as
                             * the plan counts them */
    CudaShuffles *shuffles;
    uint32_t step_room, block_room, value_room;
    CudaPacker packer; /* what is to be packed, once all is lowered */
    GpudlStatus status;
    GpudlFault *fault;
} CudaCompiler;

/** Fails the compilation once; the first message stays. */
__attribute__((format(printf, 3, 4))) void cuda_compiler_fail(CudaCompiler *c, GpudlStatus status, const char *format,
                                                              ...);
/** The node can't be run: UNSUPPORTED, naming node and operator, and why. Returns FALSE. */
__attribute__((format(printf, 2, 3))) int cuda_refuse(CudaCompiler *c, const char *format, ...);

const GpudlPlanTensor *cuda_tensor(const CudaCompiler *c, int32_t tensor);
int cuda_is_constant(const CudaCompiler *c, int32_t tensor);
CudaValue *cuda_value(const CudaCompiler *c, int32_t value);

/** The type that a tensor is stored in: float types that are computed with in that of pictures, others in their own. */
GpudlDType cuda_storage(const CudaCompiler *c, int32_t tensor);
/** Whether a plan's type is a float type that is computed with; an integer type that is, or bool. */
int cuda_is_float(GpudlDType dtype);
int cuda_is_integer(GpudlDType dtype);

/** A tensor as it lies; constants are uploaded as they are, but for float types other than float32, which become that.
 */
int32_t cuda_use(CudaCompiler *c, int32_t tensor);
/** A tensor of rank 4 or 2, not constant, in the form of picture kernels, copied if it has to be. whole: every pixel
 * begins at 16 bytes, for cuDNN. */
int32_t cuda_use_nhwc(CudaCompiler *c, int32_t tensor, int whole, GpudlNhwc *nhwc);
/** The same with so many channels, those beyond the tensor's finite. */
int32_t cuda_use_padded(CudaCompiler *c, int32_t tensor, int32_t channels, GpudlNhwc *nhwc);

/** A tensor of rank 2 or more as picture: the last dimension is the width, what lies between it and the channels the
 * height; copied if it has to be. */
int32_t cuda_use_picture(CudaCompiler *c, int32_t tensor, GpudlNhwc *nhwc);
/** The value that a picture kernel writes for a tensor: its own, or, where that is no picture, another, which
 * cuda_end_picture() makes the tensor of once the step is there. */
int32_t cuda_begin_picture(CudaCompiler *c, int32_t tensor, GpudlNhwc *nhwc);
int cuda_end_picture(CudaCompiler *c, int32_t tensor, int32_t value);

/** A table of the node being lowered as a value of int32; that of an earlier batch where there is one. */
int32_t cuda_add_table(CudaCompiler *c, int32_t part, int64_t n, const uint32_t *values);

/** Values of a constant float32 tensor on the host; NULL after refusing the node. */
const float *cuda_constant_data(CudaCompiler *c, int32_t tensor);

/** Whether a constant can't be read any more but is on the device: batches compiled before have it, and its values were
 * checked then. */
int cuda_was_checked(const CudaCompiler *c, int32_t tensor);
/** A constant made at compile time for part of this node: the one that an earlier program made, or -1. */
int32_t cuda_find_constant(CudaCompiler *c, int32_t part, GpudlDType dtype, int64_t n);
/** The same made now, of values (malloc'd, taken over; NULL: there was no memory), converted to dtype. */
int32_t cuda_add_constant(CudaCompiler *c, int32_t part, GpudlDType dtype, int64_t n, float *values);
/** The same of what is packed before the compilation ends; from is a constant's of the plan. */
int32_t cuda_add_packed(CudaCompiler *c, int32_t part, const CudaPacking *packing);

/** The one node that reads a tensor, and nothing else does, if it is of that kind; else -1. */
int32_t cuda_only_reader(const CudaCompiler *c, int32_t tensor, GpudlOp op);
/** Whether a product is that of a constant matrix with rows of its first operand, one constant row being added. */
int cuda_is_product_of_rows(const CudaCompiler *c, const GpudlPlanNode *node);

/** Memory for the network's input, where pictures of at most 4 channels have 4 a pixel, as pre-processing writes them.
 */
void cuda_define_input(CudaCompiler *c);
/** Gives a tensor its memory: pictures and rows with padded channels, others dense; where its target is if it has one.
 */
int32_t cuda_define(CudaCompiler *c, int32_t tensor);
/** The same in the layout that another value of its shape has, where that has no large gaps: what is computed element
 * by element stays as it lies. */
int32_t cuda_define_like(CudaCompiler *c, int32_t tensor, int32_t value);
/** The same dense, in the type it is stored in: what is not a picture. */
int32_t cuda_define_plain(CudaCompiler *c, int32_t tensor);
/** The same dense, float32, at a place of its own. */
int32_t cuda_define_dense(CudaCompiler *c, int32_t tensor);
/** Gives a tensor a view of another value's memory. */
int32_t cuda_define_view(CudaCompiler *c, int32_t tensor, const CudaValue *view);
/** Memory for this node alone, of a shape in the layout that cuda_define() gives; and bytes, as a block. */
int32_t cuda_temporary(CudaCompiler *c, GpudlDType dtype, const GpudlShape *shape, int padded);
int32_t cuda_scratch(CudaCompiler *c, uint64_t bytes);
/** Dense float32 where the host reads it, offset bytes behind the begin of the outputs. */
int32_t cuda_pinned(CudaCompiler *c, const GpudlShape *shape, uint64_t offset);
/** The value's memory lives to the end. */
void cuda_keep(CudaCompiler *c, int32_t value);
/** A block: memory of the workspace, or a constant's. */
int32_t cuda_add_block(CudaCompiler *c, void *constant, uint64_t bytes);
/** Strides for a value's shape: dense, but pictures and rows with padded channels if wanted. Returns the elements that
 * have to be there. */
int64_t cuda_lay_out(CudaValue *value, int padded);
/** A value that belongs to no tensor. */
int32_t cuda_add_value(CudaCompiler *c, const CudaValue *value);

/** An operand as a value of the result's shape: missing dimensions in front, and those of 1, have stride 0. */
int32_t cuda_broadcast(CudaCompiler *c, int32_t value, const GpudlShape *shape);
/** A view in another shape of as many elements; FALSE if strides can't say it. */
int cuda_reshape_view(const CudaValue *from, const GpudlShape *shape, CudaValue *to);

/** y = op(x) and y = op(x, z), followed by act, element by element. */
CudaLaunch cuda_launch_unary, cuda_launch_binary;
/** Adds a step of the node; NULL after a failure. The caller fills the rest, then calls cuda_touch(). */
CudaStep *cuda_step(CudaCompiler *c, CudaLaunch *launch, const char *what);
/** The memory of all that the step reads and writes lives at it. */
void cuda_touch(CudaCompiler *c, const CudaStep *step);
/** y = x, whatever their layouts and types; shapes are equal. Tensors without elements need no step. */
void cuda_copy(CudaCompiler *c, int32_t x, int32_t y);
/** Zeros. */
void cuda_clear(CudaCompiler *c, int32_t y);
/** y = act(y + z), z -1: none. */
void cuda_finish(CudaCompiler *c, int32_t y, int32_t z, const GpudlAct *act);

/** Which tensors are made inside the concatenation that they are for. Before any node is lowered. */
void cuda_plan_targets(CudaCompiler *c);
/** Lowers the node c->node, or refuses it. */
void cuda_lower_node(CudaCompiler *c, const GpudlPlanNode *node);

/** Lowers one node; FALSE after cuda_refuse(). */
typedef int CudaLower(CudaCompiler *c, const GpudlPlanNode *node);
CudaLower cuda_lower_conv, cuda_lower_gemm, cuda_lower_matmul, cuda_lower_pool, cuda_lower_global_pool,
    cuda_lower_reduce, cuda_lower_batch_norm, cuda_lower_layer_norm, cuda_lower_group_norm, cuda_lower_unary,
    cuda_lower_binary, cuda_lower_softmax, cuda_lower_identity, cuda_lower_reshape, cuda_lower_transpose,
    cuda_lower_concat, cuda_lower_split, cuda_lower_slice, cuda_lower_expand, cuda_lower_typed_unary,
    cuda_lower_typed_binary, cuda_lower_where, cuda_lower_cast, cuda_lower_pad, cuda_lower_gather, cuda_lower_resize,
    cuda_lower_lrn, cuda_lower_any_conv;

/** The scales of squeeze-and-excite as one step, at the mean's node; FALSE, having added nothing, where there is no
 * such thing, or single steps are to be preferred. */
CudaLower cuda_lower_squeeze;

/** BATCH_NORM by parameters that are not constant float32. */
int cuda_lower_any_batch_norm(CudaCompiler *c, const GpudlPlanNode *node);

/** MATMUL (attrs of no transposition and no scale) and GEMM by our own kernel, whatever the operands. */
int cuda_lower_any_product(CudaCompiler *c, const GpudlPlanNode *node, const GpudlGemmAttrs *attrs);

/** Finds chains that only bring channels into another order: CONCAT, the RESHAPE, TRANSPOSE, RESHAPE of a channel
 * shuffle, SPLIT and SLICE of its result. What they make is made in one pass from the tensors that they began with,
 * where another node reads it. Before cuda_plan_targets(). */
void cuda_plan_shuffles(CudaCompiler *c);
/** Whether a node belongs to such a chain. */
int cuda_is_shuffle(const CudaCompiler *c, int32_t node);
/** Makes what other nodes read of such a node's outputs. */
void cuda_lower_shuffle(CudaCompiler *c, const GpudlPlanNode *node);
void cuda_shuffles_free(CudaShuffles *shuffles, uint32_t n_tensors);

/** TRUE if all values of a constant integer tensor lie in low .. high, or did when it was checked; else *found is one
 * that does not, or the compilation has failed. */
int cuda_check_integers(CudaCompiler *c, int32_t tensor, int64_t low, int64_t high, int64_t *found);

/** Each output after the activation where the host reads it; then, behind what frames need, as dense float32. */
void cuda_lower_heads(CudaCompiler *c);

#endif
