/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* Tiles of inverted residuals, and what a block does with one: mbconv.cu has the picture. */
#ifndef GPUDL_KERNELS_MBCONV_CUH
#define GPUDL_KERNELS_MBCONV_CUH

#include "cuda_common.cuh"
#include "depthwise.cuh"
#include "mbconv.h"

#define GPUDL_MBCONV_WARPS 8
#define GPUDL_MBCONV_THREADS (GPUDL_MBCONV_WARPS * 32)
#define GPUDL_MBCONV_STEP 32                           /* hidden channels at a time: two slices */
#define GPUDL_MBCONV_LINE (GPUDL_MBCONV_STEP * 2 + 16) /* bytes from pixel to pixel between the products */

/** An activation: a clamp of pairs, or anything. */
struct GpudlMbconvAct {
    GpudlAct act;
    unsigned low, high;
    bool clamp;
};

/** A problem as the kernel gets it. */
struct GpudlMbconvJob {
    const __half *x, *z;
    const unsigned char *weights;
    const float *bias;
    __half *y;
    int x_pitch, y_pitch, z_pitch, h, w, p, q, c, k, tiles_high, tiles_wide;
    int pad_h, pad_w;
    int slices; /* of hidden channels */
    int x_line; /* bytes from pixel to pixel of the input in shared memory */
    GpudlMbconvSlice slice;
    GpudlMbconvAct expand, depthwise;
    GpudlAct project;
    int shared_e, shared_d,
        shared_w; /* where they begin in shared memory: X lies at its begin, the sums from there on */
};

__host__ __device__ constexpr int gpudl_mbconv_up(int a, int b)
{
    return (a + b - 1) / b;
}

/**
 * H x W output pixels. A warp of the depthwise step makes 8 channels of 16 places at a time: a row of pixels, or two
 * rows of 8 where they are narrow; and ROWS of those, of the SEGMENTS that the tile's rows are cut into. Of the second
 * product, a warp makes every ACROSSth 16 pixels by every (WARPS / ACROSS)th part of the channels.
 */
template <int TAPS_, int STRIDE_, int H_, int W_> struct GpudlMbconvTile {
    static constexpr int TAPS = TAPS_, STRIDE = STRIDE_, H = H_, W = W_;
    static constexpr int IN_H = (H - 1) * STRIDE + TAPS, IN_W = (W - 1) * STRIDE + TAPS, IN = IN_H * IN_W, OUT = H * W;
    static constexpr int IN_TILES = gpudl_mbconv_up(IN, 16), OUT_TILES = gpudl_mbconv_up(OUT, 16);
    static constexpr int FOLDS = W > 8 ? 1 : 2, SEGMENTS = GPUDL_MBCONV_WARPS / 4 * FOLDS;
    static constexpr int ROWS = gpudl_mbconv_up(H, SEGMENTS);
    static constexpr int ACROSS = OUT_TILES > 4 ? GPUDL_MBCONV_WARPS : 4, ALONG = GPUDL_MBCONV_WARPS / ACROSS;
    static constexpr int PER_WARP = gpudl_mbconv_up(OUT_TILES, ACROSS);

    static_assert(W * FOLDS <= 16, "a warp has 16 places");

    /* of a warp's place: its rows' segment, and its column, the last one where there are no more */
    static __device__ __forceinline__ int segment(int warp, int place)
    {
        return warp / 4 * FOLDS + (FOLDS > 1 ? place / 8 : 0);
    }
    static __device__ __forceinline__ int column(int place)
    {
        return FOLDS > 1 ? place % 8 : place;
    }
};

__device__ __forceinline__ unsigned gpudl_mbconv_clamp(unsigned pair, unsigned low, unsigned high)
{
    return GpudlPair<__half>::minimum(GpudlPair<__half>::maximum(pair, low), high);
}

__device__ __forceinline__ void gpudl_mbconv_multiply(float *sum, const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    gpudl_mma_k16(*reinterpret_cast<float(*)[4]>(sum), a[0], a[1], a[2], a[3], b0, b1);
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

/** Copies of vectors first .. first + MANY - 1 of the tile's input pixels, lines apart; zeros outside of the picture
 * and beyond the channels. many is at most as many as there are threads. */
template <class TILE>
__device__ __forceinline__ void gpudl_mbconv_fetch(const GpudlMbconvJob &job, const __half *picture, int top, int left,
                                                   int first, int many, unsigned char *to, int line)
{
    const int abreast = GPUDL_MBCONV_THREADS / many, vector = (int)threadIdx.x % many;
    const int pitch = job.x_pitch, h = job.h, w = job.w;
    const bool is_channel = (first + vector) * 8 < job.c;
    const __half *from = picture + (first + vector) * 8;

    for (int pixel = (int)threadIdx.x / many; pixel < TILE::IN && (int)threadIdx.x < abreast * many; pixel += abreast) {
        const int row = top + pixel / TILE::IN_W, column = left + pixel % TILE::IN_W;
        const bool exists = is_channel && (unsigned)row < (unsigned)h && (unsigned)column < (unsigned)w;

        gpudl_copy_async<16>(to + pixel * line + vector * 16, exists ? from + (row * w + column) * pitch : job.x,
                             exists);
    }
}

/* ---- first product ----------------------------------------------------------------------------------------------- */

/** Which of the rows that a lane has sums of are pixels of the picture: two bits for each tile of its warp. */
template <class TILE>
__device__ __forceinline__ unsigned gpudl_mbconv_inside(const GpudlMbconvJob &job, int top, int left)
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;
    unsigned inside = 0;

#pragma unroll
    for (int i = 0; i < 2 * gpudl_mbconv_up(TILE::IN_TILES, GPUDL_MBCONV_WARPS); i++) {
        const int pixel = (i / 2 * GPUDL_MBCONV_WARPS + warp) * 16 + i % 2 * 8 + lane / 4;
        const int row = top + pixel / TILE::IN_W, column = left + pixel % TILE::IN_W;

        if (pixel < TILE::IN && (unsigned)row < (unsigned)job.h && (unsigned)column < (unsigned)job.w)
            inside |= 1u << i;
    }
    return inside;
}

/** Sums of 16 pixels by a step's channels to shared memory, behind the activation; 0 outside of the picture. */
template <bool CLAMP>
__device__ __forceinline__ void gpudl_mbconv_put(const GpudlMbconvAct &act, float (&sum)[16], unsigned upper,
                                                 unsigned lower, int slices, unsigned char *to)
{
    if (!CLAMP)
        gpudl_activate_quickly<16>(act.act, sum);
#pragma unroll
    for (int s = 0; s < 2; s++) {
        unsigned word[4];

        if (s >= slices)
            break;
#pragma unroll
        for (int i = 0; i < 4; i++) {
            word[i] = GpudlPair<__half>::set(sum[8 * s + 2 * i], sum[8 * s + 2 * i + 1]);
            if (CLAMP)
                word[i] = gpudl_mbconv_clamp(word[i], act.low, act.high);
            word[i] &= i % 2 == 0 ? upper : lower;
        }
        gpudl_store_tile(to + s * 32, GPUDL_MBCONV_LINE, word);
    }
}

/** A step's hidden channels of all input pixels: x and e are shared memory, weights the step's slices there. */
template <class TILE, bool CLAMP>
__device__ __forceinline__ void gpudl_mbconv_expand(const GpudlMbconvJob &job, const unsigned char *x, unsigned inside,
                                                    const unsigned char *weights, int slices, unsigned char *e)
{
    constexpr int EACH = gpudl_mbconv_up(TILE::IN_TILES, GPUDL_MBCONV_WARPS), AT_ONCE = EACH < 2 ? 1 : 2;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, line = job.x_line;
    const int next = slices > 1 ? job.slice.next : 0, depth = job.slice.taps / GPUDL_MBCONV_OPERAND;
    const unsigned char *bias = weights + job.slice.biases + lane % 4 * 8;
    const GpudlMbconvAct act = job.expand;

#pragma unroll
    for (int base = 0; base < EACH; base += AT_ONCE) {
        float sum[AT_ONCE][16];
        const unsigned char *from[AT_ONCE], *operand = weights + lane * 16;

        if (base * GPUDL_MBCONV_WARPS + warp >= TILE::IN_TILES)
            break;
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            /* a tile that is not there is the last one once more */
            const int tile = min((base + j) * GPUDL_MBCONV_WARPS + warp, TILE::IN_TILES - 1);

            from[j] = x + (tile * 16 + lane % 16) * line + lane / 16 * 16;
        }
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float2 two = *reinterpret_cast<const float2 *>(bias + i / 2 * next + i % 2 * 32);

#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                sum[j][4 * i] = sum[j][4 * i + 2] = two.x;
                sum[j][4 * i + 1] = sum[j][4 * i + 3] = two.y;
            }
        }
#pragma unroll 1
        for (int k = 0; k < depth; k++, operand += GPUDL_MBCONV_OPERAND) {
            const uint4 b[2] = {*reinterpret_cast<const uint4 *>(operand),
                                *reinterpret_cast<const uint4 *>(operand + next)};
            unsigned a[AT_ONCE][4];

#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                gpudl_load_matrices(a[j], from[j]);
                from[j] += 32;
            }
#pragma unroll
            for (int s = 0; s < 2; s++)
#pragma unroll
                for (int j = 0; j < AT_ONCE; j++) {
                    gpudl_mbconv_multiply(&sum[j][8 * s], a[j], b[s].x, b[s].y);
                    gpudl_mbconv_multiply(&sum[j][8 * s + 4], a[j], b[s].z, b[s].w);
                }
        }
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            const int number = base + j, tile = number * GPUDL_MBCONV_WARPS + warp;

            if (tile < TILE::IN_TILES)
                gpudl_mbconv_put<CLAMP>(act, sum[j], inside >> 2 * number & 1 ? 0xffffffffu : 0u,
                                        inside >> (2 * number + 1) & 1 ? 0xffffffffu : 0u, slices,
                                        e + tile * 16 * GPUDL_MBCONV_LINE);
        }
    }
}

/* ---- second product ---------------------------------------------------------------------------------------------- */

/** Sums of a warp: of PER_WARP times 16 pixels by PAIRS times 16 channels. */
template <class TILE, int PAIRS> struct GpudlMbconvSums {
    float sum[TILE::PER_WARP][2 * PAIRS][4];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int m = 0; m < TILE::PER_WARP; m++)
#pragma unroll
            for (int i = 0; i < 2 * PAIRS; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sum[m][i][j] = 0.f;
    }

    /* what a step's channels add */
    __device__ __forceinline__ void add(const GpudlMbconvJob &job, const unsigned char *weights, int slices,
                                        const unsigned char *d)
    {
        const int lane = (int)threadIdx.x % 32, across = (int)threadIdx.x / 32 % TILE::ACROSS;
        const int along = (int)threadIdx.x / 32 / TILE::ACROSS, eights = gpudl_mbconv_up(job.k, 8);

        if (across >= TILE::OUT_TILES)
            return;
#pragma unroll
        for (int s = 0; s < 2; s++) {
            const unsigned char *operand = weights + s * job.slice.next + job.slice.project + lane * 16;
            unsigned a[TILE::PER_WARP][4];

            if (s >= slices)
                break;
#pragma unroll
            for (int m = 0; m < TILE::PER_WARP; m++) {
                const int tile = min(m * TILE::ACROSS + across, TILE::OUT_TILES - 1);

                gpudl_load_matrices(a[m], d + (tile * 16 + lane % 16) * GPUDL_MBCONV_LINE + s * 32 + lane / 16 * 16);
            }
#pragma unroll
            for (int i = 0; i < PAIRS; i++) {
                const int pair = along * PAIRS + i;

                if (2 * pair >= eights)
                    break;
                const uint4 b = *reinterpret_cast<const uint4 *>(operand + pair * GPUDL_MBCONV_OPERAND);

#pragma unroll
                for (int m = 0; m < TILE::PER_WARP; m++)
                    gpudl_mbconv_multiply(sum[m][2 * i], a[m], b.x, b.y);
                if (2 * pair + 1 < eights) {
#pragma unroll
                    for (int m = 0; m < TILE::PER_WARP; m++)
                        gpudl_mbconv_multiply(sum[m][2 * i + 1], a[m], b.z, b.w);
                }
            }
        }
    }

    /* to[pixel][channel], lines of so many floats */
    __device__ __forceinline__ void put(const GpudlMbconvJob &job, float *to, int line) const
    {
        const int lane = (int)threadIdx.x % 32, across = (int)threadIdx.x / 32 % TILE::ACROSS;
        const int along = (int)threadIdx.x / 32 / TILE::ACROSS;

#pragma unroll
        for (int m = 0; m < TILE::PER_WARP; m++)
#pragma unroll
            for (int i = 0; i < 2 * PAIRS; i++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const int pixel = (m * TILE::ACROSS + across) * 16 + half * 8 + lane / 4;
                    const int channel = (along * 2 * PAIRS + i) * 8 + lane % 4 * 2;

                    if (pixel < TILE::OUT && channel < job.k)
                        *reinterpret_cast<float2 *>(to + pixel * line + channel) =
                            make_float2(sum[m][i][2 * half], sum[m][i][2 * half + 1]);
                }
    }
};

#endif
