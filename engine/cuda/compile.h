/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * From a plan to a program.
 */
#ifndef GPUDL_ENGINE_CUDA_COMPILE_H
#define GPUDL_ENGINE_CUDA_COMPILE_H

#include "lower.h"
#include "tune.h"

/** Executions under way at once, each in work memory of its own: one runs while the next is queued. */
#define CUDA_SLOTS 2

/** What an engine's programs have in common. */
typedef struct {
    CudaDevice *device;
    const GpudlHost *host;
    CudaConvs convs;
    CudaWeights weights;
    GpudlDType dtype;
    int32_t tf32, activation;
    uint64_t work_limit;   /* of a slot, once slots are made; 0: none yet */
    uint64_t memory_limit; /* of weights and slots, 0: none */
    int tries_blocks;      /* what may be one launch is looked for (blocks.h), to be chosen by its time */
    int tries_branches;    /* programs that are not settled get lanes, for it to be measured whether they pay */
} CudaShared;

/**
 * The compilation of a plan: begin() lowers the nodes, whose constants are readable until weights() or end(); then its
 * tuning is built and tried (tune.h); end() places the memory. Each in the device's context, but for building.
 */
typedef struct {
    const CudaShared *shared;
    CudaCompiler compiler;
    CudaTuning *tuning;
} CudaCompilation;

/** NULL with *status and *fault; UNSUPPORTED names node and operator. */
CudaCompilation *cuda_compile_begin(CudaShared *shared, const GpudlPlan *plan, GpudlStatus *status, GpudlFault *fault);
/** Returns when the weights are on the device, which takes place beside what was done since begin(). OK, or
 * UNSUPPORTED, that of a node's are too large for their type, or the device's errors. Before anything is measured. */
GpudlStatus cuda_compile_weights(CudaCompilation *compilation, GpudlFault *fault);
/** The program; NULL with *status and *fault. Frees the compilation in any case. */
CudaProgram *cuda_compile_end(CudaCompilation *compilation, GpudlStatus *status, GpudlFault *fault);
/** Instead of end(). */
void cuda_compile_free(CudaCompilation *compilation);

#endif
