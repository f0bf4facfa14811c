/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How pointwise.c packs, and the tables that it chooses from. */
#ifndef GPUDL_KERNELS_POINTWISE_X86_H
#define GPUDL_KERNELS_POINTWISE_X86_H

#include "pointwise.h"

#define GPUDL_POINTWISE_LANES 16  /* channels of y in a vector */
#define GPUDL_POINTWISE_VECTORS 4 /* at most, of a group: channels of y that are computed together */

/**
 * Packed: biases, [vectors][lanes], float32. Then group by group, pair by pair of channels of x the group's channels of
 * y, each with its weights of the two: [pairs][vectors of the group][lanes][2], bfloat16.
 */
static inline int64_t gpudl_pointwise_vectors(const GpudlPointwise *d)
{
    return ((int64_t)d->k + GPUDL_POINTWISE_LANES - 1) / GPUDL_POINTWISE_LANES;
}

static inline int64_t gpudl_pointwise_pairs(const GpudlPointwise *d)
{
    return ((int64_t)d->c + 1) / 2;
}

/** Vectors of the group that begins with this one: groups are as even as can be. */
static inline int64_t gpudl_pointwise_group(int64_t vectors, int64_t first)
{
    const int64_t groups = (vectors + GPUDL_POINTWISE_VECTORS - 1) / GPUDL_POINTWISE_VECTORS;
    const int64_t small = vectors / groups, large = vectors % groups;

    return first < large * (small + 1) ? small + 1 : small;
}

extern const GpudlPointwiseKernels gpudl_pointwise_avx512_bf16;

/** That of an instruction set, NULL where there is none. */
const GpudlPointwiseKernels *gpudl_pointwise_native(GpudlSimd simd);

#endif
