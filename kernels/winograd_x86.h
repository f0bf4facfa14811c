/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How winograd.c packs, and the tables that it chooses from. */
#ifndef GPUDL_KERNELS_WINOGRAD_X86_H
#define GPUDL_KERNELS_WINOGRAD_X86_H

#include "lanes.h"
#include "winograd.h"

/**
 * Products of a tile: 16, and two more of the sixth, which is that of four pixels' sum: of pixels behind a ReLU it is
 * the largest, and would make half of what rounding makes. Behind the rounded sum with rounded weights come what the
 * rounding of the sum has left with the weights, and the sum with what the rounding of the weights has left.
 */
#define GPUDL_WINOGRAD_POINTS 18
#define GPUDL_WINOGRAD_SUM 5
#define GPUDL_WINOGRAD_SUM_LEFT 16
#define GPUDL_WINOGRAD_WEIGHTS_LEFT 17

/**
 * Packed: biases, [vectors][lanes], float32. Then group by group, point by point, pair by pair of channels of x the
 * group's channels of y, each with its weights of the two: [points][pairs][vectors of the group][lanes][2], bfloat16.
 */
static inline int64_t gpudl_winograd_pairs(const GpudlWinograd *d)
{
    return ((int64_t)d->c + 1) / 2;
}

/** Tiles of 2x2 results that are computed together, at most. */
int64_t gpudl_winograd_tiles(const GpudlWinograd *d);

/** Elements of scratch from a point's transformed pixels, [tiles][channels], to the next point's; channels in whole
 * vectors. Ways between points avoid powers of 2, which would put all of them into the same places of a cache. */
static inline int64_t gpudl_winograd_channels(const GpudlWinograd *d)
{
    return gpudl_lanes_vectors(d->c) * GPUDL_LANES;
}

static inline int64_t gpudl_winograd_point(const GpudlWinograd *d, int64_t tiles)
{
    return tiles * gpudl_winograd_channels(d) + 32;
}

/** Likewise of products, float32, [tiles][vectors][lanes]. */
static inline int64_t gpudl_winograd_products(int64_t tiles)
{
    return tiles * GPUDL_GROUP_VECTORS * GPUDL_LANES + 16;
}

extern const GpudlWinogradKernels gpudl_winograd_avx512_bf16;

/** That of an instruction set, NULL where there is none. */
const GpudlWinogradKernels *gpudl_winograd_native(GpudlSimd simd);

#endif
