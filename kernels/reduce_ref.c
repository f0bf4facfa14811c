/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "reduce.h"

#include <math.h>

#include "ref_common.h"

typedef struct {
    GpudlReduceKind kind;
    const GpudlTensorView *x;
    GpudlWalk inner; /* over the reduced dimensions, from 0 */
    int64_t count;   /* elements of one reduction */
} Reduce;

static double fold_f64(GpudlReduceKind kind, const double *v, int64_t n, double value)
{
    switch (kind) {
    case GPUDL_REDUCE_MEAN:
    case GPUDL_REDUCE_SUM:
        for (int64_t i = 0; i < n; i++)
            value += v[i];
        break;
    case GPUDL_REDUCE_MAX:
        for (int64_t i = 0; i < n; i++)
            value = v[i] > value || isnan(v[i]) ? v[i] : value;
        break;
    case GPUDL_REDUCE_MIN:
        for (int64_t i = 0; i < n; i++)
            value = v[i] < value || isnan(v[i]) ? v[i] : value;
        break;
    case GPUDL_REDUCE_PROD:
        for (int64_t i = 0; i < n; i++)
            value *= v[i];
        break;
    }
    return value;
}

static int64_t fold_i64(GpudlReduceKind kind, int is_u64, const int64_t *v, int64_t n, int64_t value)
{
    /* flipping the sign bit makes the order of unsigned numbers that of signed ones */
    const uint64_t flip = is_u64 ? UINT64_C(1) << 63 : 0;

    for (int64_t i = 0; i < n; i++) {
        int64_t a = (int64_t)((uint64_t)v[i] ^ flip), b = (int64_t)((uint64_t)value ^ flip);

        switch (kind) {
        case GPUDL_REDUCE_MEAN:
        case GPUDL_REDUCE_SUM:
            value = gpudl_ref_wrap_add(value, v[i]);
            break;
        case GPUDL_REDUCE_MAX:
            value = a > b ? v[i] : value;
            break;
        case GPUDL_REDUCE_MIN:
            value = a < b ? v[i] : value;
            break;
        case GPUDL_REDUCE_PROD:
            value = gpudl_ref_wrap_mul(value, v[i]);
            break;
        }
    }
    return value;
}

static double reduce_f64(const Reduce *r, int64_t first)
{
    static const double start[] = {0, 0, -INFINITY, INFINITY, 1};
    double block[GPUDL_REF_BLOCK], value = start[r->kind];
    GpudlWalk w = r->inner;
    const int last = w.rank - 1;

    if (r->count > 0) {
        do {
            for (int64_t i = 0; i < w.dims[last]; i += GPUDL_REF_BLOCK) {
                int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, w.dims[last] - i);

                gpudl_ref_load_f64(r->x->dtype, r->x->data, first + w.offset[0] + i * w.strides[0][last],
                                   w.strides[0][last], n, block);
                value = fold_f64(r->kind, block, n, value);
            }
        } while (gpudl_walk_next(&w));
    }
    return r->kind == GPUDL_REDUCE_MEAN ? value / (double)r->count : value;
}

static int64_t reduce_i64(const Reduce *r, int64_t first)
{
    int64_t block[GPUDL_REF_BLOCK], value, low, high;
    const int is_u64 = r->x->dtype == GPUDL_DTYPE_U64;
    GpudlWalk w = r->inner;
    const int last = w.rank - 1;

    gpudl_ref_integer_range(r->x->dtype, &low, &high);
    value = r->kind == GPUDL_REDUCE_MAX ? low : r->kind == GPUDL_REDUCE_MIN ? high : r->kind == GPUDL_REDUCE_PROD;
    if (r->count > 0) {
        do {
            for (int64_t i = 0; i < w.dims[last]; i += GPUDL_REF_BLOCK) {
                int64_t n = gpudl_ref_min(GPUDL_REF_BLOCK, w.dims[last] - i);

                gpudl_ref_load_i64(r->x->dtype, r->x->data, first + w.offset[0] + i * w.strides[0][last],
                                   w.strides[0][last], n, block);
                value = fold_i64(r->kind, is_u64, block, n, value);
            }
        } while (gpudl_walk_next(&w));
    }
    if (r->kind == GPUDL_REDUCE_MEAN)
        value = is_u64 ? (int64_t)((uint64_t)value / (uint64_t)r->count) : value / r->count;
    return value;
}

static void reduce_one(const Reduce *r, int64_t first, const GpudlTensorView *y, int64_t index)
{
    if (gpudl_ref_is_float(y->dtype)) {
        double value = reduce_f64(r, first);

        gpudl_ref_store_f64(y->dtype, y->data, index, 1, 1, &value);
    } else {
        int64_t value = reduce_i64(r, first);

        gpudl_ref_store_i64(y->dtype, y->data, index, 1, 1, &value);
    }
}

/** Sets up one walk over the kept and one over the reduced dimensions of x; -1 if an axis is wrong. */
static int split_axes(const GpudlShape *x, const int32_t *axes, int32_t n_axes, GpudlWalk *kept, GpudlWalk *inner)
{
    int64_t strides[GPUDL_MAX_RANK];
    int reduced[GPUDL_MAX_RANK] = {0};
    GpudlShape shapes[2] = {{0}, {0}};
    GpudlWalk *walks[2] = {kept, inner};

    if (x->rank < 0 || x->rank > GPUDL_MAX_RANK)
        return -1;
    for (int i = 0; i < x->rank && n_axes == 0; i++)
        reduced[i] = 1;
    for (int i = 0; i < n_axes; i++) {
        if (axes[i] < 0 || axes[i] >= x->rank || reduced[axes[i]])
            return -1;
        reduced[axes[i]] = 1;
    }
    gpudl_ref_strides(x, strides);
    for (int i = 0; i < x->rank; i++)
        shapes[reduced[i]].dims[shapes[reduced[i]].rank++] = x->dims[i];
    for (int which = 0; which < 2; which++) {
        if (gpudl_walk_begin(walks[which], &shapes[which], 1) < 0)
            return -1;
        for (int i = 0, j = 0; i < x->rank; i++)
            if (reduced[i] == which)
                walks[which]->strides[0][j++] = strides[i];
        gpudl_walk_merge(walks[which]);
    }
    return 0;
}

int gpudl_reduce_ref(GpudlReduceKind kind, const GpudlTensorView *x, const int32_t *axes, int32_t n_axes,
                     const GpudlTensorView *y, GpudlKernelStream stream)
{
    Reduce r = {.kind = kind, .x = x};
    int64_t index = 0;
    GpudlWalk kept;
    int last;

    (void)stream;
    if (x->dtype != y->dtype || (!gpudl_ref_is_float(x->dtype) && !gpudl_ref_is_integer(x->dtype)))
        return GPUDL_KERNEL_DTYPE;
    if ((unsigned)kind > GPUDL_REDUCE_LAST || split_axes(&x->shape, axes, n_axes, &kept, &r.inner) < 0 ||
        gpudl_shape_elements(&y->shape) != kept.elements)
        return GPUDL_KERNEL_SHAPE;
    r.count = r.inner.elements;
    if (kept.elements == 0)
        return GPUDL_KERNEL_OK;
    if (r.count == 0 && kind == GPUDL_REDUCE_MEAN && !gpudl_ref_is_float(x->dtype))
        return GPUDL_KERNEL_DIVIDE;
    last = kept.rank - 1;
    do {
        for (int64_t i = 0; i < kept.dims[last]; i++)
            reduce_one(&r, kept.offset[0] + i * kept.strides[0][last], y, index++);
    } while (gpudl_walk_next(&kept));
    return GPUDL_KERNEL_OK;
}
