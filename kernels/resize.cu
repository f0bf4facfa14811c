/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "resize.cuh"

#include <string.h>

#include "resize_cuda.h"

namespace
{

/* ---- kernels ----------------------------------------------------------------------------------------------------- */

template <class T> __global__ void __launch_bounds__(THREADS) pick(const __grid_constant__ Problem p)
{
    const uint32_t first = first_pixel(p), here = pixels_here(p, first);
    const uint32_t thread = threadIdx.y * blockDim.x + threadIdx.x;

    for (uint32_t i = thread; i < here; i += blockDim.x * blockDim.y) {
        Place place = {0, 0};

        each_axis(p, first + i, [&](int d, uint32_t o) {
            const int64_t from = p.axes[d].same ? (int64_t)o : nearest(p.nearest, p.axes[d], o);

            place.x += from * p.axes[d].x_stride;
            place.y += o * p.axes[d].y_stride;
        });
        places()[i] = place;
    }
    gpudl_wait_for_previous();
    gpudl_let_next_come();
    __syncthreads();
    each_vector(p, here, [&](uint32_t pixel, uint32_t v) {
        const Place place = places()[pixel];

        static_cast<T *>(p.y)[place.y + v * p.y_run] = static_cast<const T *>(p.x)[place.x + v * p.x_run];
    });
}

template <class VECTOR> __device__ __forceinline__ void add(float *sum, const typename VECTOR::Element *x, float weight)
{
    float values[VECTOR::N];
    VECTOR in;

    in.load(x);
    in.get(values);
#pragma unroll
    for (int k = 0; k < VECTOR::N; k++)
        sum[k] = weight != 0.f ? fmaf(weight, values[k], sum[k]) : sum[k];
}

/* Two dimensions of TAPS each: pictures. */
template <class VECTOR, int TAPS>
__global__ void __launch_bounds__(THREADS) weigh_pictures(const __grid_constant__ Problem p)
{
    typedef typename VECTOR::Element Element;
    constexpr int V = VECTOR::N;
    const uint32_t first = first_pixel(p), here = pixels_here(p, first);
    const int64_t row = p.axes[p.tables[0]].x_stride, column = p.axes[p.tables[1]].x_stride;

    fill_tables(p, 2, first, here);
    each_vector(p, here, [&](uint32_t pixel, uint32_t v) {
        const Place place = places()[pixel];
        const Tap *rows = taps_of(p, 0) + pixel, *columns = taps_of(p, 1) + pixel;
        const Element *x = static_cast<const Element *>(p.x) + (place.x + v * p.x_run) * V;
        float sum[V] = {};
        VECTOR out;

#pragma unroll
        for (int i = 0; i < TAPS; i++) {
            const Tap r = rows[i * p.tile];

#pragma unroll
            for (int j = 0; j < TAPS; j++) {
                const Tap c = columns[j * p.tile];

                add<VECTOR>(sum, x + (r.index * row + c.index * column) * V, r.weight * c.weight);
            }
        }
        out.set(sum);
        out.store(static_cast<Element *>(p.y) + (place.y + v * p.y_run) * V);
    });
}

/* Up to three dimensions of any filter. */
template <class VECTOR> __global__ void __launch_bounds__(THREADS) weigh(const __grid_constant__ Problem p)
{
    typedef typename VECTOR::Element Element;
    constexpr int V = VECTOR::N;
    const uint32_t first = first_pixel(p), here = pixels_here(p, first);
    int64_t strides[TABLES];

#pragma unroll
    for (int i = 0; i < TABLES; i++)
        strides[i] = p.tables[i] >= 0 ? p.axes[p.tables[i]].x_stride : 0;
    fill_tables(p, TABLES, first, here);
    each_vector(p, here, [&](uint32_t pixel, uint32_t v) {
        const Place place = places()[pixel];
        const Tap *planes = taps_of(p, 0) + pixel, *rows = taps_of(p, 1) + pixel, *columns = taps_of(p, 2) + pixel;
        float sum[V] = {};
        VECTOR out;

        for (int32_t h = 0; h < p.taps[0]; h++)
            for (int32_t i = 0; i < p.taps[1]; i++) {
                const Tap plane = planes[h * p.tile], r = rows[i * p.tile];
                const float weight = plane.weight * r.weight;
                const Element *x = static_cast<const Element *>(p.x) +
                                   (place.x + plane.index * strides[0] + r.index * strides[1] + v * p.x_run) * V;

#pragma unroll 4
                for (int32_t j = 0; j < p.taps[2]; j++) {
                    const Tap c = columns[j * p.tile];

                    add<VECTOR>(sum, x + c.index * strides[2] * V, weight * c.weight);
                }
            }
        out.set(sum);
        out.store(static_cast<Element *>(p.y) + (place.y + v * p.y_run) * V);
    });
}

/* Whatever has no room for tables: weights are computed wherever they are needed. */
__global__ void __launch_bounds__(THREADS) weigh_any(const __grid_constant__ Problem p)
{
    gpudl_begin();

    const uint32_t step = gridDim.x * blockDim.x, elements = p.pixels * p.run;

    for (uint32_t i = blockIdx.x * blockDim.x + threadIdx.x; i < elements; i += step) {
        const uint32_t v = i % p.run;
        int32_t tap[GPUDL_MAX_RANK] = {};
        Taps taps[GPUDL_MAX_RANK];
        Place place = {v * p.x_run, v * p.y_run};
        float sum = 0;
        int d;

        each_axis(p, i / p.run, [&](int axis, uint32_t o) {
            place.x += p.axes[axis].same ? o * p.axes[axis].x_stride : 0;
            place.y += o * p.axes[axis].y_stride;
            if (!p.axes[axis].same)
                taps[axis].find(p, p.axes[axis], o);
        });
        do {
            int64_t from = place.x;
            float weight = 1;

            for (d = 0; d < p.rank; d++)
                if (!p.axes[d].same) {
                    const Tap t = taps[d].get(p, p.axes[d], tap[d]);

                    weight *= t.weight;
                    from += t.index * p.axes[d].x_stride;
                }
            if (weight != 0.f)
                sum = fmaf(weight, gpudl_get_float(p.x, p.dtype, from), sum);
            for (d = p.rank - 1; d >= 0 && ++tap[d] == p.axes[d].taps; d--)
                tap[d] = 0;
        } while (d >= 0);
        gpudl_put_float(p.y, p.dtype, place.y, sum);
    }
}

/* ---- problems ---------------------------------------------------------------------------------------------------- */

/* The reference's coordinate() as numbers. */
void set_coordinate(Axis *a, const GpudlResize *params, double scale)
{
    const bool one = a->out == 1;

    a->shift = .5;
    a->factor = 1;
    a->divisor = scale;
    a->first = -.5;
    a->second = 0;
    switch (params->coordinate) {
    case GPUDL_SAMPLE_HALF_PIXEL_SYMMETRIC:
        a->second = (double)a->in / 2 * (1 - (double)a->out / (scale * (double)a->in));
        return;
    case GPUDL_SAMPLE_TF_HALF_PIXEL:
        a->second = .5;
        return;
    case GPUDL_SAMPLE_PYTORCH_HALF_PIXEL:
        if (!one)
            return;
        break;
    case GPUDL_SAMPLE_ALIGN_CORNERS:
        a->divisor = one ? 1 : (double)(a->out - 1);
        a->factor = (double)(a->in - 1);
        break;
    case GPUDL_SAMPLE_ASYMMETRIC:
        break;
    default:
        return;
    }
    a->shift = a->first = 0;
    if (one && params->coordinate != GPUDL_SAMPLE_ASYMMETRIC)
        a->factor = 0;
}

int begin_axis(Axis *a, const GpudlResize *params, double scale, int64_t in, int64_t out)
{
    const double width = params->mode == GPUDL_SAMPLE_CUBIC ? 2 : 1;

    if (!(scale >= 0) || !isfinite(scale) || (in == 0 && out > 0))
        return GPUDL_KERNEL_SHAPE;
    a->in = (uint32_t)in;
    a->out = (uint32_t)out;
    a->same = in == out && (scale == 0 || scale == 1);
    a->taps = 1;
    a->shrink = 1;
    a->support = width;
    if (a->same || out == 0)
        return GPUDL_KERNEL_OK;
    scale = scale == 0 ? (double)out / (double)in : scale;
    set_coordinate(a, params, scale);
    if (params->mode == GPUDL_SAMPLE_NEAREST)
        return GPUDL_KERNEL_OK;
    if (params->antialias && scale < 1)
        a->shrink = scale;
    a->support = width / a->shrink;
    if (!(a->support < 1e9))
        return GPUDL_KERNEL_SHAPE;
    a->taps = (int32_t)ceil(2 * a->support) + (a->shrink < 1);
    return GPUDL_KERNEL_OK;
}

/* Dimensions of 1 have no place among others. */
int64_t order_of(const Axis &a)
{
    return a.out == 1 ? INT64_MAX : a.y_stride;
}

/* The result's fastest dimension last, as few of them as there can be, and the run. */
void simplify(Problem *p)
{
    int kept = 0;

    for (int d = 0; d < p->rank; d++)
        if (!p->axes[d].same || p->axes[d].out != 1)
            p->axes[kept++] = p->axes[d];
    p->rank = kept;
    for (int d = 1; d < p->rank; d++)
        for (int e = d; e > 0 && order_of(p->axes[e - 1]) < order_of(p->axes[e]); e--) {
            const Axis keep = p->axes[e];

            p->axes[e] = p->axes[e - 1];
            p->axes[e - 1] = keep;
        }
    kept = 0;
    for (int d = 1; d < p->rank; d++) {
        Axis *outer = &p->axes[kept], inner = p->axes[d];

        if (outer->same && inner.same && outer->x_stride == inner.x_stride * inner.out &&
            outer->y_stride == inner.y_stride * inner.out) {
            inner.out *= outer->out;
            *outer = inner;
        } else {
            p->axes[++kept] = inner;
        }
    }
    p->rank = p->rank == 0 ? 0 : kept + 1;
    p->run = 1;
    if (p->rank > 0 && p->axes[p->rank - 1].same) {
        const Axis *last = &p->axes[--p->rank];

        p->run = last->out;
        p->x_run = last->x_stride;
        p->y_run = last->y_stride;
    }
    p->pixels = 1;
    for (int d = 0; d < p->rank; d++)
        p->pixels *= p->axes[d].out;
}

/* Of a caller in C, who may have put any value there, which C++ must not read as one of the enumeration. */
template <class T> bool is_up_to(const T &value, T last)
{
    unsigned number;

    static_assert(sizeof number == sizeof value, "enumerations are as large as integers");
    memcpy(&number, &value, sizeof number);
    return number <= (unsigned)last;
}

int begin(Problem *p, const GpudlShape *xs, const GpudlStrided *x, const double *scale, const GpudlResize *params,
          const GpudlShape *ys, const GpudlStrided *y)
{
    const GpudlStrided *const operands[] = {y};
    GpudlPlaces<1> result;
    int status = gpudl_places_begin(&result, ys, operands);

    if (status != GPUDL_KERNEL_OK || xs->rank != ys->rank || gpudl_shape_elements(xs) < 0 ||
        gpudl_shape_elements(xs) > INT32_MAX || !is_up_to(params->mode, GPUDL_SAMPLE_CUBIC) ||
        !is_up_to(params->coordinate, GPUDL_SAMPLE_TF_HALF_PIXEL) || !is_up_to(params->nearest, GPUDL_SAMPLE_CEIL))
        return GPUDL_KERNEL_SHAPE;
    p->x = x->data;
    p->y = y->data;
    p->dtype = x->dtype;
    p->rank = xs->rank;
    p->nearest = params->nearest;
    p->cubic = params->mode == GPUDL_SAMPLE_CUBIC;
    p->cubic_a = (double)params->cubic_a;
    p->exclude_outside = params->exclude_outside != 0;
    p->normalise = params->exclude_outside || params->antialias;
    for (int d = 0; d < xs->rank; d++) {
        Axis *a = &p->axes[d];

        status = begin_axis(a, params, scale[d], xs->dims[d], ys->dims[d]);
        if (status != GPUDL_KERNEL_OK)
            return status;
        a->x_stride = a->in > 1 ? x->strides[d] : 0;
        a->y_stride = a->out > 1 ? y->strides[d] : 0;
    }
    return GPUDL_KERNEL_OK;
}

/* Whether a run is whole vectors of n elements of size bytes, each at a multiple of its size; strides are in such
 * vectors then. */
bool take_vectors(Problem *p, int n, int size)
{
    bool fits = n > 1 && p->run % (uint32_t)n == 0 && p->x_run == 1 && p->y_run == 1 &&
                ((uintptr_t)p->x | (uintptr_t)p->y) % (unsigned)(n * size) == 0;

    for (int d = 0; d < p->rank && fits; d++)
        fits = p->axes[d].x_stride % n == 0 && p->axes[d].y_stride % n == 0;
    if (!fits)
        return false;
    for (int d = 0; d < p->rank; d++) {
        p->axes[d].x_stride /= n;
        p->axes[d].y_stride /= n;
    }
    p->run /= (uint32_t)n;
    return true;
}

/* ---- launches ---------------------------------------------------------------------------------------------------- */

/* each: bytes of tables a pixel, at most SHARED. */
int launch(void (*kernel)(Problem), Problem *p, size_t each, cudaStream_t stream)
{
    const uint32_t most = (uint32_t)(SHARED / each);
    const unsigned bx = p->run < THREADS ? p->run : THREADS;
    unsigned by = THREADS / bx;

    by = by < most ? by : most;
    by = by < p->pixels ? by : p->pixels;
    /* several pixels a thread once there are enough blocks for every multiprocessor */
    for (p->tile = by; p->tile < 4 * by && 2 * p->tile <= most && p->pixels / p->tile > 8 * 132;)
        p->tile *= 2;
    p->parts = (uint32_t)gpudl_divide_up(p->run, bx);
    gpudl_launch(kernel, (unsigned)gpudl_divide_up(p->pixels, p->tile) * p->parts, dim3(bx, by), p->tile * each, stream,
                 *p);
    return (int)cudaGetLastError();
}

int launch_pick(Problem *p, int size, cudaStream_t stream)
{
    int unit = 16;

    while (unit > size && !take_vectors(p, unit / size, size))
        unit /= 2;
    unit = unit > size ? unit : size;
    switch (unit) {
    case 1:
        return launch(pick<uint8_t>, p, sizeof(Place), stream);
    case 2:
        return launch(pick<uint16_t>, p, sizeof(Place), stream);
    case 4:
        return launch(pick<uint32_t>, p, sizeof(Place), stream);
    case 8:
        return launch(pick<uint64_t>, p, sizeof(Place), stream);
    default:
        return launch(pick<uint4>, p, sizeof(Place), stream);
    }
}

template <class VECTOR> int launch_sums(Problem *p, size_t each, cudaStream_t stream)
{
    const bool pictures = p->tables[0] < 0 && p->tables[1] >= 0 && p->taps[1] == p->taps[2];

    if (pictures && (p->taps[1] == 2 || p->taps[1] == 4)) {
        for (int i = 0; i < 2; i++) {
            p->tables[i] = p->tables[i + 1];
            p->taps[i] = p->taps[i + 1];
        }
        return p->taps[0] == 2 ? launch(weigh_pictures<VECTOR, 2>, p, each, stream)
                               : launch(weigh_pictures<VECTOR, 4>, p, each, stream);
    }
    return launch(weigh<VECTOR>, p, each, stream);
}

int launch_weigh(Problem *p, cudaStream_t stream)
{
    const int size = (int)gpudl_dtype_size(p->dtype);
    size_t each = sizeof(Place);
    int n = 0;

    for (int i = 0; i < TABLES; i++) {
        p->tables[i] = -1;
        p->taps[i] = 1;
    }
    for (int d = p->rank - 1; d >= 0; d--)
        if (!p->axes[d].same && ++n <= TABLES) {
            p->tables[TABLES - n] = d;
            p->taps[TABLES - n] = p->axes[d].taps;
        }
    for (int i = 0; i < TABLES; i++)
        each += (size_t)p->taps[i] * sizeof(Tap);
    if (n > TABLES || each > SHARED) {
        gpudl_launch(weigh_any, gpudl_blocks((int64_t)p->pixels * p->run), THREADS, 0, stream, *p);
        return (int)cudaGetLastError();
    }
    const bool vectors = take_vectors(p, 16 / size, size);

    switch (p->dtype) {
    case GPUDL_DTYPE_F16:
        return vectors ? launch_sums<GpudlVector<__half, 8>>(p, each, stream)
                       : launch_sums<GpudlVector<__half, 1>>(p, each, stream);
    case GPUDL_DTYPE_BF16:
        return vectors ? launch_sums<GpudlVector<GpudlBf16, 8>>(p, each, stream)
                       : launch_sums<GpudlVector<GpudlBf16, 1>>(p, each, stream);
    default:
        return vectors ? launch_sums<GpudlFloats<4>>(p, each, stream) : launch_sums<GpudlFloats<1>>(p, each, stream);
    }
}

} // namespace

extern "C" int gpudl_resize_cuda(const GpudlShape *x_shape, const GpudlStrided *x, const double *scale,
                                 const GpudlResize *params, const GpudlShape *y_shape, const GpudlStrided *y,
                                 GpudlKernelStream stream)
{
    const size_t size = gpudl_dtype_size(x->dtype);
    bool changes = false;
    Problem p = {};
    int status;

    if (x->dtype != y->dtype || size == 0 || (params->mode != GPUDL_SAMPLE_NEAREST && !gpudl_is_picture_type(x->dtype)))
        return GPUDL_KERNEL_DTYPE;
    status = begin(&p, x_shape, x, scale, params, y_shape, y);
    if (status != GPUDL_KERNEL_OK || gpudl_shape_elements(y_shape) == 0)
        return status;
    simplify(&p);
    for (int d = 0; d < p.rank; d++)
        changes |= !p.axes[d].same;
    return params->mode == GPUDL_SAMPLE_NEAREST || !changes ? launch_pick(&p, (int)size, stream)
                                                            : launch_weigh(&p, stream);
}
