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

/** Pixels that lie one way apart; ways are in elements. */
typedef struct {
    const void *packed;
    const uint16_t *x, *z; /* z is added before the activation, NULL: nothing is; it may be y */
    void *y;               /* bfloat16; wide: float32, of which whole vectors are written */
    int64_t x_way, z_way, y_way;
    int wide;
} GpudlPointwisePixels;

/** Of n pixels the group that begins with vector first (y and z lie there), or all groups. Of d channels and activation
 * are read. */
void gpudl_pointwise_group_avx512_bf16(const GpudlPointwise *d, int64_t first, const GpudlPointwisePixels *at,
                                       int64_t n);
void gpudl_pointwise_pixels_avx512_bf16(const GpudlPointwise *d, const GpudlPointwisePixels *at, int64_t n);

extern const GpudlPointwiseKernels gpudl_pointwise_avx512_bf16;

/** That of an instruction set, NULL where there is none. */
const GpudlPointwiseKernels *gpudl_pointwise_native(GpudlSimd simd);

#endif
