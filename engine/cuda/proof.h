/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Whether what was chosen computes what it should, once more and as a whole: each plan was compared with another alone,
 * but not behind and beside others. Knows nothing of CUDA: whoever asks runs the network.
 */
#ifndef GPUDL_ENGINE_CUDA_PROOF_H
#define GPUDL_ENGINE_CUDA_PROOF_H

#include <stddef.h>
#include <stdint.h>

/** How a network is run: in the order in which they are tried. */
typedef enum {
    CUDA_PROOF_GRAPH = 0,  /* as was chosen */
    CUDA_PROOF_ONE_STREAM, /* as a graph on one stream */
    CUDA_PROOF_APART,      /* the same, launches without overlap */
    CUDA_PROOF_STEPS       /* no graph: one step after the other, likewise */
} CudaProofWay;

/** How far the results are off, run so, from those of all groups' references by STEPS, in units of their range;
 * infinite where they are no numbers, or can't be had. taken: per group, TRUE its choice, FALSE its reference. */
typedef float CudaProofRun(void *data, const uint8_t *taken, CudaProofWay way);

/** Of n groups, in the order in which they are run: taken[i] FALSE for those that must not be taken, *way how the rest
 * is to be run, so that nothing is off by more than the bound; where nothing else helps, that is references and APART.
 * What is off by steps is found choice by choice, each beside those before it that are right. TRUE if all is right as
 * was chosen, which one run shows. */
int cuda_proof(CudaProofRun *run, void *data, float bound, uint32_t n, uint8_t *taken, CudaProofWay *way);

/** Largest difference of n values from the right ones, in units of the range of these; infinite where one is no number.
 * Right ones that lie close together have an eighth of their size as their range, a single one its size, and any at
 * least 2^-14. 0 where the right ones are not all numbers: then nothing can be said. */
float cuda_proof_difference(const float *right, const float *found, size_t n);

#endif
