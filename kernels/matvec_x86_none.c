/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "matvec_x86.h"

const GpudlMatvecKernels *gpudl_matvec_native(GpudlSimd simd, GpudlDType type)
{
    (void)simd, (void)type;
    return NULL;
}
