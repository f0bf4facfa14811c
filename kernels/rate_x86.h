/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** The loops that rate.c chooses from. */
#ifndef GPUDL_KERNELS_RATE_X86_H
#define GPUDL_KERNELS_RATE_X86_H

#include "rate.h"

extern const GpudlRate gpudl_rate_generic, gpudl_rate_avx2, gpudl_rate_avx512, gpudl_rate_avx512_bf16;

/** That of an instruction set other than GENERIC, NULL where there is none. */
const GpudlRate *gpudl_rate_native(GpudlSimd simd, GpudlDType type);

#endif
