/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "softmax.h"

#include <math.h>

#include "ref_common.h"

typedef struct {
    GpudlSoftmaxKind kind;
    const GpudlTensorView *x, *y;
    int64_t length, stride;
} Softmax;

static double find_max(const Softmax *s, int64_t first)
{
    double block[GPUDL_REF_BLOCK], max = -INFINITY;

    for (int64_t i = 0; i < s->length; i += GPUDL_REF_BLOCK) {
        int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, s->length - i);

        gpudl_ref_load_f64(s->x->dtype, s->x->data, first + i * s->stride, s->stride, n, block);
        for (int64_t j = 0; j < n; j++)
            if (block[j] > max || isnan(block[j]))
                max = block[j];
    }
    return max;
}

static double sum_exponentials(const Softmax *s, int64_t first, double max)
{
    double block[GPUDL_REF_BLOCK], sum = 0;

    for (int64_t i = 0; i < s->length; i += GPUDL_REF_BLOCK) {
        int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, s->length - i);

        gpudl_ref_load_f64(s->x->dtype, s->x->data, first + i * s->stride, s->stride, n, block);
        for (int64_t j = 0; j < n; j++)
            sum += exp(block[j] - max);
    }
    return sum;
}

static void one_group(const Softmax *s, int64_t first)
{
    const double max = find_max(s, first), sum = sum_exponentials(s, first, max), log_sum = log(sum);
    double block[GPUDL_REF_BLOCK];

    for (int64_t i = 0; i < s->length; i += GPUDL_REF_BLOCK) {
        int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, s->length - i);

        gpudl_ref_load_f64(s->x->dtype, s->x->data, first + i * s->stride, s->stride, n, block);
        for (int64_t j = 0; j < n; j++)
            block[j] = s->kind == GPUDL_LOG_SOFTMAX ? block[j] - max - log_sum : exp(block[j] - max) / sum;
        gpudl_ref_store_f64(s->y->dtype, s->y->data, first + i * s->stride, s->stride, n, block);
    }
}

int gpudl_softmax_ref(GpudlSoftmaxKind kind, const GpudlTensorView *x, int32_t axis, int flatten,
                      const GpudlTensorView *y, GpudlKernelStream stream)
{
    const int rank = x->shape.rank;
    Softmax s = {kind, x, y, 1, 1};
    int64_t outer;

    (void)stream;
    if (x->dtype != y->dtype || !gpudl_ref_is_float(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (axis < 0 || (flatten ? axis > rank : axis >= rank) || gpudl_shape_elements(&x->shape) < 0 ||
        !gpudl_shape_equal(&x->shape, &y->shape))
        return GPUDL_KERNEL_SHAPE;
    outer = gpudl_ref_product(&x->shape, 0, axis);
    if (flatten) {
        s.length = gpudl_ref_product(&x->shape, axis, rank);
    } else {
        s.length = x->shape.dims[axis];
        s.stride = gpudl_ref_product(&x->shape, axis + 1, rank);
    }
    for (int64_t o = 0; o < outer; o++)
        for (int64_t i = 0; i < s.stride; i++)
            one_group(&s, o * s.length * s.stride + i);
    return GPUDL_KERNEL_OK;
}
