/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "depthwise_x86.h"

const GpudlDepthwiseKernels *gpudl_depthwise_native(GpudlSimd simd)
{
    (void)simd;
    return NULL;
}
