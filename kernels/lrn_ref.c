/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "lrn.h"

#include <math.h>
#include <string.h>

#include "ref_common.h"

int gpudl_lrn_ref(const GpudlTensorView *x, int32_t size, float alpha, float beta, float bias, const GpudlTensorView *y,
                  GpudlKernelStream stream)
{
    double value[GPUDL_REF_BLOCK], sum[GPUDL_REF_BLOCK];
    int64_t channels, plane;

    (void)stream;
    if (x->dtype != y->dtype || !gpudl_ref_is_float(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (size < 1 || x->shape.rank < 2 || !gpudl_shape_equal(&x->shape, &y->shape))
        return GPUDL_KERNEL_SHAPE;
    channels = x->shape.dims[1];
    plane = gpudl_ref_product(&x->shape, 2, x->shape.rank);
    for (int64_t nc = 0; nc < x->shape.dims[0] * channels; nc++) {
        int64_t c = nc % channels;
        int64_t low = gpudl_ref_max(0, c - (size - 1) / 2), high = gpudl_ref_min(channels - 1, c + size / 2);

        for (int64_t i = 0; i < plane; i += GPUDL_REF_BLOCK) {
            int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, plane - i);

            memset(sum, 0, sizeof(sum));
            for (int64_t other = low; other <= high; other++) {
                gpudl_ref_load_f64(x->dtype, x->data, (nc - c + other) * plane + i, 1, n, value);
                for (int64_t j = 0; j < n; j++)
                    sum[j] += value[j] * value[j];
            }
            gpudl_ref_load_f64(x->dtype, x->data, nc * plane + i, 1, n, value);
            for (int64_t j = 0; j < n; j++)
                value[j] /= pow(bias + (double)alpha / size * sum[j], beta);
            gpudl_ref_store_f64(y->dtype, y->data, nc * plane + i, 1, n, value);
        }
    }
    return GPUDL_KERNEL_OK;
}
