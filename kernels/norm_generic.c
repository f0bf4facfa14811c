/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "norm_x86.h"

#define NORM_NAME gpudl_norm_generic
#define NORM_TEXT "norm:generic"
extern const GpudlNormKernels NORM_NAME;
#include "norm_lines.inc"

const GpudlNormKernels *gpudl_norm_kernels(GpudlNormIsa isa)
{
    return isa == GPUDL_NORM_GENERIC ? &gpudl_norm_generic : gpudl_norm_native(isa);
}
