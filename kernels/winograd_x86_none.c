/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "winograd_x86.h"

const GpudlWinogradKernels *gpudl_winograd_native(GpudlSimd simd)
{
    (void)simd;
    return NULL;
}
