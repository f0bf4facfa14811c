/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Constants on the device: packed and uploaded once, found again by the programs of other batches.
 */
#ifndef GPUDL_ENGINE_CUDA_WEIGHTS_H
#define GPUDL_ENGINE_CUDA_WEIGHTS_H

#include "device.h"

typedef struct CudaConstant CudaConstant;
struct CudaConstant {
    CudaConstant *next;  /* in the same bucket */
    int32_t owner, part; /* tensor, or number of tensors + node, -1: nobody's; which of its constants */
    void *data;
    uint64_t bytes;
    int32_t block; /* of the program that is being compiled, -1: none yet */
};

typedef struct CudaChunk CudaChunk;

typedef struct {
    CudaDevice *device;
    CudaConstant *buckets[1024];
    CudaChunk *chunks; /* what constants are cut from */
    uint64_t bytes;    /* of constants */
} CudaWeights;

/** NULL if there is none. */
CudaConstant *cuda_weights_find(const CudaWeights *weights, int32_t owner, int32_t part);
/** Room for bytes that the caller fills; who does not sets owner to -1, and it is not found again. In the device's
 * context. NULL with *status and *fault. */
CudaConstant *cuda_weights_reserve(CudaWeights *weights, int32_t owner, int32_t part, uint64_t bytes,
                                   GpudlStatus *status, GpudlFault *fault);
/** Uploads bytes from host memory, which may go afterwards. In the device's context. NULL with *status and
 * *fault. */
CudaConstant *cuda_weights_add(CudaWeights *weights, int32_t owner, int32_t part, const void *from, uint64_t bytes,
                               GpudlStatus *status, GpudlFault *fault);
/** Takes memory for about so many bytes of constants at once, if there are none yet: what is taken piece by piece has
 * gaps, as large as a fourth of a network. More is taken as it is needed. In the device's context. */
void cuda_weights_expect(CudaWeights *weights, uint64_t bytes);
/** Bytes that a constant takes of what is expected. */
uint64_t cuda_weights_size(uint64_t bytes);
/** Before a compilation: no constant has a block yet. */
void cuda_weights_begin(CudaWeights *weights);
void cuda_weights_clear(CudaWeights *weights);

#endif
