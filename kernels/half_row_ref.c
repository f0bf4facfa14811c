/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "half.h"
#include "half_row.h"

int gpudl_half_row_ref(const float *x, float scale, int64_t n, uint16_t *y)
{
    int finite = 1;

    for (int64_t i = 0; i < n; i++) {
        y[i] = gpudl_f32_to_f16(scale * x[i]);
        finite &= (y[i] & 0x7fff) != 0x7c00;
    }
    return finite;
}

GpudlHalfRowFunc *gpudl_half_row_best(void)
{
    GpudlHalfRowFunc *native = gpudl_half_row_native();

    return native != 0 ? native : gpudl_half_row_ref;
}
