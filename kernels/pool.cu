/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda_common.cuh"
#include "pool_cuda.h"

namespace
{

struct Problem {
    const void *x;
    void *y;
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

/* one output position of a vector of channels */
template <GpudlPoolKind KIND, class VECTOR>
__device__ __forceinline__ void window(const Problem &p, int n, int row, int col, int c)
{
    typedef typename VECTOR::Element Element;
    constexpr int V = VECTOR::N;
    const int64_t origin[2] = {(int64_t)row * p.stride[0] - p.pad_begin[0],
                               (int64_t)col * p.stride[1] - p.pad_begin[1]};
    const int64_t extent[2] = {p.xs.h, p.xs.w};
    Taps taps[2];
    float sum[V] = {}, divisor = 1.f;
    VECTOR best;

#pragma unroll
    for (int d = 0; d < 2; d++) {
        Taps counted = taps[d] = find_taps(origin[d], p.kernel[d], p.dilation[d], 0, extent[d]);

        if (KIND == GPUDL_POOL_AVERAGE_PAD)
            counted =
                find_taps(origin[d], p.kernel[d], p.dilation[d], -(int64_t)p.pad_begin[d], extent[d] + p.pad_end[d]);
        divisor *= (float)(counted.end - counted.first);
    }
    best.fill(-INFINITY);
    for (int64_t r = taps[0].first; r < taps[0].end; r++) {
        const int64_t h = origin[0] + r * p.dilation[0];
        const Element *x =
            static_cast<const Element *>(p.x) + ((n * extent[0] + h) * extent[1] + origin[1]) * p.xs.pitch + c;

#pragma unroll 3
        for (int64_t s = taps[1].first; s < taps[1].end; s++) {
            VECTOR in;

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
    best.store(static_cast<Element *>(p.y) + (((int64_t)n * p.ys.h + row) * p.ys.w + col) * p.ys.pitch + c);
}

/*
 * COLUMNS neighbouring outputs of K x K taps, 8 channels: inputs are loaded once, all loads at a time, and rows are
 * summed (or compared) before columns are.
 */
template <GpudlPoolKind KIND, class T, int K, int STRIDE, int COLUMNS>
__device__ __forceinline__ void small_window(const Problem &p, int n, int row, int col, int c)
{
    constexpr int IN_W = (COLUMNS - 1) * STRIDE + K;
    const int h0 = row * STRIDE - p.pad_begin[0], w0 = col * COLUMNS * STRIDE - p.pad_begin[1];
    const T *x = static_cast<const T *>(p.x) + (((int64_t)n * p.xs.h + h0) * p.xs.w + w0) * p.xs.pitch + c;
    const int64_t x_row = p.xs.w * p.xs.pitch;
    GpudlVector<T, 8> in[K][IN_W];
    int rows = 0;

#pragma unroll
    for (int r = 0; r < K; r++)
#pragma unroll
        for (int s = 0; s < IN_W; s++) {
            in[r][s].fill(KIND == GPUDL_POOL_MAX ? -INFINITY : 0.f);
            if ((unsigned)(h0 + r) < (unsigned)p.xs.h && (unsigned)(w0 + s) < (unsigned)p.xs.w)
                in[r][s].load(x + r * x_row + s * p.xs.pitch);
        }
#pragma unroll
    for (int r = 0; r < K; r++)
        rows += KIND == GPUDL_POOL_AVERAGE ? (unsigned)(h0 + r) < (unsigned)p.xs.h
                                           : h0 + r < p.xs.h + p.pad_end[0]; /* the pad before is whole */
    if (KIND == GPUDL_POOL_MAX) {
#pragma unroll
        for (int s = 0; s < IN_W; s++)
#pragma unroll
            for (int r = 1; r < K; r++)
                in[0][s].maximum(in[r][s]);
    }
    float sum[IN_W][8];
    if (KIND != GPUDL_POOL_MAX) {
#pragma unroll
        for (int s = 0; s < IN_W; s++) {
            in[0][s].get(sum[s]);
#pragma unroll
            for (int r = 1; r < K; r++) {
                float v[8];

                in[r][s].get(v);
#pragma unroll
                for (int i = 0; i < 8; i++)
                    sum[s][i] += v[i];
            }
        }
    }
#pragma unroll
    for (int a = 0; a < COLUMNS; a++) {
        const int q = col * COLUMNS + a;
        GpudlVector<T, 8> out;

        if (KIND == GPUDL_POOL_MAX) {
            out.all = in[0][a * STRIDE].all;
#pragma unroll
            for (int s = 1; s < K; s++)
                out.maximum(in[0][a * STRIDE + s]);
        } else {
            float v[8] = {}, scale;
            int columns = 0;

#pragma unroll
            for (int s = 0; s < K; s++)
                columns += KIND == GPUDL_POOL_AVERAGE ? (unsigned)(w0 + a * STRIDE + s) < (unsigned)p.xs.w
                                                      : w0 + a * STRIDE + s < p.xs.w + p.pad_end[1];
            scale = rows * columns > 0 ? 1.f / (float)(rows * columns) : 0.f;
#pragma unroll
            for (int i = 0; i < 8; i++) {
#pragma unroll
                for (int s = 0; s < K; s++)
                    v[i] += sum[a * STRIDE + s][i];
                v[i] *= scale;
            }
            out.set(v);
        }
        if (q < p.ys.w)
            out.store(static_cast<T *>(p.y) + (((int64_t)n * p.ys.h + row) * p.ys.w + q) * p.ys.pitch + c);
    }
}

/* Blocks that a processor is to hold where the compiler would take a few registers more than that leaves; 0: as it
 * likes. */
template <GpudlPoolKind KIND, class VECTOR, int K, int STRIDE, int COLUMNS> struct Blocks {
    static constexpr int N = 0;
};
template <> struct Blocks<GPUDL_POOL_AVERAGE, GpudlVector<GpudlBf16, 8>, 3, 1, 1> {
    static constexpr int N = 4;
};
template <> struct Blocks<GPUDL_POOL_MAX, GpudlFloats<4>, 0, 1, 1> {
    static constexpr int N = 4;
};

/* Vectors of channels, then (groups of) columns, lie along x; rows along y, pictures along z. K 0: any window. */
template <GpudlPoolKind KIND, class VECTOR, int K, int STRIDE, int COLUMNS>
__global__ void __launch_bounds__(256, Blocks<KIND, VECTOR, K, STRIDE, COLUMNS>::N)
    pool(const __grid_constant__ Problem p)
{
    gpudl_begin();

    constexpr int V = VECTOR::N;
    const int vectors = p.xs.c / V;
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int c = (int)(i % vectors) * V, col = (int)(i / vectors);

    if (i >= (int64_t)vectors * ((p.ys.w + COLUMNS - 1) / COLUMNS))
        return;
    for (int n = blockIdx.z; n < p.ys.n; n += gridDim.z)
        for (int row = blockIdx.y * blockDim.y + threadIdx.y; row < p.ys.h; row += gridDim.y * blockDim.y) {
            if constexpr (K > 0)
                small_window<KIND, typename VECTOR::Element, K, STRIDE, COLUMNS>(p, n, row, col, c);
            else
                window<KIND, VECTOR>(p, n, row, col, c);
        }
}

template <GpudlPoolKind KIND, class VECTOR, int K, int STRIDE, int COLUMNS>
int launch(const Problem &p, cudaStream_t stream)
{
    constexpr int V = VECTOR::N;
    const int64_t wide = (int64_t)(p.xs.c / V) * gpudl_divide_up(p.ys.w, COLUMNS);
    /* short lines: several of them to a block */
    const unsigned bx = wide >= 256 ? 256 : (unsigned)gpudl_divide_up(wide, 32) * 32;
    const unsigned by = (unsigned)p.ys.h < 256 / bx ? (unsigned)p.ys.h : 256 / bx;
    const dim3 grid((unsigned)gpudl_divide_up(wide, bx), gpudl_grid(gpudl_divide_up(p.ys.h, by)), gpudl_grid(p.ys.n));

    if (gpudl_divide_up(wide, bx) > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    gpudl_launch(pool<KIND, VECTOR, K, STRIDE, COLUMNS>, grid, dim3(bx, by), 0, stream, p);
    return (int)cudaGetLastError();
}

/* Taps beyond the pads (ceil_mode) and sizes that leave 32 bits are for the general form. */
bool is_small(const Problem &p, int k, int stride)
{
    bool small = true;

    for (int d = 0; d < 2; d++)
        small = small && p.kernel[d] == k && p.stride[d] == stride && p.dilation[d] == 1 && p.pad_begin[d] < 1 << 20 &&
                p.pad_end[d] < 1 << 20 && (d == 0 ? p.ys.h : p.ys.w) < 1 << 24 && (d == 0 ? p.xs.h : p.xs.w) < 1 << 28;
    return small;
}

template <GpudlPoolKind KIND, class T> int launch_vectors(const Problem &p, cudaStream_t stream)
{
    /* neighbours share inputs once there are enough threads for every multiprocessor */
    const bool many = (int64_t)p.ys.n * p.ys.h * p.ys.w * (p.xs.c / 8) >= 1 << 17;

    if (is_small(p, 3, 1))
        return many ? launch<KIND, GpudlVector<T, 8>, 3, 1, 2>(p, stream)
                    : launch<KIND, GpudlVector<T, 8>, 3, 1, 1>(p, stream);
    if (is_small(p, 3, 2))
        return many ? launch<KIND, GpudlVector<T, 8>, 3, 2, 2>(p, stream)
                    : launch<KIND, GpudlVector<T, 8>, 3, 2, 1>(p, stream);
    if (is_small(p, 2, 2))
        return launch<KIND, GpudlVector<T, 8>, 2, 2, 1>(p, stream);
    return launch<KIND, GpudlVector<T, 8>, 0, 1, 1>(p, stream);
}

template <GpudlPoolKind KIND, class T> int launch_narrow(const Problem &p, bool vectors, cudaStream_t stream)
{
    return vectors ? launch_vectors<KIND, T>(p, stream) : launch<KIND, GpudlVector<T, 1>, 0, 1, 1>(p, stream);
}

template <GpudlPoolKind KIND> int launch_type(GpudlDType dtype, const Problem &p, cudaStream_t stream)
{
    const bool floats = dtype == GPUDL_DTYPE_F32;
    const auto whole = floats ? gpudl_whole_float_vectors : gpudl_whole_vectors;
    const bool vectors = whole(p.x, p.xs.c, p.xs.pitch) && whole(p.y, p.ys.c, p.ys.pitch);

    if (floats)
        return vectors ? launch<KIND, GpudlFloats<4>, 0, 1, 1>(p, stream)
                       : launch<KIND, GpudlFloats<1>, 0, 1, 1>(p, stream);
    return dtype == GPUDL_DTYPE_BF16 ? launch_narrow<KIND, GpudlBf16>(p, vectors, stream)
                                     : launch_narrow<KIND, __half>(p, vectors, stream);
}

constexpr int MOST_THREADS = 1024;

template <GpudlPoolKind KIND> __device__ __forceinline__ float combine(float a, float b)
{
    if (KIND == GPUDL_POOL_MAX)
        return b > a || b != b ? b : a; /* NaN goes through */
    return a + b;
}

/* LANES vectors of channels of one picture a block; its groups of LANES threads take turns at its pixels */
template <GpudlPoolKind KIND, class VECTOR, int LANES>
__global__ void __launch_bounds__(MOST_THREADS)
    global_pool(const typename VECTOR::Element *x, const GpudlNhwc xs, typename VECTOR::Element *y, int64_t y_pitch)
{
    gpudl_begin();

    constexpr int V = VECTOR::N;
    __shared__ float parts[MOST_THREADS / 32][LANES * V];
    const int lane = threadIdx.x % LANES, group = threadIdx.x / LANES, groups = blockDim.x / LANES;
    const int warp = threadIdx.x / 32, warps = blockDim.x / 32;
    const int64_t pixels = (int64_t)xs.h * xs.w, first = ((int64_t)blockIdx.x * LANES + lane) * V;

    for (int n = blockIdx.y; n < xs.n; n += gridDim.y) {
        float sum[V] = {};
        VECTOR best;

        best.fill(-INFINITY);
        if (first < xs.c) {
            const typename VECTOR::Element *from = x + n * pixels * xs.pitch + first;

#pragma unroll 4
            for (int64_t i = group; i < pixels; i += groups) {
                VECTOR in;

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
            /* of the warp's groups, then of the warps */
#pragma unroll
        for (int d = LANES; d < 32; d *= 2)
#pragma unroll
            for (int k = 0; k < V; k++)
                sum[k] = combine<KIND>(sum[k], __shfl_xor_sync(0xffffffff, sum[k], d));
        if (threadIdx.x % 32 < LANES)
#pragma unroll
            for (int k = 0; k < V; k++)
                parts[warp][lane + k * LANES] = sum[k];
        __syncthreads();
        for (int i = threadIdx.x; i < LANES * V; i += blockDim.x) {
            const int64_t c = ((int64_t)blockIdx.x * LANES + i % LANES) * V + i / LANES;
            float total = parts[0][i];

#pragma unroll 4
            for (int w = 1; w < warps; w++)
                total = combine<KIND>(total, parts[w][i]);
            if (KIND == GPUDL_POOL_AVERAGE)
                total /= (float)pixels;
            if (c < xs.c)
                gpudl_store(&y[n * y_pitch + c], total);
        }
        __syncthreads();
    }
}

template <GpudlPoolKind KIND, class VECTOR, int LANES>
int launch_lanes(const void *x, const GpudlNhwc &xs, void *y, int64_t y_pitch, cudaStream_t stream)
{
    typedef typename VECTOR::Element Element;
    constexpr int V = VECTOR::N;
    const int64_t pixels = (int64_t)xs.h * xs.w;
    const dim3 grid((unsigned)gpudl_divide_up(xs.c, LANES * V), gpudl_grid(xs.n));
    int threads = 32 > LANES ? 32 : LANES;

    /* four pixels a thread, all on their way at once */
    while (threads < MOST_THREADS && (int64_t)threads / LANES * 4 < pixels)
        threads *= 2;
    gpudl_launch(global_pool<KIND, VECTOR, LANES>, grid, threads, 0, stream, static_cast<const Element *>(x), xs,
                 static_cast<Element *>(y), y_pitch);
    return (int)cudaGetLastError();
}

template <GpudlPoolKind KIND, class VECTOR>
int launch_global(const void *x, const GpudlNhwc &xs, void *y, int64_t y_pitch, cudaStream_t stream)
{
    constexpr int V = VECTOR::N;
    const int64_t vectors = gpudl_divide_up(xs.c, V);
    constexpr int LEAST = V > 1 ? 2 : 16;
    int lanes = 32;

    /* Fewer lanes a block where blocks would be too few for every multiprocessor, or many lanes idle. Two vectors
     * are 32 bytes, the least that memory delivers; 16 single channels are that or twice as much. */
    while (lanes > LEAST &&
           (gpudl_divide_up(vectors, lanes) * xs.n < 256 || gpudl_divide_up(vectors, lanes) * lanes * 7 > vectors * 8))
        lanes /= 2;
    if (lanes == 32)
        return launch_lanes<KIND, VECTOR, 32>(x, xs, y, y_pitch, stream);
    if constexpr (V > 1) {
        if (lanes == 16)
            return launch_lanes<KIND, VECTOR, 16>(x, xs, y, y_pitch, stream);
        if (lanes == 8)
            return launch_lanes<KIND, VECTOR, 8>(x, xs, y, y_pitch, stream);
        if (lanes == 4)
            return launch_lanes<KIND, VECTOR, 4>(x, xs, y, y_pitch, stream);
    }
    return launch_lanes<KIND, VECTOR, LEAST>(x, xs, y, y_pitch, stream);
}

template <GpudlPoolKind KIND, class WIDE, class ONE>
int launch_global_type(bool vectors, const void *x, const GpudlNhwc &xs, void *y, int64_t y_pitch, cudaStream_t stream)
{
    return vectors ? launch_global<KIND, WIDE>(x, xs, y, y_pitch, stream)
                   : launch_global<KIND, ONE>(x, xs, y, y_pitch, stream);
}

template <GpudlPoolKind KIND>
int launch_global_types(GpudlDType dtype, const void *x, const GpudlNhwc &xs, void *y, int64_t y_pitch,
                        cudaStream_t stream)
{
    const bool vectors = dtype == GPUDL_DTYPE_F32 ? gpudl_whole_float_vectors(x, xs.c, xs.pitch)
                                                  : gpudl_whole_vectors(x, xs.c, xs.pitch);

    if (dtype == GPUDL_DTYPE_F32)
        return launch_global_type<KIND, GpudlFloats<4>, GpudlFloats<1>>(vectors, x, xs, y, y_pitch, stream);
    if (dtype == GPUDL_DTYPE_BF16)
        return launch_global_type<KIND, GpudlVector<GpudlBf16, 8>, GpudlVector<GpudlBf16, 1>>(vectors, x, xs, y,
                                                                                              y_pitch, stream);
    return launch_global_type<KIND, GpudlVector<__half, 8>, GpudlVector<__half, 1>>(vectors, x, xs, y, y_pitch, stream);
}

bool is_shape(const GpudlNhwc *s)
{
    return s->n >= 0 && s->h >= 0 && s->w >= 0 && s->c >= 0 && s->pitch >= s->c;
}

} // namespace

extern "C" int gpudl_pool_cuda(GpudlPoolKind kind, GpudlDType dtype, const void *x, const GpudlNhwc *xs,
                               const GpudlWindow *window, void *y, const GpudlNhwc *ys, GpudlKernelStream stream)
{
    Problem p = {x, y, *xs, *ys, {}, {}, {}, {}, {}};

    if (!gpudl_is_picture_type(dtype))
        return GPUDL_KERNEL_DTYPE;
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
    if (kind == GPUDL_POOL_MAX)
        return launch_type<GPUDL_POOL_MAX>(dtype, p, stream);
    return kind == GPUDL_POOL_AVERAGE ? launch_type<GPUDL_POOL_AVERAGE>(dtype, p, stream)
                                      : launch_type<GPUDL_POOL_AVERAGE_PAD>(dtype, p, stream);
}

extern "C" int gpudl_global_pool_cuda(GpudlPoolKind kind, GpudlDType dtype, const void *x, const GpudlNhwc *xs, void *y,
                                      int64_t y_pitch, GpudlKernelStream stream)
{
    if (!gpudl_is_picture_type(dtype))
        return GPUDL_KERNEL_DTYPE;
    if (!is_shape(xs) || y_pitch < xs->c || (kind != GPUDL_POOL_MAX && kind != GPUDL_POOL_AVERAGE))
        return GPUDL_KERNEL_SHAPE;
    if (xs->n == 0 || xs->c == 0)
        return GPUDL_KERNEL_OK;
    return kind == GPUDL_POOL_MAX ? launch_global_types<GPUDL_POOL_MAX>(dtype, x, *xs, y, y_pitch, stream)
                                  : launch_global_types<GPUDL_POOL_AVERAGE>(dtype, x, *xs, y, y_pitch, stream);
}
