/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Tables that join_generic.c chooses from. */
#ifndef GPUDL_KERNELS_JOIN_X86_H
#define GPUDL_KERNELS_JOIN_X86_H

#include "join.h"

extern const GpudlJoinKernels gpudl_join_avx2, gpudl_join_avx512, gpudl_join_avx512_bf16;

/** That of an instruction set other than GENERIC, NULL where the processor has it not. */
const GpudlJoinKernels *gpudl_join_native(GpudlJoinIsa isa);

#endif
