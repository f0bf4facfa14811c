/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Weights that are packed at the end of a compilation, by as many threads as the engine will have workers: their memory
 * is written to for the first time. Winograd's transforms are our own (kernels/winograd_weights.h), all else oneDNN's
 * reorders.
 */
#ifndef GPUDL_ENGINE_CPU_PACKING_H
#define GPUDL_ENGINE_CPU_PACKING_H

#include "kernels/matvec.h"
#include "packed.h"

/** Fewer bytes than this are packed by the thread that asks. */
#define CPU_PACKING_ALONE ((uint64_t)1 << 20)

typedef struct {
    CpuPacked *packed; /* its data is to be filled */
    DnnMd md;          /* as it lies in from */
    const void *from;
    uint64_t from_bytes;
    int32_t tensor;
    int padded, alone; /* alone: no other job reads what it reads */
    int done, failed;
    GpudlMatvec product; /* type NONE: it is none; else weights of one, packed for gpudl_matvec_kernels() */
    int by_rows;         /* of that one, */
    float factor;        /* and what weights are multiplied by */
} CpuPackingJob;

/** All of one compilation; zeros are an empty one. */
typedef struct {
    CpuPackingJob *jobs;
    uint32_t n, room;
    uint64_t bytes;
} CpuPacking;

/** Notes that packed, whose memory need not be written to yet, is to be made of what lies at from, which stays until
 * then, from_bytes. padded: the layout has room beside the values, which is to be zeros. md is copied. 0 if there is no
 * memory. */
int cpu_packing_add(CpuPacking *packing, CpuPacked *packed, int32_t tensor, DnnMdRef md, const void *from,
                    uint64_t from_bytes, int padded);

/** Likewise weights of a product as its kernel has them; biases are the caller's. */
int cpu_packing_add_product(CpuPacking *packing, CpuPacked *packed, int32_t tensor, const GpudlMatvec *product,
                            const float *from, uint64_t from_bytes, int by_rows, float factor);

/** Fills all, and tells the host of constants that are not read again; returns when no thread is left. FALSE if not all
 * are made: *failed is the tensor of one that oneDNN can't make, or -1 where the host cancels. */
int cpu_packing_run(CpuPacking *packing, const CpuShared *shared, int32_t *failed);

/** What was not made is not found again. */
void cpu_packing_clear(CpuPacking *packing);

#endif
