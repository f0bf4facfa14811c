/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "rate.h"

#include <stddef.h>

#include "rate_x86.h"

const GpudlRate *gpudl_rate(GpudlSimd simd, GpudlDType type)
{
    if (type != GPUDL_DTYPE_F32 && type != GPUDL_DTYPE_BF16)
        return NULL;
    if (simd == GPUDL_SIMD_GENERIC)
        return type == GPUDL_DTYPE_F32 ? &gpudl_rate_generic : NULL;
    return gpudl_rate_native(simd, type);
}
