/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread has V channels of TH x TW outputs; neighbours in a warp have the next channels, then the next columns, so
 * loads are whole lines and rows that windows share come from the first-level cache. Sums are float32 throughout:
 * halves would be a tenth faster at large batches and cost two bits.
 */
#include "cuda_common.cuh"
#include "depthwise_cuda.h"

namespace
{

struct Problem {
    const __half *x, *w;
    const float *bias;
    __half *y;
    GpudlNhwc xs, ys;
    int r, s, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    GpudlAct act;
};

template <int V> __device__ __forceinline__ void start(const Problem &p, int c, float *sum)
{
#pragma unroll
    for (int i = 0; i < V; i++)
        sum[i] = p.bias ? __ldg(p.bias + c + i) : 0.f;
}

template <int V> __device__ __forceinline__ void finish(const Problem &p, int64_t pixel, int c, float *sum)
{
    GpudlHalves<V> out;

#pragma unroll
    for (int i = 0; i < V; i++)
        sum[i] = gpudl_activate_f32(p.act, sum[i]);
    out.set(sum);
    out.store(p.y + pixel * p.ys.pitch + c);
}

/* K x K taps, dilation 1, one stride both ways: every input of the tile is loaded once */
template <int K, int STRIDE, int TH, int TW>
__device__ __forceinline__ void tile(const Problem &p, int n, int row, int col, int c)
{
    constexpr int V = 8, IN_H = (TH - 1) * STRIDE + K, IN_W = (TW - 1) * STRIDE + K;
    const int h0 = row * TH * STRIDE - p.pad_h, w0 = col * TW * STRIDE - p.pad_w;
    float sum[TH][TW][V];

#pragma unroll
    for (int a = 0; a < TH; a++)
#pragma unroll
        for (int b = 0; b < TW; b++)
            start<V>(p, c, sum[a][b]);
#pragma unroll
    for (int i = 0; i < IN_H; i++) {
        const int h = h0 + i;
        const __half *x = p.x + (((int64_t)n * p.xs.h + h) * p.xs.w + w0) * p.xs.pitch + c;
        GpudlHalves<V> in[IN_W];

#pragma unroll
        for (int j = 0; j < IN_W; j++) {
            in[j].fill(0);
            if ((unsigned)h < (unsigned)p.xs.h && (unsigned)(w0 + j) < (unsigned)p.xs.w)
                in[j].load(x + j * p.xs.pitch);
        }
#pragma unroll
        for (int a = 0; a < TH; a++) {
            const int r = i - a * STRIDE;

            if (r < 0 || r >= K)
                continue;
#pragma unroll
            for (int s = 0; s < K; s++) {
                GpudlHalves<V> weight;
                float w[V];

                weight.load(p.w + (int64_t)(r * K + s) * p.xs.c + c);
                weight.get(w);
#pragma unroll
                for (int b = 0; b < TW; b++) {
                    float v[V];

                    in[b * STRIDE + s].get(v);
#pragma unroll
                    for (int k = 0; k < V; k++)
                        sum[a][b][k] += v[k] * w[k];
                }
            }
        }
    }
#pragma unroll
    for (int a = 0; a < TH; a++)
#pragma unroll
        for (int b = 0; b < TW; b++) {
            const int q = col * TW + b, o = row * TH + a;

            if (o < p.ys.h && q < p.ys.w)
                finish<V>(p, ((int64_t)n * p.ys.h + o) * p.ys.w + q, c, sum[a][b]);
        }
}

/* any window: one output position */
template <int V> __device__ __forceinline__ void single(const Problem &p, int n, int row, int col, int c)
{
    const int h0 = row * p.stride_h - p.pad_h, w0 = col * p.stride_w - p.pad_w;
    float sum[V];

    start<V>(p, c, sum);
    for (int r = 0; r < p.r; r++) {
        const int64_t h = h0 + (int64_t)r * p.dilation_h;

        if (h < 0 || h >= p.xs.h)
            continue;
        for (int s = 0; s < p.s; s++) {
            const int64_t w = w0 + (int64_t)s * p.dilation_w;
            GpudlHalves<V> in, weight;
            float a[V], b[V];

            if (w < 0 || w >= p.xs.w)
                continue;
            in.load(p.x + (((int64_t)n * p.xs.h + h) * p.xs.w + w) * p.xs.pitch + c);
            weight.load(p.w + ((int64_t)r * p.s + s) * p.xs.c + c);
            in.get(a);
            weight.get(b);
#pragma unroll
            for (int k = 0; k < V; k++)
                sum[k] += a[k] * b[k];
        }
    }
    finish<V>(p, ((int64_t)n * p.ys.h + row) * p.ys.w + col, c, sum);
}

/* K 0: any window. Vectors of channels, then columns of tiles, lie along x; rows of tiles along y, pictures along z. */
template <int K, int STRIDE, int TH, int TW, int V> __global__ void __launch_bounds__(256) depthwise(const Problem p)
{
    const int vectors = p.xs.c / V, cols = (p.ys.w + TW - 1) / TW, rows = (p.ys.h + TH - 1) / TH;
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int c = (int)(i % vectors) * V, col = (int)(i / vectors);

    if (i >= (int64_t)vectors * cols)
        return;
    for (int n = blockIdx.z; n < p.ys.n; n += gridDim.z)
        for (int row = blockIdx.y * blockDim.y + threadIdx.y; row < rows; row += gridDim.y * blockDim.y) {
            if constexpr (K == 0)
                single<V>(p, n, row, col, c);
            else
                tile<K, STRIDE, TH, TW>(p, n, row, col, c);
        }
}

template <int K, int STRIDE, int TH, int TW, int V> int launch(const Problem &p, cudaStream_t stream)
{
    const int64_t wide = (int64_t)(p.xs.c / V) * gpudl_divide_up(p.ys.w, TW), rows = gpudl_divide_up(p.ys.h, TH);
    /* short lines: several of them to a block */
    const unsigned bx = wide >= 256 ? 256 : (unsigned)gpudl_divide_up(wide, 32) * 32;
    const unsigned by = rows < 256 / bx ? (unsigned)rows : 256 / bx;
    const dim3 grid((unsigned)gpudl_divide_up(wide, bx), gpudl_grid(gpudl_divide_up(rows, by)), gpudl_grid(p.ys.n));

    if (gpudl_divide_up(wide, bx) > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    depthwise<K, STRIDE, TH, TW, V><<<grid, dim3(bx, by), 0, stream>>>(p);
    return (int)cudaGetLastError();
}

template <int K, int STRIDE> int launch_tiled(const Problem &p, cudaStream_t stream)
{
    /* tiles that share inputs once there are enough of them for every multiprocessor */
    const int64_t vectors = (int64_t)p.ys.n * p.ys.h * p.ys.w * (p.xs.c / 8);

    if (vectors < 1 << 17)
        return launch<K, STRIDE, 1, 1, 8>(p, stream);
    if constexpr (STRIDE == 1 && K == 3)
        return launch<K, STRIDE, 2, 2, 8>(p, stream);
    else
        return launch<K, STRIDE, 1, 2, 8>(p, stream);
}

} // namespace

extern "C" int gpudl_depthwise_cuda(const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                                    const GpudlWindow *window, const GpudlAct *act, void *y, const GpudlNhwc *ys,
                                    GpudlKernelStream stream)
{
    const Problem p = {static_cast<const __half *>(x),
                       static_cast<const __half *>(w),
                       bias,
                       static_cast<__half *>(y),
                       *xs,
                       *ys,
                       window->kernel[1],
                       window->kernel[2],
                       window->stride[1],
                       window->stride[2],
                       window->pad_begin[1],
                       window->pad_begin[2],
                       window->dilation[1],
                       window->dilation[2],
                       *act};
    const bool plain = p.r == p.s && p.stride_h == p.stride_w && p.dilation_h == 1 && p.dilation_w == 1;

    if (window->n_spatial != 2 || p.r < 1 || p.s < 1 || p.stride_h < 1 || p.stride_w < 1 || p.dilation_h < 1 ||
        p.dilation_w < 1 || xs->n != ys->n || xs->c != ys->c || xs->n < 0 || xs->c < 0 || xs->h < 0 || xs->w < 0 ||
        ys->h < 0 || ys->w < 0 || xs->pitch < xs->c || ys->pitch < ys->c)
        return GPUDL_KERNEL_SHAPE;
    if (ys->n == 0 || ys->h == 0 || ys->w == 0 || ys->c == 0)
        return GPUDL_KERNEL_OK;
    if (!gpudl_whole_vectors(x, xs->c, xs->pitch) || !gpudl_whole_vectors(y, ys->c, ys->pitch) ||
        !gpudl_whole_vectors(w, xs->c, xs->c))
        return launch<0, 1, 1, 1, 1>(p, stream);
    if (plain && p.r == 3 && p.stride_h == 1)
        return launch_tiled<3, 1>(p, stream);
    if (plain && p.r == 3 && p.stride_h == 2)
        return launch_tiled<3, 2>(p, stream);
    if (plain && p.r == 5 && p.stride_h == 1)
        return launch_tiled<5, 1>(p, stream);
    if (plain && p.r == 5 && p.stride_h == 2)
        return launch_tiled<5, 2>(p, stream);
    return launch<0, 1, 1, 1, 8>(p, stream);
}
