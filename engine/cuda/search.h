/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * Which choices make a whole fastest, where each part has several that are about as fast alone: the fastest alone is
 * not always so behind and before others. Asks for measurements and is told them, so whoever measures decides when, and
 * may stop at any time; knows nothing of CUDA.
 *
 * Measurements are noisy and the device's clock drifts, so nothing is compared but what was measured one right after
 * the other, a choice replaces another only if it is faster by more than the noise, twice, and at the end what was
 * found has to beat what it began with. Group by group, those first that take longest; again while that finds
 * something. The same answers make the same questions.
 */
#ifndef GPUDL_ENGINE_CUDA_SEARCH_H
#define GPUDL_ENGINE_CUDA_SEARCH_H

#include <stdint.h>

/** Parts that are alike and have the same choice. */
typedef struct {
    uint32_t n;   /* choices, at least 1; choice 0 is that to begin with */
    float weight; /* about how much of the whole it is: those of more come first */
} CudaSearchGroup;

typedef struct CudaSearch CudaSearch;

/** Copies the groups; NULL if there is no memory. */
CudaSearch *cuda_search_new(const CudaSearchGroup *groups, uint32_t n);
void cuda_search_free(CudaSearch *search);

/** The choice of each group that is to be measured next; NULL if all is known. The same until it was told. */
const uint32_t *cuda_search_next(CudaSearch *search);
/** How long the whole takes with those; not above 0: it can't be had. */
void cuda_search_tell(CudaSearch *search, float ns);

/** The best choice of each group so far; at the end, the result. */
const uint32_t *cuda_search_best(const CudaSearch *search);
/** How long the whole took with the first choices and with the best, when last measured; 0: not yet. */
float cuda_search_first_ns(const CudaSearch *search);
float cuda_search_best_ns(const CudaSearch *search);

#endif
