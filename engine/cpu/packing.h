/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Weights that are packed at the end of a compilation, by as many threads as the engine will have workers: their memory
 * is written to for the first time. What oneDNN reads is brought into its layouts by its reorders, but for weights of
 * Winograd's transforms (kernels/winograd_weights.h); kernels of our own bring functions that pack theirs.
 */
#ifndef GPUDL_ENGINE_CPU_PACKING_H
#define GPUDL_ENGINE_CPU_PACKING_H

#include "packed.h"

/** Fewer bytes than this are packed by the thread that asks. */
#define CPU_PACKING_ALONE ((uint64_t)1 << 20)

/** A constant that is packed, float32. */
typedef struct {
    const float *values; /* NULL: there is none */
    uint64_t bytes;
} CpuSource;
#define CPU_SOURCES 6 /* that are packed together, at most */

/** Writes all of packed, of constants (CPU_SOURCES of them, NULL: none); problem is whatever it knows. */
typedef void CpuPackFunc(const void *problem, const float *const *constants, void *packed);

typedef struct {
    CpuPacked *packed; /* its data is to be filled */
    CpuSource from[CPU_SOURCES];
    int alone[CPU_SOURCES]; /* nothing else reads what it reads there */
    int32_t tensor;         /* in messages */
    DnnMd md;               /* as that lies, where it goes into packed's layout, */
    int padded;
    CpuPackFunc *pack; /* or what packs, of a problem, which is the job's own; NULL: oneDNN */
    void *problem;
    int done, failed;
} CpuPackingJob;

/** All of one compilation; zeros are an empty one. */
typedef struct {
    CpuPackingJob *jobs;
    uint32_t n, room;
    uint64_t bytes;
} CpuPacking;

/** Notes that packed, whose memory need not be written to yet, is to be made of from, which stays until
 * then. padded: the layout has room beside the values, which is to be zeros. md is copied. 0 if there is no
 * memory. */
int cpu_packing_add(CpuPacking *packing, CpuPacked *packed, int32_t tensor, DnnMdRef md, const CpuSource *from,
                    int padded);

/** Likewise by a function of ours, of n constants; its problem (size bytes) is copied. */
int cpu_packing_add_own(CpuPacking *packing, CpuPacked *packed, CpuPackFunc *pack, const void *problem, size_t size,
                        uint32_t n, const CpuSource *from);

/** Fills all, and tells the host of constants that are not read again; returns when no thread is left. FALSE if not all
 * are made: *failed is the tensor of one that oneDNN can't make, or -1 where the host cancels. */
int cpu_packing_run(CpuPacking *packing, const CpuShared *shared, int32_t *failed);

/** What was not made is not found again. */
void cpu_packing_clear(CpuPacking *packing);

#endif
