/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "half_row.h"

GpudlHalfRowFunc *gpudl_half_row_native(void)
{
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("f16c") ? gpudl_half_row_avx2 : 0;
}
