/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** How stem.c packs, and the tables that it chooses from. */
#ifndef GPUDL_KERNELS_STEM_X86_H
#define GPUDL_KERNELS_STEM_X86_H

#include "lanes.h"
#include "stem.h"

#define GPUDL_STEM_KERNEL 11 /* at most, and what else the contract bounds */
#define GPUDL_STEM_STRIDE 4
#define GPUDL_STEM_CHANNELS 4

/**
 * Packed: biases, [vectors][lanes], float32. Then group by group, row by row of the window, step by step of the numbers
 * in it, which are one, or two of bfloat16, the group's channels of y, each with its weights of these:
 * [kernel][steps][vectors of the group][lanes][1 or 2].
 */
static inline int64_t gpudl_stem_steps(const GpudlStem *d)
{
    const int64_t numbers = (int64_t)d->kernel * d->c;

    return d->type == GPUDL_DTYPE_BF16 ? (numbers + 1) / 2 : numbers;
}

extern const GpudlStemKernels gpudl_stem_avx512, gpudl_stem_avx512_bf16;

/** That of an instruction set, NULL where there is none. */
const GpudlStemKernels *gpudl_stem_native(GpudlSimd simd, GpudlDType type);

#endif
