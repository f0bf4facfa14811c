/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Making plans of what is kept of them. */
#ifndef GPUDL_ENGINE_CUDA_LOAD_H
#define GPUDL_ENGINE_CUDA_LOAD_H

#include "convs.h"

/** A problem, and what comes of it. */
typedef struct {
    const CudaConvKey *key;
    GpudlCacheEntry kept; /* as it was read */
    int is_own;           /* it was read as the network's own */
    CudaConvPlan plan;    /* where it is known; whoever has it frees it */
    int is_known;
} CudaLoad;

/**
 * Loads what is known of n problems (keys set, the rest zeroed) inside a network; network "": only what is known of
 * them anywhere. Libraries take a tenth of a second each, waiting for the file system and the driver, to find the code
 * of their first plans: a thread does cuBLASLt's, two do cuDNN's, with the device's handles 0 and 1. Ends soon once the
 * host wants it to. In the device's context, its locks building and lock held.
 */
void cuda_load(const CudaConvs *convs, const char *network, CudaLoad *loads, uint32_t n);

/** The order for those of a library, indices of loads: a plan of each engine comes first, since the first one of an
 * engine takes the time, and may wait for another library while other engines' can go on. */
void cuda_load_order(const CudaLoad *loads, uint32_t *order, uint32_t n);

#endif
