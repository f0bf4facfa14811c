/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "squeeze_x86.h"

const GpudlSqueezeKernels *gpudl_squeeze_native(GpudlSimd simd)
{
    (void)simd;
    return NULL;
}
