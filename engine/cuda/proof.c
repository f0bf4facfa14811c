/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "proof.h"

#include <float.h>
#include <math.h>
#include <string.h>

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
    float low = FLT_MAX, high = -FLT_MAX, most = 0;

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
    /* results that are all the same, one for instance, have no range: their size */
    if (!(high > low))
        high = fmaxf(fabsf(high), 1e-6f) + low;
    return most / (high - low);
}
