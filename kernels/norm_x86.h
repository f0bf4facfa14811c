/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Tables that norm_generic.c chooses from. */
#ifndef GPUDL_KERNELS_NORM_X86_H
#define GPUDL_KERNELS_NORM_X86_H

#include "norm.h"

extern const GpudlNormKernels gpudl_norm_avx2, gpudl_norm_avx512;

/** That of an instruction set other than GENERIC, NULL where the processor has it not. */
const GpudlNormKernels *gpudl_norm_native(GpudlNormIsa isa);

#endif
