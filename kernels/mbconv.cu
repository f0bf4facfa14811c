/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block makes all channels of a tile of output pixels. The input pixels of the tile, its halo with them, lie in
 * shared memory as X for as long as the block lives; 32 hidden channels at a time go by:
 *
 *        X  input pixels x channels
 *        |  first product, tensor cores, float32; activation; 0 outside of the picture
 *        E  input pixels x 32, twice
 *        |  depthwise convolution, tensor cores with weights on a diagonal, float32; activation
 *        |  second product, tensor cores: of what the lanes have in their registers
 *       sums, which stay in registers from step to step
 *
 * A warp filters whole rows of output pixels and multiplies what it has filtered, so that nothing has to lie anywhere
 * between the two. One barrier a step: behind it warps make E of the next step and read E of this one, each in its own
 * time, so that tensor cores, conversions and loads of different warps overlap.
 *
 * What a step needs of weights is one piece of memory, of which those of the next two steps are there or on their way;
 * the first ones are asked for before the kernel before has ended.
 *
 * Where tiles are too few for the device, the blocks of a cluster share a tile's hidden channels and tell one another
 * what they have summed: each finishes some of the pixels.
 *
 * Lines of E are 80 bytes apart: rows that are read or written as matrices lie in different banks.
 */
#include <math.h>

#include "half.h"
#include "kernels/cluster.cuh"
#include "mbconv.cuh"

namespace
{

constexpr int MOST_PARTS = 8;

/* ---- depthwise --------------------------------------------------------------------------------------------------- */

/* Taps of the lane's channel of 8 where its elements of a second operand are on the diagonal, else nothing. */
template <int TAPS> struct Taps {
    static constexpr int PAIRS = TAPS * (TAPS - 1), QUADS = ((TAPS - 1) * (TAPS + 2) + 3) / 4;
    unsigned word[4 * QUADS];

    __device__ __forceinline__ void load(const unsigned char *from, int quad)
    {
        const uint4 four = *reinterpret_cast<const uint4 *>(from + quad * 16);

        word[4 * quad] = four.x;
        word[4 * quad + 1] = four.y;
        word[4 * quad + 2] = four.z;
        word[4 * quad + 3] = four.w;
    }
    /* before row i of the input is filtered: a row of 5 taps is a quad, all others are needed at once */
    __device__ __forceinline__ void load_row(const unsigned char *from, int i)
    {
#pragma unroll
        for (int quad = 0; quad < QUADS; quad++)
            if (TAPS == 5 && quad < TAPS ? i == quad : i == 0)
                load(from, quad);
    }
    /* of two taps the first word: all but the last one of row r, from an even s on, or the last ones of rows r, r + 1
     */
    static __device__ __forceinline__ constexpr int pair(int r, int s)
    {
        return r * (TAPS - 1) + s;
    }
    static __device__ __forceinline__ constexpr int last_pair(int r)
    {
        return r % 2 == 0 ? PAIRS + r : PAIRS + TAPS - 1 + r - 1;
    }
    /* the last tap of the first or last row */
    static __device__ __forceinline__ constexpr int last(int r)
    {
        return r == 0 ? PAIRS : PAIRS + 2 * (TAPS - 1) - 1;
    }
};

/* Where a lane finds what its warp filters: in E the first row's line of its place, and one tap behind or one row
 * below for the lanes of matrices that come second; in a slice the taps of its channel or the nothing behind them. */
template <class TILE> struct Place {
    int at, behind, below, taps, next_eight;

    __device__ __forceinline__ explicit Place(const GpudlMbconvJob &job)
    {
        const int lane = (int)threadIdx.x % 32, unit = (int)threadIdx.x / 32 % TILE::ABREAST * TILE::UNITS;
        const int channel = lane / 4, bytes = Taps<TILE::TAPS>::QUADS * 16;
        const int second = lane / 16 * GPUDL_MBCONV_LINE;
        /* places that are none are the last one once more */
        const int row = min(TILE::row(unit, lane % 16), TILE::H - 1) * TILE::STRIDE;
        const bool is_on = channel / 2 == lane % 4;

        at = (row * TILE::IN_W + min(TILE::column(lane % 16), TILE::W - 1)) * GPUDL_MBCONV_LINE;
        behind = at + second * TILE::BEHIND;
        below = at + second * TILE::IN_W;
        taps = job.slice.taps + (is_on ? channel : GPUDL_MBCONV_SLICE) * bytes;
        next_eight = is_on ? 8 * bytes : 0;
    }
};

/* Adds 8 channels' windows of a warp's units to sum. e: E from these channels on. */
template <class T, class TILE>
__device__ __forceinline__ void filter_eight(const unsigned char *e, const Place<TILE> &place,
                                             const unsigned char *weights, float (&sum)[TILE::UNITS][4])
{
    constexpr int TAPS = TILE::TAPS, STRIDE = TILE::STRIDE, ROWS = (TILE::UNITS - 1) * STRIDE + TAPS;
    Taps<TAPS> taps;

#pragma unroll
    for (int i = 0; i < ROWS; i++) {
        const int line = i * TILE::IN_W;
        unsigned a[4];

        taps.load_row(weights, i);
#pragma unroll
        for (int s = 0; s + 1 < TAPS; s += 2) {
            gpudl_load_matrices(a, e + place.behind + (line + TILE::tap_at(s)) * GPUDL_MBCONV_LINE);
#pragma unroll
            for (int u = 0; u < TILE::UNITS; u++) {
                const int r = i - u * STRIDE, word = taps.pair(r, s);

                if (r >= 0 && r < TAPS)
                    gpudl_mbconv_multiply<T>(sum[u], a, taps.word[word], taps.word[word + 1]);
            }
        }
        if (i % 2 != 0)
            continue;
        /* the last column of this row and of the next */
        gpudl_load_matrices(a, e + (i + 1 < ROWS ? place.below : place.at) +
                                   (line + TILE::tap_at(TAPS - 1)) * GPUDL_MBCONV_LINE);
#pragma unroll
        for (int u = 0; u < TILE::UNITS; u++) {
            const int r = i - u * STRIDE;

            if (r >= 0 && r + 1 < TAPS)
                gpudl_mbconv_multiply<T>(sum[u], a, taps.word[taps.last_pair(r)], taps.word[taps.last_pair(r) + 1]);
            else if (r + 1 == TAPS)
                GpudlPair<T>::multiply_k8(sum[u], a[0], a[1], taps.word[taps.last(r)]);
            else if (r == -1)
                GpudlPair<T>::multiply_k8(sum[u], a[2], a[3], taps.word[taps.last(0)]);
        }
    }
}

/* The step's windows of the warp's units and slices, which it multiplies as they are: sums of 16 x 8 lie in the lanes
 * as a half of the second product's first operand does. */
template <class T, class TILE, int PAIRS, bool FROM_ZERO>
__device__ __forceinline__ void filter(const GpudlMbconvJob &job, const Place<TILE> &place,
                                       const unsigned char *weights, int slices, const unsigned char *e,
                                       GpudlMbconvSums<T, TILE, PAIRS> &sums)
{
    const int lane = (int)threadIdx.x % 32, group = (int)threadIdx.x / 32 / TILE::ABREAST;
    const int eights = gpudl_mbconv_up(job.k, 8);

    if (TILE::GROUPS == 1 && group > 0)
        return;
#pragma unroll 1
    for (int s = group; s < slices; s += TILE::GROUPS) {
        const unsigned char *slice = weights + s * job.slice.next;
        const unsigned char *bias = slice + job.slice.biases + 64 + lane % 4 * 8;
        unsigned a[TILE::UNITS][4];

#pragma unroll
        for (int eight = 0; eight < 2; eight++) {
            const float2 two = *reinterpret_cast<const float2 *>(bias + eight * 32);
            float window[TILE::UNITS][4];

#pragma unroll
            for (int u = 0; u < TILE::UNITS; u++) {
                window[u][0] = window[u][2] = two.x;
                window[u][1] = window[u][3] = two.y;
            }
            filter_eight<T, TILE>(e + s * 32 + eight * 16, place, slice + place.taps + eight * place.next_eight,
                                  window);
            if (!FROM_ZERO)
                gpudl_activate_quickly<4 * TILE::UNITS>(job.depthwise, &window[0][0]);
#pragma unroll
            for (int u = 0; u < TILE::UNITS; u++)
#pragma unroll
                for (int half = 0; half < 2; half++) {
                    const float first = window[u][2 * half], second = window[u][2 * half + 1];

                    a[u][2 * eight + half] =
                        FROM_ZERO
                            ? GpudlPair<T>::minimum(GpudlPair<T>::set_from_zero(first, second), job.depthwise_high)
                            : GpudlPair<T>::set(first, second);
                }
        }
        sums.multiply(slice + job.slice.project + lane * 16, eights, a);
    }
}

/* ---- the kernel -------------------------------------------------------------------------------------------------- */

/* y of pixels first .. last - 1 of the tile, of what all blocks of the cluster have summed */
template <class T, class TILE>
__device__ __forceinline__ void finish(const GpudlMbconvJob &job, int64_t picture, int top, int left, const float *sums,
                                       int line)
{
    const int blocks = gpudl_cluster_blocks(), rank = gpudl_cluster_rank(), vectors = job.k / 8;
    const int first = TILE::OUT * rank / blocks, many = TILE::OUT * (rank + 1) / blocks - first;
    const int p = job.p, q = job.q, z_pitch = job.z_pitch, y_pitch = job.y_pitch;
    const T *const z = static_cast<const T *>(job.z);
    const float *const bias = job.bias;
    const GpudlAct act = job.project;

    for (int i = (int)threadIdx.x; i < many * vectors; i += GPUDL_MBCONV_THREADS) {
        const int pixel = first + i / vectors, channel = i % vectors * 8;
        const int row = top + pixel / TILE::W, column = left + pixel % TILE::W;
        const int64_t at = (picture * p + row) * q + column;
        GpudlVector<T, 8> out;
        float v[8] = {};

        if (row >= p || column >= q)
            continue;
        if (bias) {
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] = __ldg(bias + channel + j);
        }
        if (z) {
            float more[8];

            out.load(z + at * z_pitch + channel);
            out.get(more);
#pragma unroll
            for (int j = 0; j < 8; j++)
                v[j] += more[j];
        }
#pragma unroll 1
        for (int group = 0; group < TILE::GROUPS; group++) {
            const float4 *from = reinterpret_cast<const float4 *>(sums + (group * TILE::OUT + pixel) * line + channel);

#pragma unroll 4
            for (int block = 0; block < blocks; block++)
#pragma unroll
                for (int j = 0; j < 2; j++) {
                    const float4 four = blocks > 1 ? gpudl_cluster_floats(from + j, block) : from[j];

                    v[4 * j] += four.x;
                    v[4 * j + 1] += four.y;
                    v[4 * j + 2] += four.z;
                    v[4 * j + 3] += four.w;
                }
        }
        gpudl_activate_quickly<8>(act, v);
        out.set(v);
        out.store(static_cast<T *>(job.y) + at * y_pitch + channel);
    }
}

/* slices of weights to shared memory */
__device__ __forceinline__ void fetch_weights(const GpudlMbconvJob &job, int step, unsigned char *to)
{
    const int first = 2 * step, bytes = min(2, job.slices - first) * job.slice.next;
    const unsigned char *from = job.weights + (int64_t)first * job.slice.next + threadIdx.x * 16;

    to += threadIdx.x * 16;
#pragma unroll 1
    for (int i = (int)threadIdx.x * 16; i < bytes; i += GPUDL_MBCONV_THREADS * 16) {
        gpudl_copy_async<16>(to, from, true);
        from += GPUDL_MBCONV_THREADS * 16;
        to += GPUDL_MBCONV_THREADS * 16;
    }
}

/* A step's hidden channels of the input pixels, to e. */
template <class T, class TILE, bool FROM_ZERO>
__device__ __forceinline__ void expand(const GpudlMbconvJob &job, const unsigned char *x, unsigned inside,
                                       const unsigned char *weights, int slices, unsigned char *e)
{
    if (slices > 1)
        gpudl_mbconv_expand<T, TILE, FROM_ZERO, 2>(job, x, inside, weights, e);
    else
        gpudl_mbconv_expand<T, TILE, FROM_ZERO, 1>(job, x, inside, weights, e);
}

/* On a processor: as many as have registers enough. */
template <class TILE> constexpr int blocks_at_once(bool expands, int pairs)
{
    return TILE::TAPS == 3 && (expands ? TILE::IN <= 256 && TILE::UNITS == 1 && pairs <= 2 : pairs == 1) ? 3 : 2;
}

template <class T, class TILE, bool EXPANDS, int PAIRS, bool FROM_ZERO>
__global__ void __launch_bounds__(GPUDL_MBCONV_THREADS, blocks_at_once<TILE>(EXPANDS, PAIRS))
    mbconv(const __grid_constant__ GpudlMbconvJob job)
{
    constexpr int E_BYTES = TILE::IN_TILES * 16 * GPUDL_MBCONV_LINE;
    unsigned char *const shared = static_cast<unsigned char *>(gpudl_shared());
    unsigned char *const e = shared + job.shared_e, *const w = shared + job.shared_w;
    const int blocks = gpudl_cluster_blocks(), rank = gpudl_cluster_rank();
    const int steps = gpudl_mbconv_up(job.slices, 2), begin = steps * rank / blocks, end = steps * (rank + 1) / blocks;
    const int room = 2 * job.slice.next, line = gpudl_mbconv_up(job.k, 16) * 16 + 8;
    const int tile = (int)blockIdx.x / blocks, wide = job.tiles_wide, high = job.tiles_high;
    const int picture = tile / wide / high, top = tile / wide % high * TILE::H, left = tile % wide * TILE::W;
    const int in_top = top * TILE::STRIDE - job.pad_h, in_left = left * TILE::STRIDE - job.pad_w;
    const T *const x = static_cast<const T *>(job.x) + (int64_t)picture * job.h * job.w * job.x_pitch;
    float *const sums_at = reinterpret_cast<float *>(shared);
    const Place<TILE> place(job);
    GpudlMbconvSums<T, TILE, PAIRS> sums;
    unsigned inside = 0;
    int turn = 0; /* of three pieces of weights, the step's */

    /* weights are constant: they need not wait */
    fetch_weights(job, begin, w);
    gpudl_begin();
    if (EXPANDS)
        gpudl_mbconv_fetch<T, TILE>(job, x, in_top, in_left, 0, job.slice.taps / GPUDL_MBCONV_OPERAND * 2, shared,
                                    job.x_line);
    else
        gpudl_mbconv_fetch<T, TILE>(job, x, in_top, in_left, begin * 4, 4, e, GPUDL_MBCONV_LINE);
    gpudl_copy_commit();
    if (begin + 1 < end)
        fetch_weights(job, begin + 1, w + room);
    gpudl_copy_commit();
    if (EXPANDS)
        inside = gpudl_mbconv_inside<TILE>(job, in_top, in_left);
    sums.clear();
    gpudl_copy_wait<1>();
    __syncthreads();
    if (EXPANDS)
        expand<T, TILE, FROM_ZERO>(job, shared, inside, w, min(2, job.slices - 2 * begin), e);
#pragma unroll 1
    for (int step = begin; step < end; step++) {
        const unsigned char *const weights = w + turn * room;
        unsigned char *const now = e + (step - begin) % 2 * E_BYTES, *const next = e + (step + 1 - begin) % 2 * E_BYTES;

        /* here E of this step and the weights of the next are there, and what the step before has read is free */
        gpudl_copy_wait<0>();
        __syncthreads();
        if (step + 2 < end)
            fetch_weights(job, step + 2, w + (turn == 0 ? 2 : turn - 1) * room);
        if (!EXPANDS && step + 1 < end)
            gpudl_mbconv_fetch<T, TILE>(job, x, in_top, in_left, (step + 1) * 4, 4, next, GPUDL_MBCONV_LINE);
        gpudl_copy_commit();
        turn = turn == 2 ? 0 : turn + 1;
        if (EXPANDS && step + 1 < end)
            expand<T, TILE, FROM_ZERO>(job, shared, inside, w + turn * room, min(2, job.slices - 2 * (step + 1)), next);
        filter<T, TILE, PAIRS, FROM_ZERO>(job, place, weights, min(2, job.slices - 2 * step), now, sums);
    }
    if (TILE::GROUPS == 1 && blocks == 1 && job.project.kind == GPUDL_ACT_NONE) {
        sums.store(job, picture, top, left);
        return;
    }
    __syncthreads();
    sums.put(job, sums_at, line);
    if (blocks > 1)
        gpudl_cluster_barrier();
    else
        __syncthreads();
    finish<T, TILE>(job, picture, top, left, sums_at, line);
    /* till here others read this block's sums */
    if (blocks > 1)
        gpudl_cluster_meet();
}

/* ---- launching --------------------------------------------------------------------------------------------------- */

struct Tile {
    int h, w;
};
constexpr Tile TILES[] = {{14, 14}, {7, 14}, {7, 7}};
constexpr int TILE_COUNT = (int)(sizeof(TILES) / sizeof(*TILES));

/* Kernels there are: X(stride, tile, expands, pairs of 8 channels that a warp sums), those of a stride and tile by
 * their pairs. */
#define KERNELS(X)                                                                                                     \
    X(1, 0, true, 2)                                                                                                   \
    X(1, 0, true, 4)                                                                                                   \
    X(1, 1, true, 2)                                                                                                   \
    X(1, 1, true, 4)                                                                                                   \
    X(1, 1, true, 7)                                                                                                   \
    X(1, 2, true, 2)                                                                                                   \
    X(1, 2, true, 7)                                                                                                   \
    X(1, 2, true, 10)                                                                                                  \
    X(2, 1, true, 2)                                                                                                   \
    X(2, 1, true, 4)                                                                                                   \
    X(2, 2, true, 2)                                                                                                   \
    X(2, 2, true, 4)                                                                                                   \
    X(2, 2, true, 10)                                                                                                  \
    X(1, 0, false, 1)                                                                                                  \
    X(1, 0, false, 4)                                                                                                  \
    X(1, 2, false, 4)                                                                                                  \
    X(2, 1, false, 4)                                                                                                  \
    X(2, 2, false, 4)

template <int TAPS, int STRIDE, int TILE> using TileOf = GpudlMbconvTile<TAPS, STRIDE, TILES[TILE].h, TILES[TILE].w>;

/* What a kernel needs, and where it has it. */
struct Room {
    int e, w, x_line, at_once; /* blocks of it on a processor, by registers */
    int64_t bytes;
};

int64_t align(int64_t bytes)
{
    return gpudl_divide_up(bytes, 128) * 128;
}

template <class TILE> Room room_of(const GpudlMbconv *b, int at_once)
{
    const int64_t sums =
        (int64_t)TILE::GROUPS * TILE::OUT * (gpudl_mbconv_sixteens(b->ys.c) * 16 + 8) * (int64_t)sizeof(float);
    const int64_t x_line = b->expands ? gpudl_mbconv_sixteens(b->xs.c) * 32 + 16 : 0;
    const int64_t e = align(x_line * TILE::IN_TILES * 16), steps = gpudl_divide_up(b->hidden, GPUDL_MBCONV_STEP);
    const int64_t w = e + (steps > 1 ? 2 : 1) * GPUDL_MBCONV_LINE * TILE::IN_TILES * 16;
    const int64_t end = w + (steps > 3 ? 3 : steps) * 2 * (int64_t)gpudl_mbconv_slice(b).next;

    return {(int)e, (int)w, (int)x_line, at_once, end > sums ? end : sums};
}

/* Whether an activation is a clamp from 0 on, and from what on it is no more. */
bool is_from_zero(const GpudlAct *act, float *high)
{
    *high = act->kind == GPUDL_ACT_CLIP ? act->beta : INFINITY;
    return act->kind == GPUDL_ACT_RELU || (act->kind == GPUDL_ACT_CLIP && act->alpha == 0 && act->beta >= 0);
}

template <class TILE> GpudlMbconvJob job_of(const GpudlMbconv *b)
{
    const Room room = room_of<TILE>(b, 0);
    GpudlMbconvJob job = {};

    job.x_pitch = (int)b->xs.pitch;
    job.y_pitch = (int)b->ys.pitch;
    job.z_pitch = (int)b->z_pitch;
    job.h = b->xs.h;
    job.w = b->xs.w;
    job.p = b->ys.h;
    job.q = b->ys.w;
    job.c = b->xs.c;
    job.k = b->ys.c;
    job.tiles_high = gpudl_mbconv_up(b->ys.h, TILE::H);
    job.tiles_wide = gpudl_mbconv_up(b->ys.w, TILE::W);
    job.pad_h = b->pad[0];
    job.pad_w = b->pad[1];
    job.slices = gpudl_mbconv_sixteens(b->hidden);
    job.x_line = room.x_line;
    job.slice = gpudl_mbconv_slice(b);
    job.expand = b->expand;
    job.depthwise = b->depthwise;
    job.project = b->project;
    job.shared_e = room.e;
    job.shared_w = room.w;
    return job;
}

struct Pointers {
    const void *x, *weights, *z;
    const float *bias;
    void *y;
};

template <class TILE, bool EXPANDS, int PAIRS>
int launch(const GpudlMbconv *b, const Pointers &at, int parts, cudaStream_t stream)
{
    GpudlMbconvJob job = job_of<TILE>(b);
    const int64_t blocks = (int64_t)b->ys.n * job.tiles_high * job.tiles_wide * parts;
    float high[2];
    const bool from_zero = is_from_zero(&b->depthwise, &high[1]) && (!EXPANDS || is_from_zero(&b->expand, &high[0]));
    /* bfloat16 has one kernel for all activations */
    const bool clamps = from_zero && b->dtype == GPUDL_DTYPE_F16;
    const auto kernel = b->dtype == GPUDL_DTYPE_BF16 ? mbconv<GpudlBf16, TILE, EXPANDS, PAIRS, false>
                        : clamps                     ? mbconv<__half, TILE, EXPANDS, PAIRS, true>
                                                     : mbconv<__half, TILE, EXPANDS, PAIRS, false>;

    if (blocks > INT32_MAX || (parts > 1 && !gpudl_has_clusters(reinterpret_cast<const void *>(kernel))))
        return GPUDL_KERNEL_SHAPE;
    if (clamps) {
        job.expand_high = EXPANDS ? gpudl_f32_to_f16(high[0]) * 0x10001u : 0;
        job.depthwise_high = gpudl_f32_to_f16(high[1]) * 0x10001u;
    }
    job.x = at.x;
    job.z = b->z_pitch > 0 ? at.z : nullptr;
    job.weights = static_cast<const unsigned char *>(at.weights);
    job.bias = at.bias;
    job.y = at.y;
    gpudl_launch_clusters(kernel, parts, (unsigned)blocks, GPUDL_MBCONV_THREADS, (size_t)room_of<TILE>(b, 0).bytes,
                          stream, job);
    return (int)cudaGetLastError();
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Whether such a kernel's sums hold the block's channels. */
bool holds(const GpudlMbconv *b, bool expands, int pairs)
{
    return (b->expands != 0) == expands && gpudl_mbconv_sixteens(b->ys.c) <= pairs;
}

/* The room of a tile; bytes 0: there is no kernel of it for the block. */
template <int TAPS> Room find_room(const GpudlMbconv *b, int tile)
{
#define ROOM(stride_, tile_, expands_, pairs_)                                                                         \
    if (b->stride == stride_ && tile == tile_ && holds(b, expands_, pairs_))                                           \
        return room_of<TileOf<TAPS, stride_, tile_>>(b, blocks_at_once<TileOf<TAPS, stride_, tile_>>(expands_, pairs_));
    KERNELS(ROOM)
#undef ROOM
    return {};
}

template <int TAPS>
int launch_plan(const GpudlMbconv *b, const Pointers &at, const GpudlMbconvPlan *plan, cudaStream_t stream)
{
#define LAUNCH(stride_, tile_, expands_, pairs_)                                                                       \
    if (b->stride == stride_ && plan->tile == tile_ && holds(b, expands_, pairs_))                                     \
        return launch<TileOf<TAPS, stride_, tile_>, expands_, pairs_>(b, at, plan->parts, stream);
    KERNELS(LAUNCH)
#undef LAUNCH
    return GPUDL_KERNEL_SHAPE;
}

/* Room in shared memory beside what a block has of it anyway. */
constexpr int RESERVED = 1 << 10;

/* In microseconds, roughly: so many blocks are at a time on a multiprocessor, and a step of each takes so long. */
float estimate_us(const GpudlMbconv *b, const GpudlMbconvPlan *plan, const Room &room, int multiprocessors,
                  int shared_bytes)
{
    const Tile &tile = TILES[plan->tile];
    const int64_t tiles = (int64_t)b->ys.n * gpudl_divide_up(b->ys.h, tile.h) * gpudl_divide_up(b->ys.w, tile.w);
    const int64_t steps = gpudl_divide_up(gpudl_divide_up(b->hidden, GPUDL_MBCONV_STEP), plan->parts);
    const int fit = (int)(shared_bytes / (room.bytes + RESERVED)),
              at_once = fit < room.at_once ? fit + !fit : room.at_once;
    const float in = (float)(((tile.h - 1) * b->stride + b->taps) * ((tile.w - 1) * b->stride + b->taps));
    const float step = .25f + in * (float)(b->expands ? b->xs.c + 48 : 32) * 1.6e-5f +
                       (float)(tile.h * tile.w) * (float)(b->ys.c + b->taps * b->taps * 4) * 1.6e-5f;
    const float turns = (float)gpudl_divide_up(tiles * plan->parts, (int64_t)multiprocessors);
    const float busy = turns > (float)at_once ? turns / (float)at_once : 1.f;

    return busy * ((float)steps * step * (turns > 1 ? (float)at_once : 1.f) + 1.5f) + (plan->parts > 1 ? 1.f : 0.f);
}

template <int TAPS>
int find_plans(const GpudlMbconv *b, int multiprocessors, int shared_bytes, int clusters, GpudlMbconvPlan *plans)
{
    const int steps = gpudl_mbconv_up(b->hidden, GPUDL_MBCONV_STEP);
    float costs[GPUDL_MBCONV_PLANS];
    int n = 0;

    for (int tile = 0; tile < TILE_COUNT; tile++)
        for (int parts = 1; parts <= (clusters ? MOST_PARTS : 1) && parts <= steps; parts++) {
            const Room room = find_room<TAPS>(b, tile);
            const GpudlMbconvPlan plan = {tile, parts};
            const int64_t tiles =
                (int64_t)b->ys.n * gpudl_divide_up(b->ys.h, TILES[tile].h) * gpudl_divide_up(b->ys.w, TILES[tile].w);
            float cost;
            int at = n;

            /* one part more, and the longest is as long */
            if (parts > 1 && gpudl_mbconv_up(steps, parts) == gpudl_mbconv_up(steps, parts - 1))
                continue;
            if (room.bytes == 0 || room.bytes > shared_bytes || tiles * parts > INT32_MAX ||
                (parts > 1 && tiles * parts > 4 * (int64_t)multiprocessors))
                continue;
            cost = estimate_us(b, &plan, room, multiprocessors, shared_bytes);
            while (at > 0 && costs[at - 1] > cost)
                at--;
            for (int i = n; i > at; i--) {
                plans[i] = plans[i - 1];
                costs[i] = costs[i - 1];
            }
            plans[at] = plan;
            costs[at] = cost;
            n++;
        }
    return n;
}

static_assert(TILE_COUNT * MOST_PARTS <= GPUDL_MBCONV_PLANS, "all plans find room");

} // namespace

extern "C" int gpudl_mbconv_has_clusters(void)
{
    return gpudl_has_clusters(reinterpret_cast<const void *>(mbconv<__half, TileOf<3, 1, 2>, true, 2, true>));
}

extern "C" int gpudl_mbconv_plans(const GpudlMbconv *block, int32_t multiprocessors, int32_t shared_bytes, int clusters,
                                  GpudlMbconvPlan plans[GPUDL_MBCONV_PLANS])
{
    if (gpudl_mbconv_check(block) != GPUDL_KERNEL_OK || block->ys.n == 0 || multiprocessors < 1)
        return 0;
    return block->taps == 3 ? find_plans<3>(block, multiprocessors, shared_bytes, clusters, plans)
                            : find_plans<5>(block, multiprocessors, shared_bytes, clusters, plans);
}

extern "C" int gpudl_mbconv_cuda(const GpudlMbconv *block, const void *x, const void *weights, const float *bias,
                                 const void *z, void *y, const GpudlMbconvPlan *plan, GpudlKernelStream stream)
{
    const Pointers at = {x, weights, z, bias, y};

    if (gpudl_mbconv_check(block) != GPUDL_KERNEL_OK || plan->parts < 1 || plan->parts > MOST_PARTS ||
        plan->parts > gpudl_mbconv_up(block->hidden, GPUDL_MBCONV_STEP))
        return GPUDL_KERNEL_SHAPE;
    if (block->ys.n == 0)
        return GPUDL_KERNEL_OK;
    if (((uintptr_t)x | (uintptr_t)weights | (uintptr_t)y | (uintptr_t)bias) % 16 != 0 ||
        (block->z_pitch > 0 && ((uintptr_t)z % 16 != 0 || z == nullptr)))
        return GPUDL_KERNEL_SHAPE;
    return block->taps == 3 ? launch_plan<3>(block, at, plan, stream) : launch_plan<5>(block, at, plan, stream);
}
