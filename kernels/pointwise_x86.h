/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How pointwise.c packs, and the tables that it chooses from. */
#ifndef GPUDL_KERNELS_POINTWISE_X86_H
#define GPUDL_KERNELS_POINTWISE_X86_H

#include "lanes.h"
#include "pointwise.h"

/**
 * Packed: biases, [vectors][lanes], float32. Then group by group, step by step the group's channels of y:
 * [steps][vectors of the group][lanes]. A step is a channel of x, and a word its weight; in bfloat16 a pair of them and
 * their weights.
 */
static inline int64_t gpudl_pointwise_steps(const GpudlPointwise *d)
{
    return d->type == GPUDL_DTYPE_BF16 ? ((int64_t)d->c + 1) / 2 : d->c;
}

/** Pixels that lie one way apart; ways are in elements. */
typedef struct {
    const void *packed;
    const void *x, *z; /* z is added before the activation, NULL: nothing is; it may be y */
    void *y;           /* of x's type; wide: float32, of which whole vectors are written */
    int64_t x_way, z_way, y_way;
    int wide;
} GpudlPointwisePixels;

/** Of n pixels the group that begins with vector first (y and z lie there), or all groups, which are never wide. Of d
 * channels and activation are read. */
typedef void GpudlPointwiseGroup(const GpudlPointwise *d, int64_t first, const GpudlPointwisePixels *at, int64_t n);
typedef void GpudlPointwiseAll(const GpudlPointwise *d, const GpudlPointwisePixels *at, int64_t n);
GpudlPointwiseGroup gpudl_pointwise_group_avx512, gpudl_pointwise_group_avx512_bf16;
GpudlPointwiseAll gpudl_pointwise_pixels_avx512, gpudl_pointwise_pixels_avx512_bf16;

extern const GpudlPointwiseKernels gpudl_pointwise_avx512, gpudl_pointwise_avx512_bf16;

/** That of an instruction set and type, NULL where there is none. */
const GpudlPointwiseKernels *gpudl_pointwise_native(GpudlSimd simd, GpudlDType type);

#endif
