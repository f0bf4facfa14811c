/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof.h"

#include <float.h>
#include <math.h>
#include <string.h>

/* What results are off by is rounding, also where they lie close together: their range counts as at least so much of
 * their size, and as half's smallest normal number, below which its steps get no smaller. */
#define LEAST_OF_SIZE 0.125f
#define LEAST_RANGE 0x1p-14f

int cuda_proof(CudaProofRun *run, void *data, float bound, uint32_t n, uint8_t *taken, CudaProofWay *way)
{
    memset(taken, 1, n);
    *way = CUDA_PROOF_GRAPH;
    if (run(data, taken, CUDA_PROOF_GRAPH) <= bound)
        return 1;
    if (!(run(data, taken, CUDA_PROOF_STEPS) <= bound)) {
        memset(taken, 0, n);
        for (uint32_t i = 0; i < n; i++) {
            taken[i] = 1;
            taken[i] = run(data, taken, CUDA_PROOF_STEPS) <= bound;
        }
    }
    for (; *way < CUDA_PROOF_STEPS; ++*way)
        if (run(data, taken, *way) <= bound)
            return 0;
    memset(taken, 0, n);
    *way = CUDA_PROOF_APART;
    return 0;
}

float cuda_proof_difference(const float *right, const float *found, size_t n)
{
    float low = FLT_MAX, high = -FLT_MAX, most = 0, size, range;

    for (size_t i = 0; i < n; i++) {
        if (!isfinite(right[i]))
            return 0;
        low = fminf(low, right[i]);
        high = fmaxf(high, right[i]);
    }
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(found[i]))
            return INFINITY;
        most = fmaxf(most, fabsf(found[i] - right[i]));
    }
    size = fmaxf(fabsf(low), fabsf(high));
    /* results that are all the same, one for instance, have no range: their size */
    range = n > 0 && !(high > low) ? size : fmaxf(high - low, LEAST_OF_SIZE * size);
    return most / fmaxf(range, LEAST_RANGE);
}
