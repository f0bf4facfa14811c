/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "norm.h"

#include <math.h>

#include "ref_common.h"

/* A set of values that is normalised: outer times inner values, inner of them stride apart, the runs pitch apart. */
typedef struct {
    int64_t first, outer, pitch, inner, stride;
} Values;

static void moments(const GpudlTensorView *x, const Values *v, double *mean, double *variance)
{
    double block[GPUDL_REF_BLOCK], sum = 0;

    for (int pass = 0; pass < 2; pass++) {
        sum = 0;
        for (int64_t o = 0; o < v->outer; o++) {
            for (int64_t i = 0; i < v->inner; i += GPUDL_REF_BLOCK) {
                int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, v->inner - i);

                gpudl_ref_load_f64(x->dtype, x->data, v->first + o * v->pitch + i * v->stride, v->stride, n, block);
                for (int64_t j = 0; j < n; j++)
                    sum += pass == 0 ? block[j] : (block[j] - *mean) * (block[j] - *mean);
            }
        }
        *(pass == 0 ? mean : variance) = sum / (double)(v->outer * v->inner);
    }
}

static double parameter(const GpudlTensorView *view, int64_t i, double absent)
{
    double value = absent;

    if (view != NULL)
        gpudl_ref_load_f64(view->dtype, view->data, i, 1, 1, &value);
    return value;
}

static int check(const GpudlTensorView *x, const GpudlTensorView *scale, const GpudlTensorView *bias,
                 const GpudlShape *each, const GpudlTensorView *y)
{
    const GpudlTensorView *parameters[] = {scale, bias};

    if (x->dtype != y->dtype || !gpudl_ref_is_float(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (!gpudl_shape_equal(&x->shape, &y->shape))
        return GPUDL_KERNEL_SHAPE;
    for (int i = 0; i < 2; i++) {
        if (parameters[i] == NULL)
            continue;
        if (!gpudl_ref_is_float(parameters[i]->dtype))
            return GPUDL_KERNEL_DTYPE;
        if (!gpudl_shape_equal(&parameters[i]->shape, each))
            return GPUDL_KERNEL_SHAPE;
    }
    return GPUDL_KERNEL_OK;
}

int gpudl_layer_norm_ref(const GpudlTensorView *x, const GpudlTensorView *scale, const GpudlTensorView *bias,
                         int32_t axis, int32_t n_axes, float epsilon, const GpudlTensorView *y,
                         GpudlKernelStream stream)
{
    const int rank = x->shape.rank;
    GpudlShape each = {.rank = n_axes};
    int64_t before, middle, behind;
    int status;

    (void)stream;
    if (axis < 0 || n_axes < 1 || n_axes > rank - axis)
        return GPUDL_KERNEL_SHAPE;
    for (int i = 0; i < n_axes; i++)
        each.dims[i] = x->shape.dims[axis + i];
    status = check(x, scale, bias, &each, y);
    if (status != GPUDL_KERNEL_OK)
        return status;
    before = gpudl_ref_product(&x->shape, 0, axis);
    middle = gpudl_ref_product(&x->shape, axis, axis + n_axes);
    behind = gpudl_ref_product(&x->shape, axis + n_axes, rank);
    for (int64_t o = 0; o < before * behind && middle > 0; o++) {
        const Values v = {o / behind * middle * behind + o % behind, 1, 0, middle, behind};
        double mean, variance, block[GPUDL_REF_BLOCK];

        moments(x, &v, &mean, &variance);
        for (int64_t i = 0; i < middle; i += GPUDL_REF_BLOCK) {
            int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, middle - i);

            gpudl_ref_load_f64(x->dtype, x->data, v.first + i * behind, behind, n, block);
            for (int64_t j = 0; j < n; j++)
                block[j] = (block[j] - mean) / sqrt(variance + epsilon) * parameter(scale, i + j, 1) +
                           parameter(bias, i + j, 0);
            gpudl_ref_store_f64(y->dtype, y->data, v.first + i * behind, behind, n, block);
        }
    }
    return GPUDL_KERNEL_OK;
}

int gpudl_group_norm_ref(const GpudlTensorView *x, const GpudlTensorView *scale, const GpudlTensorView *bias,
                         int32_t groups, float epsilon, const GpudlTensorView *y, GpudlKernelStream stream)
{
    GpudlShape each = {.rank = 1};
    int64_t plane, channels, size;
    int status;

    (void)stream;
    if (x->shape.rank < 2 || groups < 1 || x->shape.dims[1] % groups != 0)
        return GPUDL_KERNEL_SHAPE;
    channels = each.dims[0] = x->shape.dims[1];
    status = check(x, scale, bias, &each, y);
    if (status != GPUDL_KERNEL_OK)
        return status;
    plane = gpudl_ref_product(&x->shape, 2, x->shape.rank);
    size = channels / groups;
    for (int64_t g = 0; g < x->shape.dims[0] * groups && size * plane > 0; g++) {
        const Values v = {g * size * plane, 1, 0, size * plane, 1};
        double mean, variance, block[GPUDL_REF_BLOCK];

        moments(x, &v, &mean, &variance);
        for (int64_t i = 0; i < size * plane; i += GPUDL_REF_BLOCK) {
            int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, size * plane - i);

            gpudl_ref_load_f64(x->dtype, x->data, v.first + i, 1, n, block);
            for (int64_t j = 0; j < n; j++) {
                int64_t channel = g % groups * size + (i + j) / plane;

                block[j] = (block[j] - mean) / sqrt(variance + epsilon) * parameter(scale, channel, 1) +
                           parameter(bias, channel, 0);
            }
            gpudl_ref_store_f64(y->dtype, y->data, v.first + i, 1, n, block);
        }
    }
    return GPUDL_KERNEL_OK;
}
