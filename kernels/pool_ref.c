/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "pool.h"

#include <math.h>

#include "ref_common.h"

typedef struct {
    GpudlPoolKind kind;
    const GpudlTensorView *x;
    int64_t in[GPUDL_MAX_SPATIAL], out[GPUDL_MAX_SPATIAL];
    int64_t lowest; /* integers: where a maximum starts */
} Pool;

/** Taps first <= r < end of one window along one dimension; tap r reads position origin + r * dilation. */
typedef struct {
    int64_t first, end, origin, dilation;
} Taps;

/** a / b rounded up, b > 0. */
static int64_t divide_up(int64_t a, int64_t b)
{
    return a > 0 ? (a - 1) / b + 1 : -(-a / b);
}

/** The taps of output position p along dimension d whose input lies in low .. high - 1. */
static Taps find_taps(const GpudlWindow *w, int d, int64_t p, int64_t low, int64_t high)
{
    Taps t = {.origin = p * w->stride[d] - w->pad_begin[d], .dilation = w->dilation[d]};

    t.first = gpudl_ref_max(0, divide_up(low - t.origin, t.dilation));
    t.end = gpudl_ref_max(t.first, gpudl_ref_min(w->kernel[d], divide_up(high - t.origin, t.dilation)));
    return t;
}

/** Sum or maximum of n elements, stride apart, taken together with value. */
static double fold_f64(GpudlPoolKind kind, const GpudlTensorView *x, int64_t index, int64_t stride, int64_t n,
                       double value)
{
    double block[GPUDL_REF_BLOCK];

    for (int64_t i = 0; i < n; i += GPUDL_REF_BLOCK) {
        int64_t count = gpudl_ref_min(GPUDL_REF_BLOCK, n - i);

        gpudl_ref_load_f64(x->dtype, x->data, index + i * stride, stride, count, block);
        if (kind == GPUDL_POOL_MAX) {
            for (int64_t j = 0; j < count; j++)
                value = block[j] > value || isnan(block[j]) ? block[j] : value;
        } else {
            for (int64_t j = 0; j < count; j++)
                value += block[j];
        }
    }
    return value;
}

static int64_t max_i64(const GpudlTensorView *x, int64_t index, int64_t stride, int64_t n, int64_t value)
{
    /* flipping the sign bit makes the order of unsigned numbers that of signed ones */
    const uint64_t flip = x->dtype == GPUDL_DTYPE_U64 ? UINT64_C(1) << 63 : 0;
    int64_t block[GPUDL_REF_BLOCK];

    for (int64_t i = 0; i < n; i += GPUDL_REF_BLOCK) {
        int64_t count = gpudl_ref_min(GPUDL_REF_BLOCK, n - i);

        gpudl_ref_load_i64(x->dtype, x->data, index + i * stride, stride, count, block);
        for (int64_t j = 0; j < count; j++)
            value = (int64_t)((uint64_t)block[j] ^ flip) > (int64_t)((uint64_t)value ^ flip) ? block[j] : value;
    }
    return value;
}

/** One output: the window's taps t of one plane, divisor as counted. */
static void pool_one(const Pool *pool, int64_t plane, const Taps t[GPUDL_MAX_SPATIAL], double divisor,
                     const GpudlTensorView *y, int64_t index)
{
    double value = pool->kind == GPUDL_POOL_MAX ? -INFINITY : 0;
    int64_t whole = pool->lowest;

    for (int64_t r0 = t[0].first; r0 < t[0].end; r0++) {
        int64_t i0 = plane * pool->in[0] + t[0].origin + r0 * t[0].dilation;

        for (int64_t r1 = t[1].first; r1 < t[1].end; r1++) {
            int64_t i1 = i0 * pool->in[1] + t[1].origin + r1 * t[1].dilation;
            int64_t i2 = i1 * pool->in[2] + t[2].origin + t[2].first * t[2].dilation;
            int64_t n = t[2].end - t[2].first;

            if (gpudl_ref_is_float(y->dtype))
                value = fold_f64(pool->kind, pool->x, i2, t[2].dilation, n, value);
            else
                whole = max_i64(pool->x, i2, t[2].dilation, n, whole);
        }
    }
    if (!gpudl_ref_is_float(y->dtype)) {
        gpudl_ref_store_i64(y->dtype, y->data, index, 1, 1, &whole);
        return;
    }
    if (pool->kind != GPUDL_POOL_MAX)
        value = divisor > 0 ? value / divisor : 0;
    gpudl_ref_store_f64(y->dtype, y->data, index, 1, 1, &value);
}

/** Position of a plane's output i. */
static void locate(const Pool *pool, int64_t i, int64_t p[GPUDL_MAX_SPATIAL])
{
    p[0] = i / pool->out[2] / pool->out[1];
    p[1] = i / pool->out[2] % pool->out[1];
    p[2] = i % pool->out[2];
}

static void pool_plane(const Pool *pool, const GpudlWindow *w, int64_t plane, const GpudlTensorView *y)
{
    const int64_t out_size = pool->out[0] * pool->out[1] * pool->out[2];

    for (int64_t i = 0; i < out_size; i++) {
        int64_t p[GPUDL_MAX_SPATIAL];
        Taps taps[GPUDL_MAX_SPATIAL];
        double divisor = 1;

        locate(pool, i, p);
        for (int d = 0; d < GPUDL_MAX_SPATIAL; d++) {
            Taps counted;

            taps[d] = counted = find_taps(w, d, p[d], 0, pool->in[d]);
            if (pool->kind == GPUDL_POOL_AVERAGE_PAD)
                counted = find_taps(w, d, p[d], -(int64_t)w->pad_begin[d], pool->in[d] + w->pad_end[d]);
            divisor *= (double)(counted.end - counted.first);
        }
        pool_one(pool, plane, taps, divisor, y, plane * out_size + i);
    }
}

/** Index of the window's first greatest element in row-major order, -1 if it has none. */
static int64_t find_maximum(const Pool *pool, int64_t plane, const Taps t[GPUDL_MAX_SPATIAL])
{
    const GpudlTensorView *x = pool->x;
    const int is_float = gpudl_ref_is_float(x->dtype);
    const uint64_t flip = x->dtype == GPUDL_DTYPE_U64 ? UINT64_C(1) << 63 : 0;
    double value = 0, v = 0;
    int64_t whole = 0, n = 0, found = -1;

    for (int64_t r0 = t[0].first; r0 < t[0].end; r0++) {
        int64_t i0 = plane * pool->in[0] + t[0].origin + r0 * t[0].dilation;

        for (int64_t r1 = t[1].first; r1 < t[1].end; r1++) {
            int64_t i1 = i0 * pool->in[1] + t[1].origin + r1 * t[1].dilation;

            for (int64_t r2 = t[2].first; r2 < t[2].end; r2++) {
                int64_t i2 = i1 * pool->in[2] + t[2].origin + r2 * t[2].dilation;
                int greater;

                if (is_float) {
                    gpudl_ref_load_f64(x->dtype, x->data, i2, 1, 1, &v);
                    greater = v > value || (isnan(v) && !isnan(value));
                } else {
                    gpudl_ref_load_i64(x->dtype, x->data, i2, 1, 1, &n);
                    greater = (int64_t)((uint64_t)n ^ flip) > (int64_t)((uint64_t)whole ^ flip);
                }
                if (found < 0 || greater) {
                    value = v;
                    whole = n;
                    found = i2;
                }
            }
        }
    }
    return found;
}

static int check_window(const GpudlWindow *w, const GpudlShape *x, const GpudlShape *y)
{
    if (w->n_spatial < 1 || w->n_spatial > GPUDL_MAX_SPATIAL || x->rank != w->n_spatial + 2 || y->rank != x->rank ||
        y->dims[0] != x->dims[0] || y->dims[1] != x->dims[1])
        return GPUDL_KERNEL_SHAPE;
    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++)
        if (w->kernel[i] < 1 || w->stride[i] < 1 || w->dilation[i] < 1)
            return GPUDL_KERNEL_SHAPE;
    return GPUDL_KERNEL_OK;
}

static void read_extents(Pool *pool, const GpudlWindow *window, const GpudlShape *y)
{
    for (int i = 0; i < GPUDL_MAX_SPATIAL; i++) {
        int from = i - (GPUDL_MAX_SPATIAL - window->n_spatial);

        pool->in[i] = from < 0 ? 1 : pool->x->shape.dims[2 + from];
        pool->out[i] = from < 0 ? 1 : y->dims[2 + from];
    }
}

int gpudl_pool_ref(GpudlPoolKind kind, const GpudlTensorView *x, const GpudlWindow *window, const GpudlTensorView *y,
                   GpudlKernelStream stream)
{
    Pool pool = {.kind = kind, .x = x};
    int64_t high;

    (void)stream;
    if (x->dtype != y->dtype ||
        (!gpudl_ref_is_float(x->dtype) && (kind != GPUDL_POOL_MAX || !gpudl_ref_is_integer(x->dtype))))
        return GPUDL_KERNEL_DTYPE;
    if (check_window(window, &x->shape, &y->shape) != GPUDL_KERNEL_OK)
        return GPUDL_KERNEL_SHAPE;
    read_extents(&pool, window, &y->shape);
    gpudl_ref_integer_range(x->dtype, &pool.lowest, &high);
    for (int64_t plane = 0; plane < x->shape.dims[0] * x->shape.dims[1]; plane++)
        pool_plane(&pool, window, plane, y);
    return GPUDL_KERNEL_OK;
}

/** A row-major index within all planes of x, counted with the first spatial dimension fastest in its plane. */
static int64_t to_column_major(const Pool *pool, int64_t index)
{
    const int64_t size = pool->in[0] * pool->in[1] * pool->in[2], at = index % size;
    const int64_t i0 = at / pool->in[2] / pool->in[1], i1 = at / pool->in[2] % pool->in[1], i2 = at % pool->in[2];

    return index - at + i0 + pool->in[0] * (i1 + pool->in[1] * i2);
}

int gpudl_pool_indices_ref(const GpudlTensorView *x, const GpudlWindow *window, int column_major,
                           const GpudlTensorView *indices, GpudlKernelStream stream)
{
    Pool pool = {.kind = GPUDL_POOL_MAX, .x = x};
    int64_t out_size, total;

    (void)stream;
    if (indices->dtype != GPUDL_DTYPE_I64 || (!gpudl_ref_is_float(x->dtype) && !gpudl_ref_is_integer(x->dtype)))
        return GPUDL_KERNEL_DTYPE;
    if (check_window(window, &x->shape, &indices->shape) != GPUDL_KERNEL_OK)
        return GPUDL_KERNEL_SHAPE;
    read_extents(&pool, window, &indices->shape);
    out_size = pool.out[0] * pool.out[1] * pool.out[2];
    total = x->shape.dims[0] * x->shape.dims[1] * out_size;
    for (int64_t i = 0; i < total; i++) {
        int64_t p[GPUDL_MAX_SPATIAL], index;
        Taps taps[GPUDL_MAX_SPATIAL];

        locate(&pool, i % out_size, p);
        for (int d = 0; d < GPUDL_MAX_SPATIAL; d++)
            taps[d] = find_taps(window, d, p[d], 0, pool.in[d]);
        index = find_maximum(&pool, i / out_size, taps);
        if (column_major && index >= 0)
            index = to_column_major(&pool, index);
        gpudl_ref_store_i64(GPUDL_DTYPE_I64, indices->data, i, 1, 1, &index);
    }
    return GPUDL_KERNEL_OK;
}

int gpudl_global_pool_ref(GpudlPoolKind kind, const GpudlTensorView *x, const GpudlTensorView *y,
                          GpudlKernelStream stream)
{
    const GpudlShape *xs = &x->shape, *ys = &y->shape;
    int64_t planes, size;

    (void)stream;
    if (x->dtype != y->dtype || !gpudl_ref_is_float(x->dtype))
        return GPUDL_KERNEL_DTYPE;
    if (kind == GPUDL_POOL_AVERAGE_PAD || xs->rank < 2 || ys->rank != xs->rank || ys->dims[0] != xs->dims[0] ||
        ys->dims[1] != xs->dims[1] || gpudl_ref_product(ys, 2, ys->rank) != 1)
        return GPUDL_KERNEL_SHAPE;
    planes = xs->dims[0] * xs->dims[1];
    size = gpudl_ref_product(xs, 2, xs->rank);
    for (int64_t p = 0; p < planes; p++) {
        double value = fold_f64(kind, x, p * size, 1, size, kind == GPUDL_POOL_MAX ? -INFINITY : 0);

        if (kind == GPUDL_POOL_AVERAGE)
            value /= (double)size;
        gpudl_ref_store_f64(y->dtype, y->data, p, 1, 1, &value);
    }
    return GPUDL_KERNEL_OK;
}
