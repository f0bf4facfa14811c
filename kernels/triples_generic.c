/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "triples_x86.h"

#define TRIPLES_NAME gpudl_triples_generic
#define TRIPLES_TEXT "generic"
extern const GpudlTriplesKernels TRIPLES_NAME;
#include "triples_lines.inc"

const GpudlTriplesKernels *gpudl_triples_kernels(GpudlSimd simd)
{
    const GpudlTriplesKernels *native = gpudl_triples_native(simd);

    return native != NULL ? native : &gpudl_triples_generic;
}
