/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * One plan compiled for a device: steps over placed blocks of memory. A program is made once, then read by all slots,
 * each with a workspace of its own.
 *
 * Vocabulary: a block is a piece of workspace with a lifetime, or constant memory on the device; a value is a view of a
 * block by strides. A plan's tensor is one value; several may lie on one block (slices of a concatenation, reshapes).
 * Pictures lie NHWC with channels padded to a multiple of 8, so that every pixel begins at 16 bytes.
 */
#ifndef GPUDL_ENGINE_CUDA_PROGRAM_H
#define GPUDL_ENGINE_CUDA_PROGRAM_H

#include "conv.h"
#include "device.h"
#include "engine/graph/attrs.h"
#include "kernels/elementwise_cuda.h"
#include "kernels/nhwc.h"
#include "kernels/shuffle_cuda.h"
#include "kernels/window.h"
#include "lanes.h"

#define CUDA_ALIGNMENT 256          /* of blocks and constants */
#define CUDA_CHANNELS 8             /* channels are padded to a multiple of this */
#define CUDA_APART (CUDA_LANES + 1) /* in the place of a number of streams: one, where launches do not overlap */

typedef struct {
    void *constant; /* on the device; NULL: in the workspace */
    int pinned;     /* or where the host reads results, at offset */
    uint64_t bytes, offset;
    int32_t first, last; /* steps; first INT32_MAX: of none */
} CudaBlock;

typedef struct {
    int32_t block;
    GpudlDType dtype;
    GpudlShape shape;
    int64_t strides[GPUDL_MAX_RANK]; /* elements */
    int64_t offset;                  /* elements from the block's begin */
    int finite; /* the channels that fill a pixel up are finite numbers: with weights of 0 they may be computed with */
} CudaValue;

typedef struct CudaStep CudaStep;
typedef struct CudaProgram CudaProgram;

/** A program on one workspace and stream. handle: cuDNN's, on that stream; the device's lock protects it. NULL without
 * cuDNN, and no step asks for it then. */
typedef struct {
    const CudaProgram *program;
    CudaDevice *device;
    uint8_t *workspace, *outputs; /* outputs: pinned */
    cudaStream_t stream;
    cudnnHandle_t handle;
} CudaRun;

/** Queues a step: 0, or a status of kernels, CUDA (positive), cuDNN (above CUDA_STEP_CUDNN) or cuBLASLt. */
typedef int CudaLaunch(const CudaStep *step, const CudaRun *run);
#define CUDA_STEP_CUDNN 1000000
#define CUDA_STEP_LT 2000000

/** What a step reads and writes are values, -1: none. */
struct CudaStep {
    CudaLaunch *launch;
    int32_t node, last_node; /* of the plan, for messages and profiles */
    int32_t x, y, w, bias, half_bias, z;
    int32_t more[GPUDL_SHUFFLE_SOURCES]; /* read as well: n_more of them */
    int32_t n_more;
    int32_t scratch; /* a block, or -1 */
    int32_t op;
    GpudlAct act, gate; /* gate: of a squeeze's second product */
    GpudlWindow window;
    CudaConv *conv;
    CudaConv *block; /* of the block that it is a step of (blocks.h), or NULL */
    CudaLaunch *launch_block;
    int32_t block_steps; /* of that, from here to its end: 1 is its last */
    char what[48];
};

struct CudaProgram {
    const GpudlPlan *plan;
    uint32_t n_steps, n_blocks, n_values;
    CudaStep *steps;
    CudaBlock *blocks;
    CudaValue *values;
    uint32_t n_frame_steps;           /* what frames need; those behind make heads dense, for whole tensors */
    int32_t input;                    /* value of the network's input: NHWC, 4 channels where it has at most 4 */
    int32_t heads[GPUDL_MAX_OUTPUTS]; /* dense float32, one per output, before the activation */
    uint64_t work_bytes;
    char network[128]; /* whose program this is, one line that other batches and precisions do not have; "": nobody's */
    int is_settled;    /* the choices inside its graph were made before, streams among them */
    CudaLanes lanes;   /* of the steps that frames need; n 0: it has no branches, or is not asked for them */
    uint32_t streams;  /* that its graph is captured on: 1, CUDA_LANES, or CUDA_APART */
};

void cuda_program_free(CudaProgram *program);

#define CUDA_STEP_READS (5 + GPUDL_SHUFFLE_SOURCES)
/** The values that a step reads, those that are none left out; returns how many. */
static inline int cuda_step_reads(const CudaStep *step, int32_t values[CUDA_STEP_READS])
{
    const int32_t single[] = {step->x, step->w, step->bias, step->half_bias, step->z};
    int n = 0;

    for (size_t i = 0; i < sizeof single / sizeof *single; i++)
        if (single[i] >= 0)
            values[n++] = single[i];
    for (int32_t i = 0; i < step->n_more; i++)
        values[n++] = step->more[i];
    return n;
}

/** FALSE for a step of a block that its last one computes. */
int cuda_step_launches(const CudaStep *step);
/** Queues a step, or the block in place of its last one. */
int cuda_step_launch(const CudaStep *step, const CudaRun *run);

/** Address of a value. */
void *cuda_value_data(const CudaRun *run, int32_t value);
/** The value as an operand of element-wise kernels. */
GpudlStrided cuda_value_strided(const CudaRun *run, int32_t value);
/** TRUE, and the extents, if a value of rank 4 or 2 lies as the picture kernels want it. */
int cuda_value_nhwc(const CudaValue *value, GpudlNhwc *nhwc);

/** Queues the steps begin <= i < end; 0 or the first status, of step *failed. */
int cuda_program_queue(const CudaRun *run, uint32_t begin, uint32_t end, uint32_t *failed);
/** That status as a fault. */
GpudlStatus cuda_program_fault(const CudaRun *run, uint32_t step, int status, GpudlFault *fault);

#endif
