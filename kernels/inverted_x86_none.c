/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "inverted_x86.h"

const GpudlInvertedKernels *gpudl_inverted_native(GpudlSimd simd, GpudlDType type)
{
    (void)simd;
    (void)type;
    return NULL;
}
