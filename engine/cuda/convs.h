/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** The convolutions of an engine, and what is kept of the plans that they were given. */
#ifndef GPUDL_ENGINE_CUDA_CONVS_H
#define GPUDL_ENGINE_CUDA_CONVS_H

#include "conv.h"
#include "engine/cache.h"

/** Of a line that says what is kept: network and problem. */
#define CUDA_STEP_ROOM 700

/** An engine's convolutions; one for each problem, whichever program has it. */
typedef struct {
    CudaConv *first;
    CudaDevice *device;
    const GpudlHost *host;
    int measured;     /* plans are chosen by their time, else the first that can be built is taken */
    GpudlCache cache; /* of choices by their time: read in both cases, written where they are measured */
} CudaConvs;

/** The problem's entry, added if there is none yet. NULL if there is no memory. */
CudaConv *cuda_convs_add(CudaConvs *convs, const CudaConvKey *key);

/** Opens the cache of the convs' device, which is another one where it does without libraries; folder NULL: nothing is
 * read or kept. FALSE if there is no memory. */
int cuda_convs_open_cache(CudaConvs *convs, const char *folder);
void cuda_convs_clear(CudaConvs *convs);

/** What is kept of a problem inside a network or, where that is "", anywhere; whoever reads it frees its plan. FALSE if
 * nothing is. Any thread. */
int cuda_convs_read(const CudaConvs *convs, const char *network, const CudaConvKey *key, GpudlCacheEntry *entry);
/** That, ready to run; FALSE if the libraries that are here can't make it. In the device's context, handle (NULL:
 * without cuDNN) under its lock. */
int cuda_convs_load(const CudaConvs *convs, cudnnHandle_t handle, const CudaConvKey *key, const GpudlCacheEntry *entry,
                    CudaConvPlan *plan);
/** Both: what is known of a problem inside a network or, where that is "", anywhere, ready to run; FALSE if nothing is,
 * or the libraries that are here can't make it. In the device's context, handle (NULL: without cuDNN) under its lock.
 */
int cuda_convs_recall(const CudaConvs *convs, const char *network, cudnnHandle_t handle, const CudaConvKey *key,
                      CudaConvPlan *plan);
/** On how many streams a network is settled, 1 .. CUDA_LANES, or CUDA_APART (program.h); 0 if it was not kept that it
 * is. */
uint32_t cuda_convs_network_streams(const CudaConvs *convs, const char *network);

/** Keeps the conv's plan as the fastest alone. */
void cuda_convs_keep_plan(const CudaConvs *convs, const CudaConv *conv);
/** Keeps that a network is settled on so many streams, in so much time. */
void cuda_convs_keep_network(const CudaConvs *convs, const char *network, uint32_t streams, float ns);
/** Keeps the conv's plan as the network's own choice; swapped FALSE: only if another one is kept as such. */
void cuda_convs_keep_choice(const CudaConvs *convs, const char *network, const CudaConv *conv, int swapped);

#endif
