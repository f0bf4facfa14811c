/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Choosing the plans of convolutions. */
#ifndef GPUDL_ENGINE_CUDA_TUNE_H
#define GPUDL_ENGINE_CUDA_TUNE_H

#include "conv.h"

/** An engine's convolutions; one for each problem, whichever program has it. */
typedef struct {
    CudaConv *first;
    CudaDevice *device;
    const GpudlHost *host;
    int measured; /* plans are chosen by their time, else the first that can be built is taken */
} CudaConvs;

/** The problem's entry, added if there is none yet. NULL if there is no memory. */
CudaConv *cuda_convs_add(CudaConvs *convs, const CudaConvKey *key);

/** Chooses a plan for all that have none; each is tried before it is taken. Under the device's lock, in its context. */
GpudlStatus cuda_convs_choose(CudaConvs *convs, GpudlFault *fault);

void cuda_convs_clear(CudaConvs *convs);

#endif
