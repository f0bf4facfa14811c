/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "triples_x86.h"

const GpudlTriplesKernels *gpudl_triples_native(GpudlSimd simd)
{
    (void)simd;
    return NULL;
}
