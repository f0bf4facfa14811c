/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Tables that squeeze.c chooses from. */
#ifndef GPUDL_KERNELS_SQUEEZE_X86_H
#define GPUDL_KERNELS_SQUEEZE_X86_H

#include "squeeze.h"

/** Channels that scratch and packed weights keep together. */
#define GPUDL_SQUEEZE_BLOCK 16

extern const GpudlSqueezeKernels gpudl_squeeze_generic, gpudl_squeeze_avx2, gpudl_squeeze_avx512,
    gpudl_squeeze_avx512_bf16;

/** That of an instruction set other than GENERIC, NULL where the processor has it not. */
const GpudlSqueezeKernels *gpudl_squeeze_native(GpudlSimd simd);

static inline int64_t gpudl_squeeze_round(int64_t channels)
{
    return (channels + GPUDL_SQUEEZE_BLOCK - 1) / GPUDL_SQUEEZE_BLOCK * GPUDL_SQUEEZE_BLOCK;
}

#endif
