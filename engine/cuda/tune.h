/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Choosing the plans of convolutions, by what each takes alone. */
#ifndef GPUDL_ENGINE_CUDA_TUNE_H
#define GPUDL_ENGINE_CUDA_TUNE_H

#include "convs.h"

/**
 * Choosing plans for all that have none yet, in two parts. Building takes processors for seconds and may be done by any
 * thread beside everything else; trying takes the device, a problem at a time. Each plan is tried before it is taken,
 * or was before it was kept.
 */
typedef struct CudaTuning CudaTuning;

/** network: the line that says whose convolutions these are, for what only holds inside of it; "": nobody's. NULL with
 * *fault if there is no memory. */
CudaTuning *cuda_tuning_new(CudaConvs *convs, const char *network, GpudlFault *fault);
/** Waits for others that build on this device. Ends soon once the host wants it to. */
void cuda_tuning_build(CudaTuning *tuning);
/** After building, in the device's context, its lock not held: tries problems until the deadline
 * (gpudl_module_now_ns()), or until something waits for idle() to return; one plan in any case. UINT64_MAX: all. *done:
 * all have been. */
GpudlStatus cuda_tuning_try(CudaTuning *tuning, uint64_t deadline_ns, int *done, GpudlFault *fault);
/** Instead of building and trying, for a program that is placed but never runs: takes what the cache knows; the rest is
 * left without work memory. counted (NULL: not wanted): adds to its numbers of choices, and names what is not known to
 * the host's missing(). In the device's context. */
GpudlStatus cuda_tuning_recall(CudaTuning *tuning, GpudlOpenForecast *counted, GpudlFault *fault);
/** How much of building and trying is done, 0..1. Any thread. */
double cuda_tuning_done(const CudaTuning *tuning);
/** Is called now and then by the threads that call build() and try(), no lock held but the one for building. */
void cuda_tuning_watch(CudaTuning *tuning, void (*watch)(void *data), void *data);
/** Takes NULL. In the device's context. */
void cuda_tuning_free(CudaTuning *tuning);

/** After building: on how many streams the choices inside this network were made and kept, so that there is none to
 * make; 0 if they were not. */
uint32_t cuda_tuning_streams(const CudaTuning *tuning);

#endif
