/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda_common.cuh"
#include "pool_cuda.h"

namespace
{

constexpr unsigned short MINUS_INFINITY = 0xfc00;

struct Problem {
    const __half *x;
    __half *y;
    GpudlNhwc xs, ys;
    int kernel[2], stride[2], pad_begin[2], pad_end[2], dilation[2];
};

/* Taps first <= r < end of a window whose tap r reads origin + r * dilation, low <= position < high. */
struct Taps {
    int64_t first, end;
};

__device__ __forceinline__ int64_t divide_up(int64_t a, int b)
{
    return b == 1 ? a : a > 0 ? (a + b - 1) / b : -(-a / b);
}

__device__ __forceinline__ Taps find_taps(int64_t origin, int kernel, int dilation, int64_t low, int64_t high)
{
    Taps t;

    t.first = max((int64_t)0, divide_up(low - origin, dilation));
    t.end = max(t.first, min((int64_t)kernel, divide_up(high - origin, dilation)));
    return t;
}

/* one output position of V channels */
template <GpudlPoolKind KIND, int V>
__device__ __forceinline__ void window(const Problem &p, int n, int row, int col, int c)
{
    const int64_t origin[2] = {(int64_t)row * p.stride[0] - p.pad_begin[0],
                               (int64_t)col * p.stride[1] - p.pad_begin[1]};
    const int64_t extent[2] = {p.xs.h, p.xs.w};
    Taps taps[2];
    float sum[V] = {}, divisor = 1.f;
    GpudlHalves<V> best;

#pragma unroll
    for (int d = 0; d < 2; d++) {
        Taps counted = taps[d] = find_taps(origin[d], p.kernel[d], p.dilation[d], 0, extent[d]);

        if (KIND == GPUDL_POOL_AVERAGE_PAD)
            counted =
                find_taps(origin[d], p.kernel[d], p.dilation[d], -(int64_t)p.pad_begin[d], extent[d] + p.pad_end[d]);
        divisor *= (float)(counted.end - counted.first);
    }
    best.fill(MINUS_INFINITY);
    for (int64_t r = taps[0].first; r < taps[0].end; r++) {
        const int64_t h = origin[0] + r * p.dilation[0];
        const __half *x = p.x + ((n * extent[0] + h) * extent[1] + origin[1]) * p.xs.pitch + c;

#pragma unroll 3
        for (int64_t s = taps[1].first; s < taps[1].end; s++) {
            GpudlHalves<V> in;

            in.load(x + s * p.dilation[1] * p.xs.pitch);
            if (KIND == GPUDL_POOL_MAX) {
                best.maximum(in);
            } else {
                float v[V];

                in.get(v);
#pragma unroll
                for (int i = 0; i < V; i++)
                    sum[i] += v[i];
            }
        }
    }
    if (KIND != GPUDL_POOL_MAX) {
#pragma unroll
        for (int i = 0; i < V; i++)
            sum[i] = divisor > 0.f ? sum[i] / divisor : 0.f;
        best.set(sum);
    }
    best.store(p.y + (((int64_t)n * p.ys.h + row) * p.ys.w + col) * p.ys.pitch + c);
}

/* Vectors of channels, then columns, lie along x; rows along y, pictures along z. */
template <GpudlPoolKind KIND, int V> __global__ void __launch_bounds__(256) pool(const Problem p)
{
    const int vectors = p.xs.c / V;
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int c = (int)(i % vectors) * V, col = (int)(i / vectors);

    if (i >= (int64_t)vectors * p.ys.w)
        return;
    for (int n = blockIdx.z; n < p.ys.n; n += gridDim.z)
        for (int row = blockIdx.y * blockDim.y + threadIdx.y; row < p.ys.h; row += gridDim.y * blockDim.y)
            window<KIND, V>(p, n, row, col, c);
}

template <GpudlPoolKind KIND, int V> int launch(const Problem &p, cudaStream_t stream)
{
    const int64_t wide = (int64_t)(p.xs.c / V) * p.ys.w;
    /* short lines: several of them to a block */
    const unsigned bx = wide >= 256 ? 256 : (unsigned)gpudl_divide_up(wide, 32) * 32;
    const unsigned by = (unsigned)p.ys.h < 256 / bx ? (unsigned)p.ys.h : 256 / bx;
    const dim3 grid((unsigned)gpudl_divide_up(wide, bx), gpudl_grid(gpudl_divide_up(p.ys.h, by)), gpudl_grid(p.ys.n));

    if (gpudl_divide_up(wide, bx) > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    pool<KIND, V><<<grid, dim3(bx, by), 0, stream>>>(p);
    return (int)cudaGetLastError();
}

template <int V> int launch_kind(GpudlPoolKind kind, const Problem &p, cudaStream_t stream)
{
    if (kind == GPUDL_POOL_MAX)
        return launch<GPUDL_POOL_MAX, V>(p, stream);
    if (kind == GPUDL_POOL_AVERAGE)
        return launch<GPUDL_POOL_AVERAGE, V>(p, stream);
    return launch<GPUDL_POOL_AVERAGE_PAD, V>(p, stream);
}

constexpr int LANES = 32, MOST_GROUPS = 32;

/* LANES vectors of channels of one picture a block; its groups of threads take every so manieth pixel each */
template <GpudlPoolKind KIND, int V>
__global__ void __launch_bounds__(LANES *MOST_GROUPS)
    global_pool(const __half *__restrict__ x, const GpudlNhwc xs, __half *__restrict__ y, int64_t y_pitch)
{
    __shared__ float parts[MOST_GROUPS][V][LANES];
    const int lane = threadIdx.x, group = threadIdx.y, groups = blockDim.y;
    const int64_t pixels = (int64_t)xs.h * xs.w, first = ((int64_t)blockIdx.x * LANES + lane) * V;

    for (int n = blockIdx.y; n < xs.n; n += gridDim.y) {
        float sum[V] = {};
        GpudlHalves<V> best;

        best.fill(MINUS_INFINITY);
        if (first < xs.c) {
            const __half *from = x + n * pixels * xs.pitch + first;

#pragma unroll 4
            for (int64_t i = group; i < pixels; i += groups) {
                GpudlHalves<V> in;

                in.load(from + i * xs.pitch);
                if (KIND == GPUDL_POOL_MAX) {
                    best.maximum(in);
                } else {
                    float v[V];

                    in.get(v);
#pragma unroll
                    for (int k = 0; k < V; k++)
                        sum[k] += v[k];
                }
            }
        }
        if (KIND == GPUDL_POOL_MAX)
            best.get(sum);
#pragma unroll
        for (int k = 0; k < V; k++)
            parts[group][k][lane] = sum[k];
        __syncthreads();
        for (int k = group; k < V; k += groups) {
            const int64_t c = first + k;
            float total = parts[0][k][lane];

            for (int g = 1; g < groups; g++) {
                const float part = parts[g][k][lane];

                if (KIND == GPUDL_POOL_MAX)
                    total = part > total || part != part ? part : total;
                else
                    total += part;
            }
            if (KIND == GPUDL_POOL_AVERAGE)
                total /= (float)pixels;
            if (c < xs.c)
                y[n * y_pitch + c] = __float2half_rn(total);
        }
        __syncthreads();
    }
}

template <GpudlPoolKind KIND, int V>
int launch_global(const __half *x, const GpudlNhwc &xs, __half *y, int64_t y_pitch, cudaStream_t stream)
{
    const int64_t pixels = (int64_t)xs.h * xs.w;
    const dim3 block(LANES, pixels <= 64 ? 8 : pixels <= 256 ? 16 : MOST_GROUPS);
    const dim3 grid((unsigned)gpudl_divide_up(xs.c, LANES * V), gpudl_grid(xs.n));

    global_pool<KIND, V><<<grid, block, 0, stream>>>(x, xs, y, y_pitch);
    return (int)cudaGetLastError();
}

bool is_shape(const GpudlNhwc *s)
{
    return s->n >= 0 && s->h >= 0 && s->w >= 0 && s->c >= 0 && s->pitch >= s->c;
}

} // namespace

extern "C" int gpudl_pool_cuda(GpudlPoolKind kind, const void *x, const GpudlNhwc *xs, const GpudlWindow *window,
                               void *y, const GpudlNhwc *ys, GpudlKernelStream stream)
{
    Problem p = {static_cast<const __half *>(x), static_cast<__half *>(y), *xs, *ys, {}, {}, {}, {}, {}};

    if (window->n_spatial != 2 || !is_shape(xs) || !is_shape(ys) || xs->n != ys->n || xs->c != ys->c ||
        kind < GPUDL_POOL_MAX || kind > GPUDL_POOL_AVERAGE_PAD)
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < 2; d++) {
        p.kernel[d] = window->kernel[1 + d];
        p.stride[d] = window->stride[1 + d];
        p.pad_begin[d] = window->pad_begin[1 + d];
        p.pad_end[d] = window->pad_end[1 + d];
        p.dilation[d] = window->dilation[1 + d];
        if (p.kernel[d] < 1 || p.stride[d] < 1 || p.dilation[d] < 1)
            return GPUDL_KERNEL_SHAPE;
    }
    if (ys->n == 0 || ys->h == 0 || ys->w == 0 || ys->c == 0)
        return GPUDL_KERNEL_OK;
    if (gpudl_whole_vectors(x, xs->c, xs->pitch) && gpudl_whole_vectors(y, ys->c, ys->pitch))
        return launch_kind<8>(kind, p, stream);
    return launch_kind<1>(kind, p, stream);
}

extern "C" int gpudl_global_pool_cuda(GpudlPoolKind kind, const void *x, const GpudlNhwc *xs, void *y, int64_t y_pitch,
                                      GpudlKernelStream stream)
{
    const __half *from = static_cast<const __half *>(x);
    __half *to = static_cast<__half *>(y);
    const bool vectors = gpudl_whole_vectors(x, xs->c, xs->pitch);

    if (!is_shape(xs) || y_pitch < xs->c || (kind != GPUDL_POOL_MAX && kind != GPUDL_POOL_AVERAGE))
        return GPUDL_KERNEL_SHAPE;
    if (xs->n == 0 || xs->c == 0)
        return GPUDL_KERNEL_OK;
    if (kind == GPUDL_POOL_MAX)
        return vectors ? launch_global<GPUDL_POOL_MAX, 8>(from, *xs, to, y_pitch, stream)
                       : launch_global<GPUDL_POOL_MAX, 1>(from, *xs, to, y_pitch, stream);
    return vectors ? launch_global<GPUDL_POOL_AVERAGE, 8>(from, *xs, to, y_pitch, stream)
                   : launch_global<GPUDL_POOL_AVERAGE, 1>(from, *xs, to, y_pitch, stream);
}
