/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "integers.cuh"
#include "strided.cuh"
#include "window_cuda.h"

namespace
{

enum { SPATIAL = GPUDL_MAX_SPATIAL, RANK = 2 + GPUDL_MAX_SPATIAL };

/* [n][c][d][h][w], those that are not there 1. */
struct Operand {
    void *data; /* NULL: there is none */
    GpudlDType dtype;
    int32_t dims[RANK];
    int64_t strides[RANK];
};

struct Problem {
    Operand x, y, w, bias, z;
    int order[RANK]; /* y's dimensions, the fastest last */
    uint32_t elements;
    int32_t kernel[SPATIAL], stride[SPATIAL], dilation[SPATIAL];
    int64_t pad_begin[SPATIAL], pad_end[SPATIAL];
    int32_t group_c, group_k, kind, column_major;
    GpudlAct act;
};

/* Taps first <= r < end of a window whose input lies in low .. high - 1; tap r reads origin + r * dilation. */
struct Taps {
    int64_t origin;
    int32_t first, end;
};

__device__ __forceinline__ int64_t divide_up(int64_t a, int64_t b)
{
    return a > 0 ? (a - 1) / b + 1 : -(-a / b);
}

__device__ __forceinline__ Taps find_taps(const Problem &p, int d, int32_t at, int64_t low, int64_t high)
{
    const int64_t origin = (int64_t)at * p.stride[d] - p.pad_begin[d];
    const int64_t first = divide_up(low - origin, p.dilation[d]), end = divide_up(high - origin, p.dilation[d]);
    Taps t;

    t.origin = origin;
    t.first = first < 0 ? 0 : first > p.kernel[d] ? p.kernel[d] : (int32_t)first;
    t.end = end < t.first ? t.first : end > p.kernel[d] ? p.kernel[d] : (int32_t)end;
    return t;
}

__device__ __forceinline__ float get(const Operand &o, int64_t at)
{
    return gpudl_get_float(o.data, o.dtype, at);
}

/* y's index i as positions. */
__device__ __forceinline__ void locate(const Problem &p, uint32_t i, int32_t *at)
{
#pragma unroll
    for (int k = RANK - 1; k >= 0; k--) {
        const int d = p.order[k];
        const uint32_t extent = (uint32_t)p.y.dims[d], q = k == 0 ? 0 : i / extent;

        at[d] = (int32_t)(i - q * extent);
        i = q;
    }
}

__device__ __forceinline__ int64_t place(const Operand &o, const int32_t *at)
{
    int64_t sum = 0;

#pragma unroll
    for (int d = 0; d < RANK; d++)
        sum += at[d] * o.strides[d];
    return sum;
}

__device__ __forceinline__ void find_all_taps(const Problem &p, const int32_t *at, Taps *t)
{
#pragma unroll
    for (int d = 0; d < SPATIAL; d++)
        t[d] = find_taps(p, d, at[2 + d], 0, p.x.dims[2 + d]);
}

/* Where a tap of output position at reads. */
__device__ __forceinline__ int64_t position(const Problem &p, int d, int32_t at, int32_t tap)
{
    return (int64_t)at * p.stride[d] - p.pad_begin[d] + (int64_t)tap * p.dilation[d];
}

__global__ void __launch_bounds__(256) convolve(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.elements; i += step) {
        int32_t at[RANK];
        float sum = 0;

        locate(p, i, at);
        const int64_t x_first = at[0] * p.x.strides[0] + (int64_t)(at[1] / p.group_k) * p.group_c * p.x.strides[1],
                      w_first = at[1] * p.w.strides[0];

        /* also where x is padding: 0 by a weight that is no number is none */
        for (int32_t r0 = 0; r0 < p.kernel[0]; r0++)
            for (int32_t r1 = 0; r1 < p.kernel[1]; r1++)
                for (int32_t r2 = 0; r2 < p.kernel[2]; r2++) {
                    const int64_t from0 = position(p, 0, at[2], r0), from1 = position(p, 1, at[3], r1),
                                  from2 = position(p, 2, at[4], r2);
                    const bool inside = from0 >= 0 && from0 < p.x.dims[2] && from1 >= 0 && from1 < p.x.dims[3] &&
                                        from2 >= 0 && from2 < p.x.dims[4];
                    int64_t from = x_first + from0 * p.x.strides[2] + from1 * p.x.strides[3] + from2 * p.x.strides[4];
                    int64_t weight = w_first + r0 * p.w.strides[2] + r1 * p.w.strides[3] + r2 * p.w.strides[4];

                    for (int32_t c = 0; c < p.group_c; c++) {
                        sum = fmaf(inside ? get(p.x, from) : 0.f, get(p.w, weight), sum);
                        from += p.x.strides[1];
                        weight += p.w.strides[1];
                    }
                }
        if (p.bias.data)
            sum += get(p.bias, at[1] * p.bias.strides[0]);
        if (p.z.data)
            sum += get(p.z, place(p.z, at));
        gpudl_put_float(p.y.data, p.y.dtype, place(p.y, at), gpudl_activate_f32(p.act, sum));
    }
}

/* Calls visit(place in x, positions) for all taps inside. */
template <typename Visit> __device__ __forceinline__ void each_tap(const Problem &p, const int32_t *at, Visit visit)
{
    Taps t[SPATIAL];

    find_all_taps(p, at, t);
    for (int32_t r0 = t[0].first; r0 < t[0].end; r0++)
        for (int32_t r1 = t[1].first; r1 < t[1].end; r1++)
            for (int32_t r2 = t[2].first; r2 < t[2].end; r2++) {
                const int32_t from[RANK] = {at[0], at[1], (int32_t)(t[0].origin + (int64_t)r0 * p.dilation[0]),
                                            (int32_t)(t[1].origin + (int64_t)r1 * p.dilation[1]),
                                            (int32_t)(t[2].origin + (int64_t)r2 * p.dilation[2])};

                visit(place(p.x, from), from);
            }
}

__device__ float divisor_of(const Problem &p, const int32_t *at)
{
    float divisor = 1;

#pragma unroll
    for (int d = 0; d < SPATIAL; d++) {
        const bool padded = p.kind == GPUDL_POOL_AVERAGE_PAD;
        const Taps t =
            find_taps(p, d, at[2 + d], padded ? -p.pad_begin[d] : 0, p.x.dims[2 + d] + (padded ? p.pad_end[d] : 0));

        divisor *= (float)(t.end - t.first);
    }
    return divisor;
}

__global__ void __launch_bounds__(256) pool(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;
    const bool maximum = p.kind == GPUDL_POOL_MAX;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.elements; i += step) {
        float value = maximum ? -INFINITY : 0.f;
        int32_t at[RANK];

        locate(p, i, at);
        each_tap(p, at, [&](int64_t from, const int32_t *) {
            const float x = get(p.x, from);

            value = !maximum ? value + x : x > value || x != x ? x : value;
        });
        if (!maximum) {
            const float divisor = divisor_of(p, at);

            value = divisor > 0 ? value / divisor : 0.f;
        }
        gpudl_put_float(p.y.data, p.y.dtype, place(p.y, at), value);
    }
}

__device__ int64_t least(GpudlDType dtype)
{
    switch (dtype) {
    case GPUDL_DTYPE_I8:
        return INT8_MIN;
    case GPUDL_DTYPE_I16:
        return INT16_MIN;
    case GPUDL_DTYPE_I32:
        return INT32_MIN;
    case GPUDL_DTYPE_I64:
        return INT64_MIN;
    default:
        return 0;
    }
}

__global__ void __launch_bounds__(256) pool_integers(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;
    const bool is_unsigned = p.x.dtype == GPUDL_DTYPE_U64;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.elements; i += step) {
        int64_t value = least(p.x.dtype);
        int32_t at[RANK];

        locate(p, i, at);
        each_tap(p, at, [&](int64_t from, const int32_t *) {
            const int64_t x = gpudl_get_integer(p.x.data, p.x.dtype, from);

            value = gpudl_ordered(x, is_unsigned) > gpudl_ordered(value, is_unsigned) ? x : value;
        });
        gpudl_put_integer(p.y.data, p.y.dtype, place(p.y, at), value);
    }
}

template <bool FLOATS> __global__ void __launch_bounds__(256) find_maxima(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x;
    const bool is_unsigned = p.x.dtype == GPUDL_DTYPE_U64;
    const int32_t *size = &p.x.dims[2];

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < p.elements; i += step) {
        int64_t found = -1, whole = 0;
        float value = 0;
        int32_t at[RANK];

        locate(p, i, at);
        each_tap(p, at, [&](int64_t from, const int32_t *position) {
            bool greater = found < 0;

            if (FLOATS) {
                const float x = get(p.x, from);

                greater = greater || x > value || (x != x && value == value);
                value = greater ? x : value;
            } else {
                const int64_t x = gpudl_get_integer(p.x.data, p.x.dtype, from);

                greater = greater || gpudl_ordered(x, is_unsigned) > gpudl_ordered(whole, is_unsigned);
                whole = greater ? x : whole;
            }
            if (greater) {
                const int64_t plane = (int64_t)position[0] * p.x.dims[1] + position[1],
                              inside =
                                  p.column_major
                                      ? position[2] + (int64_t)size[0] * (position[3] + (int64_t)size[1] * position[4])
                                      : ((int64_t)position[2] * size[1] + position[3]) * size[2] + position[4];

                found = plane * size[0] * size[1] * size[2] + inside;
            }
        });
        static_cast<int64_t *>(p.y.data)[place(p.y, at)] = found;
    }
}

/* ---- launches ---------------------------------------------------------------------------------------------------- */

/* FALSE if the shape is none of the kind. */
bool lay(Operand *o, const GpudlShape *shape, const GpudlStrided *strided, int n_spatial)
{
    const int64_t elements = gpudl_shape_elements(shape);

    if (shape->rank != n_spatial + 2 || elements < 0 || elements > INT32_MAX)
        return false;
    o->data = strided->data;
    o->dtype = strided->dtype;
    for (int d = 0; d < RANK; d++) {
        const int from = d < 2 ? d : d - SPATIAL + n_spatial;
        const bool is_there = d < 2 || from >= 2;

        o->dims[d] = is_there ? (int32_t)shape->dims[from] : 1;
        o->strides[d] = is_there ? strided->strides[from] : 0;
    }
    return true;
}

int64_t step_of(const Operand &o, int d)
{
    return o.dims[d] == 1 ? INT64_MAX : o.strides[d];
}

int begin(Problem *p, const GpudlShape *xs, const GpudlStrided *x, const GpudlWindow *w, const GpudlShape *ys,
          const GpudlStrided *y)
{
    if (w->n_spatial < 1 || w->n_spatial > SPATIAL || !lay(&p->x, xs, x, w->n_spatial) ||
        !lay(&p->y, ys, y, w->n_spatial) || xs->dims[0] != ys->dims[0])
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < SPATIAL; d++) {
        if (w->kernel[d] < 1 || w->stride[d] < 1 || w->dilation[d] < 1)
            return GPUDL_KERNEL_SHAPE;
        p->kernel[d] = w->kernel[d];
        p->stride[d] = w->stride[d];
        p->dilation[d] = w->dilation[d];
        p->pad_begin[d] = w->pad_begin[d];
        p->pad_end[d] = w->pad_end[d];
    }
    p->elements = (uint32_t)gpudl_shape_elements(ys);
    for (int d = 0; d < RANK; d++) { /* neighbours in memory last; dimensions of 1, which say nothing, first */
        int e = d;

        for (; e > 0 && step_of(p->y, p->order[e - 1]) < step_of(p->y, d); e--)
            p->order[e] = p->order[e - 1];
        p->order[e] = d;
    }
    return GPUDL_KERNEL_OK;
}

} // namespace

extern "C" int gpudl_window_conv_cuda(const GpudlShape *x_shape, const GpudlStrided *x, const GpudlShape *w_shape,
                                      const GpudlStrided *w, const GpudlStrided *bias, const GpudlStrided *z,
                                      const GpudlWindow *window, int32_t group, const GpudlAct *act,
                                      const GpudlShape *y_shape, const GpudlStrided *y, GpudlKernelStream stream)
{
    const GpudlStrided *const operands[] = {x, w, y, bias ? bias : x, z ? z : x};
    Problem p = {};
    int status;

    for (const GpudlStrided *o : operands)
        if (!gpudl_is_picture_type(o->dtype))
            return GPUDL_KERNEL_DTYPE;
    status = begin(&p, x_shape, x, window, y_shape, y);
    if (status != GPUDL_KERNEL_OK)
        return status;
    if (group < 1 || !lay(&p.w, w_shape, w, window->n_spatial) || (z && !lay(&p.z, y_shape, z, window->n_spatial)) ||
        y_shape->dims[1] != w_shape->dims[0] || w_shape->dims[0] % group != 0 ||
        x_shape->dims[1] != w_shape->dims[1] * group)
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < SPATIAL; d++)
        p.kernel[d] = p.w.dims[2 + d];
    if (bias) {
        p.bias.data = bias->data;
        p.bias.dtype = bias->dtype;
        p.bias.strides[0] = bias->strides[0];
    }
    if (act)
        p.act = *act;
    p.group_c = p.w.dims[1];
    p.group_k = p.w.dims[0] / group;
    if (p.elements == 0)
        return GPUDL_KERNEL_OK;
    gpudl_launch(convolve, gpudl_blocks(p.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

extern "C" int gpudl_window_pool_cuda(GpudlPoolKind kind, const GpudlShape *x_shape, const GpudlStrided *x,
                                      const GpudlWindow *window, const GpudlShape *y_shape, const GpudlStrided *y,
                                      GpudlKernelStream stream)
{
    const bool floats = gpudl_is_picture_type(x->dtype) && gpudl_is_picture_type(y->dtype);
    Problem p = {};
    int status;

    if (!floats && (kind != GPUDL_POOL_MAX || !gpudl_is_computed_integer(x->dtype) || x->dtype != y->dtype))
        return GPUDL_KERNEL_DTYPE;
    status = begin(&p, x_shape, x, window, y_shape, y);
    if (status == GPUDL_KERNEL_OK && x_shape->dims[1] != y_shape->dims[1])
        status = GPUDL_KERNEL_SHAPE;
    if (status != GPUDL_KERNEL_OK || p.elements == 0)
        return status;
    p.kind = kind;
    if (floats)
        gpudl_launch(pool, gpudl_blocks(p.elements), 256, 0, stream, p);
    else
        gpudl_launch(pool_integers, gpudl_blocks(p.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

extern "C" int gpudl_window_indices_cuda(const GpudlShape *x_shape, const GpudlStrided *x, const GpudlWindow *window,
                                         int column_major, const GpudlShape *y_shape, const GpudlStrided *y,
                                         GpudlKernelStream stream)
{
    const bool floats = gpudl_is_picture_type(x->dtype);
    Problem p = {};
    int status;

    if (y->dtype != GPUDL_DTYPE_I64 || (!floats && !gpudl_is_computed_integer(x->dtype)))
        return GPUDL_KERNEL_DTYPE;
    status = begin(&p, x_shape, x, window, y_shape, y);
    if (status == GPUDL_KERNEL_OK && x_shape->dims[1] != y_shape->dims[1])
        status = GPUDL_KERNEL_SHAPE;
    if (status != GPUDL_KERNEL_OK || p.elements == 0)
        return status;
    p.column_major = column_major;
    if (floats)
        gpudl_launch(find_maxima<true>, gpudl_blocks(p.elements), 256, 0, stream, p);
    else
        gpudl_launch(find_maxima<false>, gpudl_blocks(p.elements), 256, 0, stream, p);
    return (int)cudaGetLastError();
}
