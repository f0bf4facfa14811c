/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * The last round of tuning: of plans that are about as fast alone, those that make the network's graph fastest. What a
 * kernel finds in the caches, and what the one before leaves it, is another thing there than where it runs alone.
 */
#ifndef GPUDL_ENGINE_CUDA_ROUND_H
#define GPUDL_ENGINE_CUDA_ROUND_H

#include "engine/backend.h"

struct CudaProgram;

typedef struct CudaRound CudaRound;

/** Of a program's convolutions that have others (conv.h), on the first slot, which is free for as long as go() is
 * called. No graph of the program is captured before the round is freed, since plans go that graphs would need. Engine
 * and program outlive it. NULL with *fault if there is no memory. All calls are within the device's context. */
CudaRound *cuda_round_new(void *engine, struct CudaProgram *program, GpudlFault *fault);
/** Measures until the deadline (gpudl_module_now_ns()), or until something waits for idle() to return; UINT64_MAX: to
 * the end. *done: all is chosen, and kept in the cache. */
GpudlStatus cuda_round_go(CudaRound *round, uint64_t deadline_ns, int *done, GpudlFault *fault);
/** The best choices so far stay; the other plans go. Takes NULL. */
void cuda_round_free(CudaRound *round);

#endif
