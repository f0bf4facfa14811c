/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "batchnorm.h"

#include <math.h>

#include "ref_common.h"

int gpudl_batchnorm_ref(const GpudlTensorView *x, const GpudlTensorView *scale, const GpudlTensorView *bias,
                        const GpudlTensorView *mean, const GpudlTensorView *variance, float epsilon,
                        const GpudlTensorView *y, GpudlKernelStream stream)
{
    const GpudlTensorView *per_channel[] = {scale, bias, mean, variance};
    double block[GPUDL_REF_BLOCK], p[4];
    int64_t channels, plane;

    (void)stream;
    if (x->dtype != y->dtype || !gpudl_ref_is_float(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (x->shape.rank < 1 || !gpudl_shape_equal(&x->shape, &y->shape))
        return GPUDL_KERNEL_SHAPE;
    channels = x->shape.rank > 1 ? x->shape.dims[1] : 1;
    plane = gpudl_ref_product(&x->shape, 2, x->shape.rank);
    for (int i = 0; i < 4; i++) {
        if (!gpudl_ref_is_float(per_channel[i]->dtype))
            return GPUDL_KERNEL_DTYPE;
        if (per_channel[i]->shape.rank != 1 || per_channel[i]->shape.dims[0] != channels)
            return GPUDL_KERNEL_SHAPE;
    }
    for (int64_t nc = 0; nc < x->shape.dims[0] * channels; nc++) {
        double deviation;

        for (int i = 0; i < 4; i++)
            gpudl_ref_load_f64(per_channel[i]->dtype, per_channel[i]->data, nc % channels, 1, 1, &p[i]);
        deviation = sqrt(p[3] + epsilon);
        for (int64_t i = 0; i < plane; i += GPUDL_REF_BLOCK) {
            int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, plane - i);

            gpudl_ref_load_f64(x->dtype, x->data, nc * plane + i, 1, n, block);
            for (int64_t j = 0; j < n; j++)
                block[j] = (block[j] - p[2]) / deviation * p[0] + p[1];
            gpudl_ref_store_f64(y->dtype, y->data, nc * plane + i, 1, n, block);
        }
    }
    return GPUDL_KERNEL_OK;
}
