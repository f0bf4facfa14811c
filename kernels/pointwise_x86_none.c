/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "pointwise_x86.h"

const GpudlPointwiseKernels *gpudl_pointwise_native(GpudlSimd simd, GpudlDType type)
{
    (void)simd;
    (void)type;
    return NULL;
}
