/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "stem_x86.h"

const GpudlStemKernels *gpudl_stem_native(GpudlSimd simd, GpudlDType type)
{
    (void)simd, (void)type;
    return NULL;
}
