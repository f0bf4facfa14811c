/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Tables that depthwise.c chooses from. */
#ifndef GPUDL_KERNELS_DEPTHWISE_X86_H
#define GPUDL_KERNELS_DEPTHWISE_X86_H

#include "depthwise.h"

extern const GpudlDepthwiseKernels gpudl_depthwise_generic, gpudl_depthwise_avx2, gpudl_depthwise_avx512,
    gpudl_depthwise_avx512_bf16;

/** That of an instruction set other than GENERIC, NULL where the processor has it not. */
const GpudlDepthwiseKernels *gpudl_depthwise_native(GpudlSimd simd);

#endif
