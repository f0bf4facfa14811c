/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "simd.h"

int gpudl_simd_has(GpudlSimd simd)
{
    return simd == GPUDL_SIMD_GENERIC;
}

void gpudl_simd_forget(const void *data, size_t bytes)
{
    (void)data, (void)bytes;
}
