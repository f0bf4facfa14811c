/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Choices that were made inside a network's graph, proved (proof.h) by running the network on a made input. */
#ifndef GPUDL_ENGINE_CUDA_PROVE_H
#define GPUDL_ENGINE_CUDA_PROVE_H

#include "conv.h"
#include "engine/backend.h"

struct CudaProgram;

typedef struct {
    CudaConv *conv;
    const CudaConvPlan *chosen, *reference; /* may be the same */
    int taken;                              /* FALSE: the reference is to be taken */
} CudaProveGroup;

/** Which of a problem's n plans the others are to agree with: a library's, our product, our depthwise kernel or a
 * block's steps. Where there is none our direct kernel becomes plans[n], and is it. */
uint32_t cuda_prove_reference(const CudaConvKey *key, CudaConvPlan *plans, uint32_t n);

/** Groups of a program in the order of their first steps; *streams: what the program's are to be. What is not taken is
 * told in a warning. On the engine's first slot, which is free, within the device's context; the convolutions' plans
 * and the program's streams are whatever was run last. A failure that is not the device's is none: all is taken. */
GpudlStatus cuda_prove(void *engine, struct CudaProgram *program, CudaProveGroup *groups, uint32_t n, uint32_t *streams,
                       GpudlFault *fault);

#endif
