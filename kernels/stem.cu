/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block makes 4 x 7 maxima of 64 channels: 9 x 15 pixels of the convolution, which are the lines of products on
 * tensor cores. What a pixel sees of a row of the picture is 64 bytes in one piece (of 3 taps 32), since stride 2 and
 * four channels of two bytes are 16 bytes: a line's operands are loaded from where the picture lies in shared memory,
 * with no gathering. Pieces begin at multiples of 16 bytes, so there is one tap more, before the first one or behind
 * the last one, of which neither operand is anything but zero: what is infinite beside a window does no harm.
 *
 * Weights stay in registers, for half of the channels a warp, and get there before what was queued before has ended.
 */
#include "kernels/cluster.cuh"
#include "stem_cuda.h"
#include "vectors.cuh"

namespace
{

constexpr int THREADS = 256;
constexpr int CHANNELS = 64, HALF = CHANNELS / 2; /* of a block, of a warp */
constexpr int POOL_H = 4, POOL_W = 7;             /* maxima */
constexpr int TILE_H = 2 * POOL_H + 1, TILE_W = 2 * POOL_W + 1, PIXELS = TILE_H * TILE_W;
constexpr int STRIPS = (PIXELS + 15) / 16; /* of 16 pixels, the lines of a product */
constexpr int GROUPS = THREADS / 32 / 2;   /* of warps that share strips */
constexpr int LINE = CHANNELS + 8;         /* elements from pixel to pixel: neighbours lie in other banks */

template <class T> struct Call {
    const T *x, *w;
    const float *bias;
    T *y;
    int64_t y_pitch;
    int h, width, k, p, q, ys_h, ys_w, across, tiles; /* across, tiles: of a row, of a picture */
    int pad[2], pool_pad[2], lead;                    /* lead: taps of zeros before the first */
    Ending ending;
};

/* Sizes that a window gives. */
template <int TAPS> struct Window {
    static constexpr int STEPS = TAPS > 4 ? 2 : 1; /* products of a row of taps: of 4 taps each */
    static constexpr int WIDE = 4 * STEPS;
    static constexpr int IN_H = 2 * (TILE_H - 1) + TAPS, IN_W = 2 * (TILE_W - 1) + WIDE;
    static constexpr int FILTER = TAPS * WIDE * 4 + 8; /* elements from channel to channel */
    static constexpr int WEIGHTS = CHANNELS * FILTER, INPUT = IN_H * IN_W * 4, SUMS = STRIPS * 16 * LINE;
    static constexpr int BYTES = (WEIGHTS + INPUT + SUMS) * 2;
};

/* Filters with a row's taps side by side, zeros where there is none. */
template <class T, int TAPS> __device__ __forceinline__ void fetch_weights(const Call<T> &p, int first_k, T *filters)
{
    typedef Window<TAPS> W;

    for (int i = (int)threadIdx.x; i < CHANNELS * TAPS * W::WIDE; i += THREADS) {
        const int row = i / W::WIDE, channel = row / TAPS, r = row % TAPS, s = i % W::WIDE - p.lead;
        const bool exist = s >= 0 && s < TAPS && first_k + channel < p.k;
        const int64_t from = (((int64_t)(first_k + channel) * TAPS + r) * TAPS + s) * 4;

        gpudl_copy_async<8>(filters + channel * W::FILTER + (r * W::WIDE + i % W::WIDE) * 4, p.w + (exist ? from : 0),
                            exist);
    }
    gpudl_copy_commit();
}

/* What the tile sees of a picture; zeros around it. */
template <class T, int TAPS>
__device__ __forceinline__ void fetch_input(const Call<T> &p, int64_t n, int top, int left, T *input)
{
    typedef Window<TAPS> W;
    const T *picture = p.x + n * p.h * p.width * 4;

    for (int i = (int)threadIdx.x; i < W::IN_H * W::IN_W; i += THREADS) {
        const int h = top + i / W::IN_W, w = left + i % W::IN_W;
        const bool exist = (unsigned)h < (unsigned)p.h && (unsigned)w < (unsigned)p.width;

        gpudl_copy_async<8>(input + i * 4, picture + (exist ? ((int64_t)h * p.width + w) * 4 : 0), exist);
    }
    gpudl_copy_commit();
}

/* Bias, activation, and what is no pixel of the convolution's picture is less than all that are. */
template <class T>
__device__ __forceinline__ void put_pixel(const Call<T> &p, int pixel, int top, int left, const float (&sum)[4][4],
                                          int lower, const float (&bias)[8], T *to)
{
    const int y = top + pixel / TILE_W, x = left + pixel % TILE_W;
    const bool exists = (unsigned)y < (unsigned)p.p && (unsigned)x < (unsigned)p.q;
    float v[8];

#pragma unroll
    for (int j = 0; j < 8; j++)
        v[j] = sum[j / 2][2 * lower + j % 2] + bias[j];
    p.ending(v);
#pragma unroll
    for (int j = 0; j < 4; j++)
        *reinterpret_cast<unsigned *>(to + pixel * LINE + 8 * j) =
            exists ? GpudlPair<T>::set(v[2 * j], v[2 * j + 1]) : GpudlPair<T>::set(-INFINITY, -INFINITY);
}

template <class T, int TAPS> __global__ void __launch_bounds__(THREADS) stem(const __grid_constant__ Call<T> p)
{
    typedef Window<TAPS> W;
    constexpr int DEPTH = TAPS * W::STEPS;
    T *filters = static_cast<T *>(gpudl_shared()), *input = filters + W::WEIGHTS, *sums = input + W::INPUT;
    const int warp = (int)threadIdx.x / 32, lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int group = warp / 2, half = warp % 2 * HALF, first_k = (int)blockIdx.y * CHANNELS;
    const int n = (int)blockIdx.x / p.tiles, tile = (int)blockIdx.x % p.tiles;
    const int first_y = tile / p.across * POOL_H, first_x = tile % p.across * POOL_W;
    const int top = 2 * first_y - p.pool_pad[0], left = 2 * first_x - p.pool_pad[1]; /* of the convolution's pixels */
    /* the tap that is none: of 4 channels, which are two lanes' words */
    const unsigned before = p.lead > 0 && t < 2 ? 0 : 0xffffffff, behind = p.lead == 0 && t >= 2 ? 0 : 0xffffffff;
    unsigned weights[DEPTH][4][2];
    float bias[8];

    fetch_weights<T, TAPS>(p, first_k, filters);
#pragma unroll
    for (int j = 0; j < 8; j++) {
        const int k = first_k + half + j / 2 * 8 + 2 * t + j % 2;

        bias[j] = p.bias && k < p.k ? p.bias[k] : 0.f;
    }
    gpudl_copy_wait<0>();
    __syncthreads();
#pragma unroll
    for (int d = 0; d < DEPTH; d++)
#pragma unroll
        for (int j = 0; j < 4; j += 2) {
            const T *row = filters + (half + 8 * j + lane / 16 * 8 + lane % 8) * W::FILTER + lane / 8 % 2 * 8;
            unsigned words[4];

            gpudl_load_matrices(words, row + d * 16);
            weights[d][j][0] = words[0];
            weights[d][j][1] = words[1];
            weights[d][j + 1][0] = words[2];
            weights[d][j + 1][1] = words[3];
        }
    gpudl_begin();
    fetch_input<T, TAPS>(p, n, 2 * top - p.pad[0], 2 * left - p.pad[1] - p.lead, input);
    gpudl_copy_wait<0>();
    __syncthreads();
#pragma unroll 1
    for (int strip = group; strip < STRIPS; strip += GROUPS) {
        /* pixels that there are not are the last one, and thrown away */
        const int pixel = min(strip * 16 + lane % 16, PIXELS - 1), y = pixel / TILE_W, x = pixel % TILE_W;
        const T *row = input + (2 * y * W::IN_W + 2 * x) * 4 + lane / 16 * 8;
        float sum[4][4] = {};

#pragma unroll
        for (int d = 0; d < DEPTH; d++) {
            unsigned words[4];

            gpudl_load_matrices(words, row + (d / W::STEPS * W::IN_W + d % W::STEPS * 4) * 4);
            if (d % W::STEPS == 0) {
                words[0] &= before;
                words[1] &= before;
            }
            if ((d + 1) % W::STEPS == 0) {
                words[2] &= behind;
                words[3] &= behind;
            }
#pragma unroll
            for (int j = 0; j < 4; j++)
                GpudlPair<T>::multiply_k16(sum[j], words[0], words[1], words[2], words[3], weights[d][j][0],
                                           weights[d][j][1]);
        }
#pragma unroll
        for (int lower = 0; lower < 2; lower++)
            put_pixel(p, strip * 16 + g + 8 * lower, top, left, sum, lower, bias, sums + half + 2 * t);
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < POOL_H * POOL_W * CHANNELS / 8; i += THREADS) {
        const int vector = i % (CHANNELS / 8) * 8, place = i / (CHANNELS / 8);
        const int y = place / POOL_W, x = place % POOL_W, out_y = first_y + y, out_x = first_x + x;
        const T *from = sums + (2 * y * TILE_W + 2 * x) * LINE + vector;
        GpudlVector<T, 8> best;

        best.fill(-INFINITY);
#pragma unroll
        for (int j = 0; j < 9; j++) {
            GpudlVector<T, 8> in;

            in.all = *reinterpret_cast<const uint4 *>(from + (j / 3 * TILE_W + j % 3) * LINE);
            best.maximum(in);
        }
        if (out_y < p.ys_h && out_x < p.ys_w && first_k + vector < p.k)
            best.store(p.y + (((int64_t)n * p.ys_h + out_y) * p.ys_w + out_x) * p.y_pitch + first_k + vector);
    }
}

/* ---- launching --------------------------------------------------------------------------------------------------- */

template <class T, int TAPS> int launch(const Call<T> &p, int64_t blocks, cudaStream_t stream)
{
    gpudl_launch_clusters(stem<T, TAPS>, 1, dim3((unsigned)blocks, (unsigned)gpudl_divide_up(p.k, CHANNELS)), THREADS,
                          Window<TAPS>::BYTES, stream, p);
    return (int)cudaGetLastError();
}

int64_t blocks_of(const GpudlStem *stem)
{
    return gpudl_divide_up(stem->ys.h, POOL_H) * gpudl_divide_up(stem->ys.w, POOL_W) * stem->ys.n;
}

template <class T>
int run(const GpudlStem *stem, const void *x, const void *w, const float *bias, void *y, cudaStream_t stream)
{
    Call<T> p = {};

    p.x = static_cast<const T *>(x);
    p.w = static_cast<const T *>(w);
    p.bias = bias;
    p.y = static_cast<T *>(y);
    p.y_pitch = stem->ys.pitch;
    p.h = stem->xs.h;
    p.width = stem->xs.w;
    p.k = stem->ys.c;
    p.p = stem->p;
    p.q = stem->q;
    p.ys_h = stem->ys.h;
    p.ys_w = stem->ys.w;
    p.across = (int)gpudl_divide_up(p.ys_w, POOL_W);
    p.tiles = (int)gpudl_divide_up(p.ys_h, POOL_H) * p.across;
    p.lead = stem->pad[1] % 2;
    for (int d = 0; d < 2; d++) {
        p.pad[d] = stem->pad[d];
        p.pool_pad[d] = stem->pool_pad[d];
    }
    p.ending.set(&stem->act);
    return stem->taps == 3 ? launch<T, 3>(p, blocks_of(stem), stream) : launch<T, 7>(p, blocks_of(stem), stream);
}

bool is_between(int64_t v, int64_t low, int64_t high)
{
    return v >= low && v <= high;
}

} // namespace

extern "C" int gpudl_stem_fits(GpudlDType dtype, const GpudlStem *stem)
{
    const GpudlNhwc *xs = &stem->xs, *ys = &stem->ys;
    const int extents[2][3] = {{xs->h, stem->p, ys->h}, {xs->w, stem->q, ys->w}};

    if (dtype != GPUDL_DTYPE_F16 && dtype != GPUDL_DTYPE_BF16)
        return GPUDL_KERNEL_DTYPE;
    if (xs->n < 0 || xs->n != ys->n || xs->c != 4 || xs->pitch != 4 || ys->c < 8 || ys->c % 8 != 0 || ys->c > 1 << 20 ||
        ys->pitch < ys->c || ys->pitch % 8 != 0 || (stem->taps != 3 && stem->taps != 7))
        return GPUDL_KERNEL_SHAPE;
    for (int d = 0; d < 2; d++)
        if (!is_between(extents[d][0], 1, 1 << 24) || !is_between(extents[d][1], 1, 1 << 24) ||
            !is_between(extents[d][2], 0, 1 << 24) || !is_between(stem->pad[d], 0, stem->taps) ||
            !is_between(stem->pool_pad[d], 0, 1))
            return GPUDL_KERNEL_SHAPE;
    return blocks_of(stem) <= INT32_MAX ? GPUDL_KERNEL_OK : GPUDL_KERNEL_SHAPE;
}

extern "C" int gpudl_stem_cuda(GpudlDType dtype, const GpudlStem *stem, const void *x, const void *w, const float *bias,
                               void *y, GpudlKernelStream stream)
{
    const int status = gpudl_stem_fits(dtype, stem);

    if (status != GPUDL_KERNEL_OK)
        return status;
    if ((uintptr_t)x % 8 != 0 || (uintptr_t)w % 8 != 0 || (uintptr_t)y % 16 != 0)
        return GPUDL_KERNEL_SHAPE;
    if (stem->ys.n == 0 || stem->ys.h == 0 || stem->ys.w == 0)
        return GPUDL_KERNEL_OK;
    if (dtype == GPUDL_DTYPE_F16)
        return run<__half>(stem, x, w, bias, y, stream);
    return run<GpudlBf16>(stem, x, w, bias, y, stream);
}
