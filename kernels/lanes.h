/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** What the CPU's own convolutions share: channels of y in vectors, vectors in groups, the activations behind them. */
#ifndef GPUDL_KERNELS_LANES_H
#define GPUDL_KERNELS_LANES_H

#include <stdint.h>

#include "types.h"

#define GPUDL_LANES 16        /* channels of y in a vector */
#define GPUDL_GROUP_VECTORS 4 /* at most, of a group: channels of y that are computed together */

/** Vectors of so many channels. */
static inline int64_t gpudl_lanes_vectors(int32_t channels)
{
    return ((int64_t)channels + GPUDL_LANES - 1) / GPUDL_LANES;
}

/** Vectors of the group that begins with this one: groups are as even as can be. */
static inline int64_t gpudl_lanes_group(int64_t vectors, int64_t first)
{
    const int64_t groups = (vectors + GPUDL_GROUP_VECTORS - 1) / GPUDL_GROUP_VECTORS;
    const int64_t small = vectors / groups, large = vectors % groups;

    return first < large * (small + 1) ? small + 1 : small;
}

/** Nonzero if simd_act.inc has it. */
static inline int gpudl_lanes_act(const GpudlAct *act)
{
    switch (act->kind) {
    case GPUDL_ACT_NONE:
    case GPUDL_ACT_RELU:
    case GPUDL_ACT_CLIP:
    case GPUDL_ACT_SILU:
    case GPUDL_ACT_HARD_SWISH:
        return 1;
    default:
        return 0;
    }
}

#endif
