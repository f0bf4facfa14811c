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

/** A problem as the kernel gets it. */
struct GpudlMbconvJob {
    const void *x, *z;
    const unsigned char *weights;
    const float *bias;
    void *y;
    int x_pitch, y_pitch, z_pitch, h, w, p, q, c, k, tiles_high, tiles_wide;
    int pad_h, pad_w;
    int slices; /* of hidden channels */
    int x_line; /* bytes from pixel to pixel of the input in shared memory */
    GpudlMbconvSlice slice;
    GpudlAct expand, depthwise, project;
    unsigned expand_high, depthwise_high; /* of pairs, where the activations are clamps from 0 on */
    int shared_e, shared_w; /* where they begin in shared memory: X lies at its begin, the sums from there on */
};

__host__ __device__ constexpr int gpudl_mbconv_up(int a, int b)
{
    return (a + b - 1) / b;
}

/**
 * H x W output pixels. A unit is 16 places of which a warp filters 8 channels by one product for each two taps: a row
 * of pixels, or two rows of 8 where they are narrow (FOLDS). A warp has UNITS of them, ABREAST warps have all; where
 * that is half of the warps, the others have the other slice of each step's channels (GROUPS).
 *
 * Pixels of a row of input lie side by side in shared memory; at stride 2 first the even ones, then the odd ones, so
 * that what a tap sees of neighbouring outputs lies side by side as well.
 */
template <int TAPS_, int STRIDE_, int H_, int W_> struct GpudlMbconvTile {
    static constexpr int TAPS = TAPS_, STRIDE = STRIDE_, H = H_, W = W_;
    static constexpr int IN_H = (H - 1) * STRIDE + TAPS, IN_W = (W - 1) * STRIDE + TAPS, IN = IN_H * IN_W, OUT = H * W;
    static constexpr int IN_TILES = gpudl_mbconv_up(IN, 16);
    static constexpr int FOLDS = W > 8 ? 1 : 2, ALL_UNITS = gpudl_mbconv_up(H, FOLDS);
    static constexpr int UNITS = gpudl_mbconv_up(ALL_UNITS, GPUDL_MBCONV_WARPS);
    static constexpr int ABREAST = gpudl_mbconv_up(ALL_UNITS, UNITS), GROUPS = GPUDL_MBCONV_WARPS / ABREAST;
    static constexpr int EVENS = (IN_W + 1) / 2;

    static_assert(W * FOLDS <= 16 && GROUPS <= 2, "a warp has 16 places, and a step two slices");
    static_assert(ABREAST * UNITS == ALL_UNITS, "each warp has as many units");
    static_assert(FOLDS == 1 || UNITS == 1, "units of two rows are not stacked");

    /* Lines from a place's first tap to tap s of the same row, and from an even s to the next. */
    static __host__ __device__ constexpr int tap_at(int s)
    {
        return STRIDE == 1 ? s : s % 2 * EVENS + s / 2;
    }
    static constexpr int BEHIND = STRIDE == 1 ? 1 : EVENS;

    /* the column of input that is the i-th of its row, and back */
    static __host__ __device__ constexpr int column_of(int i)
    {
        return STRIDE == 1 ? i : i < EVENS ? 2 * i : 2 * (i - EVENS) + 1;
    }

    /* 16 input pixels of which a warp makes hidden channels, the i-th that it does; the last warp, which may have
     * nothing to filter, begins. */
    static __device__ __forceinline__ int in_tile(int i)
    {
        return i * GPUDL_MBCONV_WARPS + ((int)threadIdx.x / 32 + 1) % GPUDL_MBCONV_WARPS;
    }
    static constexpr int MOST_IN_TILES = gpudl_mbconv_up(IN_TILES, GPUDL_MBCONV_WARPS);

    /* of a lane's place in the tile, which may lie behind its last row or column */
    static __device__ __forceinline__ int row(int unit, int place)
    {
        return unit * FOLDS + (FOLDS > 1 ? place / 8 : 0);
    }
    static __device__ __forceinline__ int column(int place)
    {
        return FOLDS > 1 ? place % 8 : place;
    }
};

/** sum += a * b of 16 x 16 by 16 x 8. */
template <class T>
__device__ __forceinline__ void gpudl_mbconv_multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
{
    GpudlPair<T>::multiply_k16(sum, a[0], a[1], a[2], a[3], b0, b1);
}

/* ---- input ------------------------------------------------------------------------------------------------------- */

/** Copies of vectors first .. first + MANY - 1 of the tile's input pixels, lines apart; zeros outside of the picture
 * and beyond the channels. many is at most as many as there are threads. */
template <class T, class TILE>
__device__ __forceinline__ void gpudl_mbconv_fetch(const GpudlMbconvJob &job, const T *picture, int top, int left,
                                                   int first, int many, unsigned char *to, int line)
{
    const int pitch = job.x_pitch, h = job.h, w = job.w;

    if (many * TILE::IN_W <= GPUDL_MBCONV_THREADS) {
        /* a thread has a column and goes down the rows */
        const int items = many * TILE::IN_W, abreast = GPUDL_MBCONV_THREADS / items;
        const int begin = (int)threadIdx.x / items, item = (int)threadIdx.x - begin * items;
        const int i = item / many, vector = item - i * many, column = left + TILE::column_of(i);
        const bool exists = (first + vector) * 8 < job.c && (unsigned)column < (unsigned)w;
        int row = top + begin;
        const T *from = picture + (row * w + column) * pitch + (first + vector) * 8;
        unsigned char *at = to + (begin * TILE::IN_W + i) * line + vector * 16;

        if (begin >= abreast)
            return;
#pragma unroll 1
        for (; row < top + TILE::IN_H; row += abreast) {
            const bool is_row = exists && (unsigned)row < (unsigned)h;

            gpudl_copy_async<16>(at, is_row ? from : picture, is_row);
            from += abreast * w * pitch;
            at += abreast * TILE::IN_W * line;
        }
    } else {
        const int abreast = GPUDL_MBCONV_THREADS / many, begin = (int)threadIdx.x / many;
        const int vector = (int)threadIdx.x - begin * many;
        const bool is_channel = (first + vector) * 8 < job.c;
        const T *from = picture + (first + vector) * 8;

        if (begin >= abreast)
            return;
#pragma unroll 1
        for (int pixel = begin; pixel < TILE::IN; pixel += abreast) {
            const int row = top + pixel / TILE::IN_W, column = left + TILE::column_of(pixel % TILE::IN_W);
            const bool exists = is_channel && (unsigned)row < (unsigned)h && (unsigned)column < (unsigned)w;

            gpudl_copy_async<16>(to + pixel * line + vector * 16, exists ? from + (row * w + column) * pitch : picture,
                                 exists);
        }
    }
}

/* ---- first product ----------------------------------------------------------------------------------------------- */

/** Which of the rows that a lane has sums of are pixels of the picture: two bits for each tile of its warp. */
template <class TILE>
__device__ __forceinline__ unsigned gpudl_mbconv_inside(const GpudlMbconvJob &job, int top, int left)
{
    const int lane = (int)threadIdx.x % 32;
    unsigned inside = 0;

#pragma unroll
    for (int i = 0; i < 2 * TILE::MOST_IN_TILES; i++) {
        const int pixel = TILE::in_tile(i / 2) * 16 + i % 2 * 8 + lane / 4;
        const int row = top + pixel / TILE::IN_W, column = left + TILE::column_of(pixel % TILE::IN_W);

        if (pixel < TILE::IN && (unsigned)row < (unsigned)job.h && (unsigned)column < (unsigned)job.w)
            inside |= 1u << i;
    }
    return inside;
}

/** Sums of 16 pixels by SLICES of channels to shared memory, behind the activation; 0 outside of the picture: inside
 * has a bit for the upper 8 pixels and one for the lower ones. */
template <class T, bool FROM_ZERO, int SLICES>
__device__ __forceinline__ void gpudl_mbconv_put(const GpudlMbconvJob &job, float (&sum)[2 * SLICES][4],
                                                 unsigned inside, unsigned char *to)
{
    /* of what is not negative the lesser of it and 0 is 0 */
    const unsigned most = FROM_ZERO ? job.expand_high : 0xffffffffu;
    const unsigned mask[2] = {inside & 1 ? most : 0u, inside & 2 ? most : 0u};

    if (!FROM_ZERO)
        gpudl_activate_quickly<8 * SLICES>(job.expand, &sum[0][0]);
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        unsigned word[4];

#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float first = sum[2 * s + i / 2][i % 2 * 2], second = sum[2 * s + i / 2][i % 2 * 2 + 1];

            word[i] = FROM_ZERO ? GpudlPair<T>::minimum(GpudlPair<T>::set_from_zero(first, second), mask[i % 2])
                                : GpudlPair<T>::set(first, second) & mask[i % 2];
        }
        gpudl_store_tile(to + s * 32, GPUDL_MBCONV_LINE, word);
    }
}

/** What 16 channels of the input add to SLICES of hidden channels of AT_ONCE times 16 pixels. */
template <class T, int AT_ONCE, int SLICES>
__device__ __forceinline__ void gpudl_mbconv_add_depth(const unsigned char *const (&from)[AT_ONCE],
                                                       const unsigned char *operand, int next,
                                                       float (&sum)[AT_ONCE][2 * SLICES][4])
{
    unsigned a[AT_ONCE][4];

#pragma unroll
    for (int j = 0; j < AT_ONCE; j++)
        gpudl_load_matrices(a[j], from[j]);
#pragma unroll
    for (int s = 0; s < SLICES; s++) {
        const uint4 b = *reinterpret_cast<const uint4 *>(operand + s * next);

#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            gpudl_mbconv_multiply<T>(sum[j][2 * s], a[j], b.x, b.y);
            gpudl_mbconv_multiply<T>(sum[j][2 * s + 1], a[j], b.z, b.w);
        }
    }
}

/** SLICES of a step's hidden channels of all input pixels: x and e are shared memory, weights the step's slices there.
 */
template <class T, class TILE, bool FROM_ZERO, int SLICES>
__device__ __forceinline__ void gpudl_mbconv_expand(const GpudlMbconvJob &job, const unsigned char *x, unsigned inside,
                                                    const unsigned char *weights, unsigned char *e)
{
    constexpr int EACH = TILE::MOST_IN_TILES, AT_ONCE = EACH < 2 ? 1 : 2;
    const int lane = (int)threadIdx.x % 32, line = job.x_line, next = job.slice.next;
    const int depth = job.slice.taps / GPUDL_MBCONV_OPERAND;
    const unsigned char *bias = weights + job.slice.biases + lane % 4 * 8;

#pragma unroll
    for (int base = 0; base < EACH; base += AT_ONCE) {
        float sum[AT_ONCE][2 * SLICES][4];
        const unsigned char *from[AT_ONCE], *operand = weights + lane * 16;

        if (TILE::in_tile(base) >= TILE::IN_TILES)
            break;
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            /* a tile that is not there is the last one once more */
            const int tile = min(TILE::in_tile(base + j), TILE::IN_TILES - 1);

            from[j] = x + (tile * 16 + lane % 16) * line + lane / 16 * 16;
        }
#pragma unroll
        for (int i = 0; i < 2 * SLICES; i++) {
            const float2 two = *reinterpret_cast<const float2 *>(bias + i / 2 * next + i % 2 * 32);

#pragma unroll
            for (int j = 0; j < AT_ONCE; j++) {
                sum[j][i][0] = sum[j][i][2] = two.x;
                sum[j][i][1] = sum[j][i][3] = two.y;
            }
        }
        /* the first 16 channels by themselves: there the sums are the biases, which need not be copied for a loop */
        gpudl_mbconv_add_depth<T, AT_ONCE, SLICES>(from, operand, next, sum);
#pragma unroll 1
        for (int k = 1; k < depth; k++) {
            operand += GPUDL_MBCONV_OPERAND;
#pragma unroll
            for (int j = 0; j < AT_ONCE; j++)
                from[j] += 32;
            gpudl_mbconv_add_depth<T, AT_ONCE, SLICES>(from, operand, next, sum);
        }
#pragma unroll
        for (int j = 0; j < AT_ONCE; j++) {
            const int tile = TILE::in_tile(base + j);

            if (tile < TILE::IN_TILES)
                gpudl_mbconv_put<T, FROM_ZERO, SLICES>(job, sum[j], inside >> 2 * (base + j),
                                                       e + tile * 16 * GPUDL_MBCONV_LINE);
        }
    }
}

/* ---- second product ---------------------------------------------------------------------------------------------- */

/** Sums of a warp: of its units by PAIRS times 16 channels. */
template <class T, class TILE, int PAIRS> struct GpudlMbconvSums {
    float sum[TILE::UNITS][2 * PAIRS][4];

    __device__ __forceinline__ void clear()
    {
#pragma unroll
        for (int u = 0; u < TILE::UNITS; u++)
#pragma unroll
            for (int i = 0; i < 2 * PAIRS; i++)
#pragma unroll
                for (int j = 0; j < 4; j++)
                    sum[u][i][j] = 0.f;
    }

    /* what a slice's channels add. a: those of each unit, as first operand */
    __device__ __forceinline__ void multiply(const unsigned char *operand, int eights,
                                             const unsigned (&a)[TILE::UNITS][4])
    {
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            if (2 * i >= eights)
                break;
            const uint4 b = *reinterpret_cast<const uint4 *>(operand + i * GPUDL_MBCONV_OPERAND);

#pragma unroll
            for (int u = 0; u < TILE::UNITS; u++)
                gpudl_mbconv_multiply<T>(sum[u][2 * i], a[u], b.x, b.y);
            if (2 * i + 1 < eights) {
#pragma unroll
                for (int u = 0; u < TILE::UNITS; u++)
                    gpudl_mbconv_multiply<T>(sum[u][2 * i + 1], a[u], b.z, b.w);
            }
        }
    }

    /* to[group][pixel][channel], lines of so many floats */
    __device__ __forceinline__ void put(const GpudlMbconvJob &job, float *to, int line) const
    {
        const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, group = warp / TILE::ABREAST;

        if (TILE::GROUPS == 1 && group > 0)
            return;
        to += group * TILE::OUT * line;
#pragma unroll
        for (int u = 0; u < TILE::UNITS; u++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int place = half * 8 + lane / 4;
                const int row = TILE::row(warp % TILE::ABREAST * TILE::UNITS + u, place), column = TILE::column(place);

                if (row >= TILE::H || column >= TILE::W)
                    continue;
#pragma unroll
                for (int i = 0; i < 2 * PAIRS; i++)
                    if (i * 8 < job.k)
                        *reinterpret_cast<float2 *>(to + (row * TILE::W + column) * line + i * 8 + lane % 4 * 2) =
                            make_float2(sum[u][i][2 * half], sum[u][i][2 * half + 1]);
            }
    }

    /* y of the tile, of what the warp alone has summed, with nothing behind the sums but bias and z */
    __device__ __forceinline__ void store(const GpudlMbconvJob &job, int picture, int top, int left)
    {
        const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, k = job.k;
        const T *const z = static_cast<const T *>(job.z);

        if (warp >= TILE::ABREAST)
            return;
#pragma unroll
        for (int i = 0; i < 2 * PAIRS; i++)
            if (job.bias && i * 8 < k) {
                const float2 two = __ldg(reinterpret_cast<const float2 *>(job.bias + i * 8 + lane % 4 * 2));

#pragma unroll
                for (int u = 0; u < TILE::UNITS; u++)
#pragma unroll
                    for (int j = 0; j < 4; j++)
                        sum[u][i][j] += j % 2 == 0 ? two.x : two.y;
            }
#pragma unroll
        for (int u = 0; u < TILE::UNITS; u++)
#pragma unroll
            for (int half = 0; half < 2; half++) {
                const int place = half * 8 + lane / 4;
                const int row = top + warp * TILE::UNITS + u, column = left + place;
                const int64_t at = ((int64_t)picture * job.p + row) * job.q + column;
                unsigned *const to =
                    reinterpret_cast<unsigned *>(static_cast<T *>(job.y) + at * job.y_pitch) + lane % 4;
                unsigned words[2 * PAIRS];

                if (place >= TILE::W || row >= job.p || column >= job.q)
                    continue;
                if (z) {
                    const unsigned *const more = reinterpret_cast<const unsigned *>(z + at * job.z_pitch) + lane % 4;

#pragma unroll
                    for (int i = 0; i < 2 * PAIRS; i++)
                        words[i] = i * 8 < k ? gpudl_load_written(more + i * 4) : 0u;
                }
#pragma unroll
                for (int i = 0; i < 2 * PAIRS; i++) {
                    float first = sum[u][i][2 * half], second = sum[u][i][2 * half + 1];

                    if (z) {
                        const float2 two = GpudlPair<T>::get(words[i]);

                        first += two.x;
                        second += two.y;
                    }
                    if (i * 8 < k)
                        to[i * 4] = GpudlPair<T>::set(first, second);
                }
            }
    }
};

#endif
