/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of resize.cu that compute what lies where. */
#ifndef GPUDL_KERNELS_RESIZE_CUH
#define GPUDL_KERNELS_RESIZE_CUH

#include "resize.h"
#include "strided.cuh"

namespace
{

/*
 * The result is pixels, each a run of elements that lie behind all dimensions that change: channels. A block has a tile
 * of pixels. What lies where takes divisions in double, of which many devices make few, so it is computed once for all
 * of a pixel's run and kept in shared memory; this needs nothing of what was queued before, and overlaps its end.
 */

constexpr int THREADS = 256;
constexpr size_t SHARED = 48 << 10; /* for tables */
constexpr int TABLES = 3;           /* dimensions that have some */

/* One dimension: y's extent and stride, and what it reads. */
struct Axis {
    uint32_t in, out;
    int64_t x_stride, y_stride;
    bool same;    /* left alone */
    int32_t taps; /* most elements that count for one of a sum */
    /* o lies at (o + shift) * factor / divisor + first + second: in this order, in which the reference rounds, too */
    double shift, factor, divisor, first, second;
    double shrink; /* of the filter's argument: below 1, the filter is wider */
    double support;
};

struct Problem {
    const void *x;
    void *y;
    Axis axes[GPUDL_MAX_RANK]; /* the result's fastest last, but for the run */
    int rank;
    uint32_t pixels, run; /* vectors of a run; strides are in vectors */
    int64_t x_run, y_run; /* strides along it */
    uint32_t tile, parts; /* pixels of a block; blocks of a run */
    /* of sums */
    int tables[TABLES]; /* axes that change, -1: none */
    int32_t taps[TABLES];
    GpudlDType dtype;
    bool cubic, exclude_outside, normalise;
    double cubic_a;
    GpudlSampleNearest nearest;
};

struct Place {
    int64_t x, y;
};

/* An element that counts. */
struct Tap {
    int32_t index;
    float weight;
};

/* ---- one dimension ----------------------------------------------------------------------------------------------- */

__device__ __forceinline__ double coordinate(const Axis &a, uint32_t o)
{
    return ((double)o + a.shift) * a.factor / a.divisor + a.first + a.second;
}

__device__ __forceinline__ int32_t clamp(double v, uint32_t extent)
{
    return v <= 0 ? 0 : v >= (double)(extent - 1) ? (int32_t)(extent - 1) : (int32_t)v;
}

__device__ __forceinline__ int32_t nearest(GpudlSampleNearest rule, const Axis &a, uint32_t o)
{
    const double x = coordinate(a, o);

    switch (rule) {
    case GPUDL_SAMPLE_PREFER_CEIL:
        return clamp(floor(x + .5), a.in);
    case GPUDL_SAMPLE_FLOOR:
        return clamp(floor(x), a.in);
    case GPUDL_SAMPLE_CEIL:
        return clamp(ceil(x), a.in);
    default:
        return clamp(ceil(x - .5), a.in);
    }
}

/* Products are rounded as the reference's are, never part of a fused sum: whether a weight is 0 decides whether an
 * infinite element counts. */
__device__ __forceinline__ double filter(const Problem &p, double distance)
{
    const double d = fabs(distance), a = p.cubic_a;

    if (!p.cubic)
        return d < 1 ? 1 - d : 0;
    if (d < 1)
        return __dmul_rn(__dmul_rn(__dmul_rn(a + 2, d) - (a + 3), d), d) + 1;
    return d < 2 ? __dmul_rn(__dmul_rn(__dmul_rn(a, d) - 5 * a, d) + 8 * a, d) - 4 * a : 0;
}

/* The elements that count for one coordinate. */
struct Taps {
    double x, first, divisor;

    __device__ __forceinline__ double raw(const Problem &p, const Axis &a, int32_t t) const
    {
        const double i = first + (double)t;

        if (p.exclude_outside && (i < 0 || i > (double)(a.in - 1)))
            return 0;
        return filter(p, __dmul_rn(i - x, a.shrink));
    }
    __device__ __forceinline__ void find(const Problem &p, const Axis &a, uint32_t o)
    {
        double sum = 0;

        x = coordinate(a, o);
        first = floor(x - a.support) + 1;
        for (int32_t t = 0; t < a.taps && p.normalise; t++)
            sum += raw(p, a, t);
        divisor = sum != 0 ? sum : 1;
    }
    __device__ __forceinline__ Tap get(const Problem &p, const Axis &a, int32_t t) const
    {
        const double weight = raw(p, a, t);

        return {clamp(first + (double)t, a.in), (float)(p.normalise ? weight / divisor : weight)};
    }
};

/* ---- tables ------------------------------------------------------------------------------------------------------ */

/* Calls visit(axis, position) for the dimensions of a pixel. */
template <class Visit> __device__ __forceinline__ void each_axis(const Problem &p, uint32_t pixel, Visit visit)
{
#pragma unroll
    for (int d = GPUDL_MAX_RANK - 1; d >= 0; d--) {
        if (d < p.rank) {
            const uint32_t q = d == 0 ? 0 : pixel / p.axes[d].out;

            visit(d, pixel - q * p.axes[d].out);
            pixel = q;
        }
    }
}

/* In dynamic shared memory: where the tile's pixels lie, then the taps, those of all pixels next to one another. */
__device__ __forceinline__ Place *places()
{
    return static_cast<Place *>(gpudl_shared());
}

__device__ __forceinline__ Tap *taps_of(const Problem &p, int table)
{
    Tap *tap = reinterpret_cast<Tap *>(places() + p.tile);

    for (int i = 0; i < table; i++)
        tap += p.taps[i] * p.tile;
    return tap;
}

/* One pixel's place but for dimensions with taps, and its taps in one of the tables. */
__device__ __forceinline__ void fill(const Problem &p, int table, uint32_t pixel, uint32_t at)
{
    const int axis = p.tables[table];
    Place place = {0, 0};
    uint32_t position = 0;
    Tap *tap = taps_of(p, table) + at;
    Taps taps;

    each_axis(p, pixel, [&](int d, uint32_t o) {
        place.x += p.axes[d].same ? o * p.axes[d].x_stride : 0;
        place.y += o * p.axes[d].y_stride;
        position = d == axis ? o : position;
    });
    if (table == 0)
        places()[at] = place;
    if (axis < 0) {
        *tap = {0, 1.f};
        return;
    }
    taps.find(p, p.axes[axis], position);
    for (int32_t t = 0; t < p.taps[table]; t++)
        tap[t * p.tile] = taps.get(p, p.axes[axis], t);
}

/* Of all pixels of the block, of the first n tables; then waits for what was queued before. */
__device__ __forceinline__ void fill_tables(const Problem &p, int n, uint32_t first, uint32_t here)
{
    const uint32_t thread = threadIdx.y * blockDim.x + threadIdx.x, threads = blockDim.x * blockDim.y;

    for (uint32_t i = thread; i < here * n; i += threads)
        fill(p, (int)(i / here), first + i % here, i % here);
    gpudl_wait_for_previous();
    gpudl_let_next_come();
    __syncthreads();
}

/* Calls visit(pixel of the tile, vector of the run) for all that the thread has. */
template <class Visit> __device__ __forceinline__ void each_vector(const Problem &p, uint32_t here, Visit visit)
{
    const uint32_t v = blockIdx.x % p.parts * blockDim.x + threadIdx.x;

    for (uint32_t pixel = threadIdx.y; pixel < here && v < p.run; pixel += blockDim.y)
        visit(pixel, v);
}

__device__ __forceinline__ uint32_t first_pixel(const Problem &p)
{
    return blockIdx.x / p.parts * p.tile;
}

__device__ __forceinline__ uint32_t pixels_here(const Problem &p, uint32_t first)
{
    return p.pixels - first < p.tile ? p.pixels - first : p.tile;
}

} // namespace

#endif
