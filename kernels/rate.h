/* SPDX-License-Identifier: LGPL-2.1-or-later */
/**
 * How fast vectors are multiplied and summed: loops of nothing else, which are timed to see what a precision is worth
 * on a processor. Instructions tell that it has them, not what they cost: some take four times as long over a vector of
 * bfloat16 as over one of float32, which has half of the products.
 */
#ifndef GPUDL_KERNELS_RATE_H
#define GPUDL_KERNELS_RATE_H

#include "simd.h"
#include "types.h"

#ifdef __cplusplus
extern "C" {
#endif

/** Independent sums, as many as hide how long one product takes. */
#define GPUDL_RATE_CHAINS 12

typedef struct {
    const char *name; /* "rate:avx512" */
    int products;     /* of a round: those of all lanes of GPUDL_RATE_CHAINS vectors */
    /** Adds 1 x 1 to every sum, as often as there are rounds, 0 or more; returns what all have come to, rounds x
     * products: exact, as long as a lane's sum is below 2^24. */
    double (*multiply)(int rounds);
} GpudlRate;

/** Loops over F32 or BF16 by the widest vectors that simd has; NULL for BF16 where simd doesn't multiply it, other
 * types, and what this processor or build lacks. Plain C's are of one lane. */
const GpudlRate *gpudl_rate(GpudlSimd simd, GpudlDType type);

#ifdef __cplusplus
}
#endif
#endif
