/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "weights.h"

#include <stdlib.h>

#include "engine/module.h"

#define ALIGNMENT 256
#define GRANULE ((uint64_t)2 << 20) /* that the device gives larger blocks in, whatever is asked for */
#define CHUNK_BYTES (2 * GRANULE)
#define N_BUCKETS (sizeof((CudaWeights *)NULL)->buckets / sizeof(CudaConstant *))

struct CudaChunk {
    CudaChunk *next;
    uint8_t *memory;
    uint64_t bytes, used;
};

static CudaConstant **bucket(CudaWeights *weights, int32_t owner, int32_t part)
{
    return &weights->buckets[((uint32_t)owner * 31 + (uint32_t)part) % N_BUCKETS];
}

CudaConstant *cuda_weights_find(const CudaWeights *weights, int32_t owner, int32_t part)
{
    CudaConstant *constant = *bucket((CudaWeights *)weights, owner, part);

    while (constant != NULL && (constant->owner != owner || constant->part != part))
        constant = constant->next;
    return constant;
}

uint64_t cuda_weights_size(uint64_t bytes)
{
    return (bytes + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
}

/* Of whole granules. NULL with *error. */
static CudaChunk *add_chunk(CudaWeights *weights, uint64_t size, cudaError_t *error)
{
    CudaChunk *chunk = calloc(1, sizeof *chunk);

    *error = cudaErrorMemoryAllocation;
    if (chunk == NULL)
        return NULL;
    chunk->bytes = (size + GRANULE - 1) / GRANULE * GRANULE;
    *error = cudaMalloc((void **)&chunk->memory, chunk->bytes);
    if (*error != cudaSuccess) {
        free(chunk);
        return NULL;
    }
    chunk->next = weights->chunks;
    return weights->chunks = chunk;
}

void cuda_weights_expect(CudaWeights *weights, uint64_t bytes)
{
    cudaError_t error;

    if (weights->chunks == NULL && bytes > 0 && add_chunk(weights, bytes, &error) == NULL)
        cudaGetLastError(); /* smaller ones may still be had */
}

/* Room on the device, in the first chunk that has it; large ones get a chunk of their own, of which the last granule's
 * rest is for others. */
static void *allocate(CudaWeights *weights, uint64_t bytes, GpudlStatus *status, GpudlFault *fault)
{
    const uint64_t size = cuda_weights_size(bytes);
    CudaChunk *chunk = weights->chunks;
    cudaError_t error;
    void *data;

    while (chunk != NULL && chunk->bytes - chunk->used < size)
        chunk = chunk->next;
    if (chunk == NULL)
        chunk = add_chunk(weights, size > CHUNK_BYTES ? size : CHUNK_BYTES, &error);
    if (chunk == NULL) {
        *status =
            cuda_fail(weights->device, fault, error, "%llu bytes for weights on the device", (unsigned long long)size);
        return NULL;
    }
    data = chunk->memory + chunk->used;
    chunk->used += size;
    return data;
}

CudaConstant *cuda_weights_reserve(CudaWeights *weights, int32_t owner, int32_t part, uint64_t bytes,
                                   GpudlStatus *status, GpudlFault *fault)
{
    CudaConstant *constant = calloc(1, sizeof *constant);
    CudaConstant **place = bucket(weights, owner, part);

    if (constant == NULL) {
        *status = gpudl_module_fail(fault, GPUDL_STATUS_NO_MEMORY, "no memory for weights");
        return NULL;
    }
    *constant = (CudaConstant){.owner = owner, .part = part, .bytes = bytes, .block = -1};
    constant->data = allocate(weights, bytes, status, fault);
    if (constant->data == NULL) {
        free(constant);
        return NULL;
    }
    weights->bytes += bytes;
    constant->next = *place;
    *place = constant;
    return constant;
}

CudaConstant *cuda_weights_add(CudaWeights *weights, int32_t owner, int32_t part, const void *from, uint64_t bytes,
                               GpudlStatus *status, GpudlFault *fault)
{
    CudaConstant *constant = cuda_weights_reserve(weights, owner, part, bytes, status, fault);
    cudaError_t error = cudaSuccess;

    if (constant != NULL && bytes > 0)
        error = cudaMemcpy(constant->data, from, bytes, cudaMemcpyHostToDevice);
    if (error == cudaSuccess)
        return constant;
    *status = cuda_fail(weights->device, fault, error, "uploading %llu bytes of weights", (unsigned long long)bytes);
    constant->owner = -1; /* not to be found again */
    return NULL;
}

void cuda_weights_begin(CudaWeights *weights)
{
    for (size_t i = 0; i < N_BUCKETS; i++)
        for (CudaConstant *constant = weights->buckets[i]; constant != NULL; constant = constant->next)
            constant->block = -1;
}

void cuda_weights_clear(CudaWeights *weights)
{
    for (size_t i = 0; i < N_BUCKETS; i++)
        while (weights->buckets[i] != NULL) {
            CudaConstant *constant = weights->buckets[i];

            weights->buckets[i] = constant->next;
            free(constant);
        }
    while (weights->chunks != NULL) {
        CudaChunk *chunk = weights->chunks;

        weights->chunks = chunk->next;
        cudaFree(chunk->memory);
        free(chunk);
    }
}
