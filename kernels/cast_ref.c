/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cast.h"

#include <math.h>

#include "ref_common.h"

/**
 * A 64-bit integer as double for one rounding later on: bits that do not fit are not rounded but gathered in the last
 * one (round to odd), so that rounding to 24 bits or fewer decides as if it had seen them all.
 */
static double sticky_double(uint64_t magnitude, int negative)
{
    double value;
    int extra = 0;

    for (uint64_t rest = magnitude >> 53; rest; rest >>= 1)
        extra++;
    if (extra > 0) {
        int lost = (magnitude & ((UINT64_C(1) << extra) - 1)) != 0;

        magnitude = magnitude >> extra | (unsigned)lost;
    }
    value = ldexp((double)magnitude, extra);
    return negative ? -value : value;
}

static int is_float(GpudlDType dtype)
{
    return gpudl_ref_is_float(dtype) || gpudl_is_narrow_float(dtype);
}

static void store(const GpudlTensorView *y, const GpudlCastRule *rule, int64_t first, int64_t n, const double *value)
{
    uint8_t *out = (uint8_t *)y->data + first;

    if (y->dtype == GPUDL_DTYPE_F8E8M0)
        for (int64_t i = 0; i < n; i++)
            out[i] = gpudl_f64_to_e8m0(value[i], rule->saturate, rule->round);
    else if (gpudl_is_narrow_float(y->dtype))
        for (int64_t i = 0; i < n; i++)
            out[i] = gpudl_f64_to_narrow(y->dtype, value[i], rule->saturate);
    else
        gpudl_ref_store_f64(y->dtype, y->data, first, 1, n, value);
}

static void from_integers(const GpudlTensorView *x, const GpudlTensorView *y, const GpudlCastRule *rule, int64_t first,
                          int64_t n)
{
    int64_t whole[GPUDL_REF_BLOCK];
    double value[GPUDL_REF_BLOCK];

    gpudl_ref_load_i64(x->dtype, x->data, first, 1, n, whole);
    if (!is_float(y->dtype)) {
        gpudl_ref_store_i64(y->dtype, y->data, first, 1, n, whole);
        return;
    }
    if (y->dtype == GPUDL_DTYPE_F64) {
        gpudl_ref_load_f64(x->dtype, x->data, first, 1, n, value);
    } else {
        for (int64_t i = 0; i < n; i++) {
            int negative = x->dtype != GPUDL_DTYPE_U64 && whole[i] < 0;

            value[i] = sticky_double(negative ? 0 - (uint64_t)whole[i] : (uint64_t)whole[i], negative);
        }
    }
    store(y, rule, first, n, value);
}

int gpudl_cast_ref(const GpudlTensorView *x, const GpudlTensorView *y, const GpudlCastRule *rule,
                   GpudlKernelStream stream)
{
    static const GpudlCastRule usual = {1, GPUDL_ROUND_UP};
    int64_t total = gpudl_shape_elements(&x->shape);

    (void)stream;
    rule = rule != NULL ? rule : &usual;
    if (!gpudl_dtype_size(x->dtype) || !gpudl_dtype_size(y->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (total < 0 || !gpudl_shape_equal(&x->shape, &y->shape))
        return GPUDL_KERNEL_SHAPE;
    for (int64_t i = 0; i < total; i += GPUDL_REF_BLOCK) {
        int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, total - i);

        if (is_float(x->dtype)) {
            double value[GPUDL_REF_BLOCK];

            gpudl_ref_load_f64(x->dtype, x->data, i, 1, n, value);
            store(y, rule, i, n, value);
        } else {
            from_integers(x, y, rule, i, n);
        }
    }
    return GPUDL_KERNEL_OK;
}
