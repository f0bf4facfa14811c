/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Pairs of bfloat16, as AVX512_BF16 multiplies them: what packs weights shares this. */
#ifndef GPUDL_KERNELS_PAIRS_H
#define GPUDL_KERNELS_PAIRS_H

#include <stdint.h>
#include <string.h>

/** Rounded to nearest, ties to even, in the upper half; of finite numbers. In line, since compilers make vectors of it,
 * and a network has millions of weights. */
static inline uint32_t gpudl_pairs_rounded(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
}

static inline float gpudl_pairs_float(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/** The first in the lower half. */
static inline uint32_t gpudl_pairs_of(float first, float second)
{
    return gpudl_pairs_rounded(first) >> 16 | gpudl_pairs_rounded(second);
}

#endif
