/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include <stddef.h>

#include "norm_x86.h"

const GpudlNormKernels *gpudl_norm_native(GpudlNormIsa isa)
{
    (void)isa;
    return NULL;
}
