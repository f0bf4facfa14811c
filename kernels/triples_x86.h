/* SPDX-License-Identifier: LGPL-2.1-or-later */
/** Tables that triples_generic.c chooses from. */
#ifndef GPUDL_KERNELS_TRIPLES_X86_H
#define GPUDL_KERNELS_TRIPLES_X86_H

#include "triples.h"

extern const GpudlTriplesKernels gpudl_triples_avx2, gpudl_triples_avx512;

/** The best of those up to an instruction set, NULL where that is the generic one. */
const GpudlTriplesKernels *gpudl_triples_native(GpudlSimd simd);

#endif
