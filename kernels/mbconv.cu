/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block makes all channels of a tile of output pixels. The input pixels of the tile, its halo with them, lie in
 * shared memory as X for as long as the block lives; 32 hidden channels at a time go by:
 *
 *        X  input pixels x channels
 *        |  first product, tensor cores, float32; activation; 0 outside of the picture
 *        E  input pixels x 32
 *        |  depthwise convolution, tensor cores with weights on a diagonal, float32; activation
 *        D  output pixels x 32
 *        |  second product, tensor cores: sums stay in registers from step to step
 *       sums, which go through shared memory once to be stored in whole vectors, with bias, z and activation
 *
 * What a step needs of weights is one piece of memory, of which the next one is on its way meanwhile; the first ones
 * are on theirs before the kernel before has ended. Two barriers a step: between E and D, and between D and the sums;
 * the next step's first product may begin while other warps are still at this one's second.
 *
 * Where tiles are too few for the device, the blocks of a cluster share a tile's hidden channels and tell one another
 * what they have summed: each finishes some of the pixels.
 *
 * Lines of E and D are 80 bytes apart: rows that are read as matrices, and the words of a tile of sums, lie in
 * different banks. At stride 2 the window's lie 160 bytes apart, two by two in the same ones.
 */
#include <math.h>

#include "half.h"
#include "kernels/cluster.cuh"
#include "mbconv.cuh"

namespace
{

constexpr int MOST_PARTS = 8;

/* ---- depthwise --------------------------------------------------------------------------------------------------- */

/* Taps of one of 8 channels, as second operands: 8 x 8 with a tap of each channel on the diagonal. A lane has two
 * elements of such a matrix, of which at most one is on the diagonal. */
template <int TAPS> struct Diagonals {
    static constexpr int AREA = TAPS * TAPS;
    unsigned pairs[(AREA + 1) / 2], even, odd;

    /* from: the first tap of the first channel */
    __device__ __forceinline__ explicit Diagonals(const unsigned char *from)
    {
        const int lane = (int)threadIdx.x % 32, channel = lane / 4;
        const bool is_on = channel / 2 == lane % 4, is_upper = channel % 2 != 0;

#pragma unroll
        for (int i = 0; i < (AREA + 1) / 2; i++) {
            pairs[i] = tap(from, 2 * i, channel);
            if (2 * i + 1 < AREA)
                pairs[i] |= tap(from, 2 * i + 1, channel) << 16;
        }
        even = !is_on ? 0x4444 : is_upper ? 0x1044 : 0x4410;
        odd = !is_on ? 0x4444 : is_upper ? 0x3244 : 0x4432;
    }

    static __device__ __forceinline__ unsigned tap(const unsigned char *from, int i, int channel)
    {
        return *reinterpret_cast<const unsigned short *>(from + i * GPUDL_MBCONV_SLICE * 2 + channel * 2);
    }

    __device__ __forceinline__ unsigned get(int i) const
    {
        return __byte_perm(pairs[i / 2], 0, i % 2 != 0 ? odd : even);
    }
};

/* The sums of a row of places, rounded, to d behind the clamp. */
template <class TILE, bool CLAMP>
__device__ __forceinline__ void put_row(const float *sum, int row, const GpudlMbconvAct &act, unsigned char *d)
{
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32;

#pragma unroll
    for (int half = 0; half < 2; half++) {
        const int place = half * 8 + lane / 4, p = TILE::segment(warp, place) * TILE::ROWS + row;
        const int q = TILE::column(place);
        unsigned word = GpudlPair<__half>::set(sum[2 * half], sum[2 * half + 1]);

        if (CLAMP)
            word = gpudl_mbconv_clamp(word, act.low, act.high);
        if (p < TILE::H && q < TILE::W)
            *reinterpret_cast<unsigned *>(d + (p * TILE::W + q) * GPUDL_MBCONV_LINE + warp % 4 * 16 + lane % 4 * 4) =
                word;
    }
}

/* What row i of a warp's input adds to the rows of sums that see it. at: the lane's line of the row. */
template <class TILE>
__device__ __forceinline__ void filter_row(int i, const unsigned char *at, const Diagonals<TILE::TAPS> &taps,
                                           float *sum)
{
    constexpr int TAPS = TILE::TAPS, STRIDE = TILE::STRIDE, LINE = GPUDL_MBCONV_LINE;
    const int behind = (int)threadIdx.x % 32 / 16 * LINE; /* the upper lanes' lines are of the tap behind */

#pragma unroll
    for (int s = 0; s < TAPS; s += 2) {
        const bool two = s + 1 < TAPS;
        unsigned a[4];

        gpudl_load_matrices(a, at + s * LINE + (two ? behind : 0));
#pragma unroll
        for (int r = 0; r < TAPS; r++) {
            const int row = (i - r) / STRIDE;

            if (i < r || (i - r) % STRIDE != 0 || row >= TILE::ROWS)
                continue;
            if (two)
                gpudl_mbconv_multiply(sum + 4 * row, a, taps.get(r * TAPS + s), taps.get(r * TAPS + s + 1));
            else
                gpudl_mma_k8(*reinterpret_cast<float(*)[4]>(sum + 4 * row), a[0], a[1], taps.get(r * TAPS + s));
        }
    }
}

/* The step's depthwise convolution of e, to d. */
template <class TILE, bool CLAMP>
__device__ __forceinline__ void filter(const GpudlMbconvJob &job, const unsigned char *weights, int slices,
                                       const unsigned char *e, unsigned char *d)
{
    constexpr int TAPS = TILE::TAPS, STRIDE = TILE::STRIDE, ROWS = TILE::ROWS, LINE = GPUDL_MBCONV_LINE;
    const int lane = (int)threadIdx.x % 32, warp = (int)threadIdx.x / 32, eight = warp % 4;
    const int first = TILE::segment(warp, lane % 16) * ROWS * STRIDE;
    const unsigned char *slice = weights + eight / 2 * job.slice.next;
    const unsigned char *from = e + min(TILE::column(lane % 16), TILE::W - 1) * STRIDE * LINE + eight * 16;
    const GpudlMbconvAct act = job.depthwise;
    float sum[ROWS * 4];

    if (eight / 2 >= slices)
        return;
    const Diagonals<TAPS> taps(slice + job.slice.taps + eight % 2 * 16);
    const float2 bias =
        *reinterpret_cast<const float2 *>(slice + job.slice.biases + 64 + eight % 2 * 32 + lane % 4 * 8);

#pragma unroll
    for (int i = 0; i < ROWS * 4; i++)
        sum[i] = i % 2 == 0 ? bias.x : bias.y;
#pragma unroll
    for (int i = 0; i < (ROWS - 1) * STRIDE + TAPS; i++) {
        /* a row that the tile has not is the last one once more, for sums that are not kept */
        const int row =
            (TILE::SEGMENTS - 1) * ROWS * STRIDE + i < TILE::IN_H ? first + i : min(first + i, TILE::IN_H - 1);

        filter_row<TILE>(i, from + row * TILE::IN_W * LINE, taps, sum);
        if (i >= TAPS - 1 && (i - TAPS + 1) % STRIDE == 0) {
            const int done = (i - TAPS + 1) / STRIDE;

            /* row by row: a decision for all of them would keep all in registers until the end */
            if (!CLAMP)
                gpudl_activate_quickly<4>(act.act, sum + done * 4);
            put_row<TILE, CLAMP>(sum + done * 4, done, act, d);
        }
    }
}

/* ---- the kernel -------------------------------------------------------------------------------------------------- */

/* y of pixels first .. last - 1 of the tile, of what all blocks of the cluster have summed */
template <class TILE>
__device__ __forceinline__ void finish(const GpudlMbconvJob &job, int64_t picture, int top, int left, const float *sums,
                                       int line)
{
    const int blocks = gpudl_cluster_blocks(), rank = gpudl_cluster_rank(), vectors = job.k / 8;
    const int first = TILE::OUT * rank / blocks, many = TILE::OUT * (rank + 1) / blocks - first;
    const int p = job.p, q = job.q, z_pitch = job.z_pitch, y_pitch = job.y_pitch;
    const __half *const z = job.z;
    const float *const bias = job.bias;
    const GpudlAct act = job.project;

    for (int i = (int)threadIdx.x; i < many * vectors; i += GPUDL_MBCONV_THREADS) {
        const int pixel = first + i / vectors, channel = i % vectors * 8;
        const int row = top + pixel / TILE::W, column = left + pixel % TILE::W;
        const int64_t at = (picture * p + row) * q + column;
        const float4 *from = reinterpret_cast<const float4 *>(sums + pixel * line + channel);
        GpudlVector<__half, 8> out;
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
        gpudl_activate_quickly<8>(act, v);
        out.set(v);
        out.store(job.y + at * y_pitch + channel);
    }
}

/* slices of weights to shared memory */
__device__ __forceinline__ void fetch_weights(const GpudlMbconvJob &job, int step, unsigned char *to)
{
    const int first = 2 * step, bytes = min(2, job.slices - first) * job.slice.next;
    const unsigned char *from = job.weights + (int64_t)first * job.slice.next;

    for (int i = (int)threadIdx.x * 16; i < bytes; i += GPUDL_MBCONV_THREADS * 16)
        gpudl_copy_async<16>(to + i, from + i, true);
}

/* On a processor. Where sums are few, 80 registers are left to a thread: three at once were faster for these when
 * windows were summed in pairs of float16. */
template <class TILE> constexpr int blocks_at_once(bool expands, int pairs)
{
    return TILE::TAPS == 3 && (expands ? TILE::STRIDE == 2 && TILE::OUT > 64 && pairs <= 2 : pairs == 1) ? 3 : 2;
}

template <class TILE, bool EXPANDS, int PAIRS>
__global__ void __launch_bounds__(GPUDL_MBCONV_THREADS, blocks_at_once<TILE>(EXPANDS, PAIRS))
    mbconv(const __grid_constant__ GpudlMbconvJob job)
{
    unsigned char *const shared = static_cast<unsigned char *>(gpudl_shared());
    unsigned char *const e = shared + job.shared_e, *const d = shared + job.shared_d;
    const int blocks = gpudl_cluster_blocks(), rank = gpudl_cluster_rank();
    const int steps = gpudl_mbconv_up(job.slices, 2), begin = steps * rank / blocks, end = steps * (rank + 1) / blocks;
    const int room = 2 * job.slice.next, line = gpudl_mbconv_up(job.k, 16) * 16 + 8;
    const int tile = (int)blockIdx.x / blocks, wide = job.tiles_wide, high = job.tiles_high;
    const int picture = tile / wide / high, top = tile / wide % high * TILE::H, left = tile % wide * TILE::W;
    const int in_top = top * TILE::STRIDE - job.pad_h, in_left = left * TILE::STRIDE - job.pad_w;
    const __half *const x = job.x + (int64_t)picture * job.h * job.w * job.x_pitch;
    float *const sums_at = reinterpret_cast<float *>(shared);
    GpudlMbconvSums<TILE, PAIRS> sums;
    unsigned inside = 0;

    /* weights are constant: they need not wait */
    fetch_weights(job, begin, shared + job.shared_w);
    gpudl_begin();
    if (EXPANDS)
        gpudl_mbconv_fetch<TILE>(job, x, in_top, in_left, 0, job.slice.taps / GPUDL_MBCONV_OPERAND * 2, shared,
                                 job.x_line);
    else
        gpudl_mbconv_fetch<TILE>(job, x, in_top, in_left, begin * 4, 4, e, GPUDL_MBCONV_LINE);
    gpudl_copy_commit();
    if (EXPANDS)
        inside = gpudl_mbconv_inside<TILE>(job, in_top, in_left);
    sums.clear();
    gpudl_copy_wait<0>();
    __syncthreads();
#pragma unroll 1
    for (int step = begin; step < end; step++) {
        const unsigned char *weights = shared + job.shared_w + (step - begin) % 2 * room;
        const int slices = min(2, job.slices - 2 * step);

        if (!EXPANDS)
            gpudl_copy_wait<0>();
        else if (job.expand.clamp)
            gpudl_mbconv_expand<TILE, true>(job, shared, inside, weights, slices, e);
        else
            gpudl_mbconv_expand<TILE, false>(job, shared, inside, weights, slices, e);
        __syncthreads();
        if (step + 1 < end)
            fetch_weights(job, step + 1, shared + job.shared_w + (step + 1 - begin) % 2 * room);
        gpudl_copy_commit();
        if (job.depthwise.clamp)
            filter<TILE, true>(job, weights, slices, e, d);
        else
            filter<TILE, false>(job, weights, slices, e, d);
        gpudl_copy_wait<0>();
        __syncthreads();
        if (!EXPANDS && step + 1 < end) {
            gpudl_mbconv_fetch<TILE>(job, x, in_top, in_left, (step + 1) * 4, 4, e, GPUDL_MBCONV_LINE);
            gpudl_copy_commit();
        }
        sums.add(job, weights, slices, d);
    }
    __syncthreads();
    sums.put(job, sums_at, line);
    if (blocks > 1)
        gpudl_cluster_barrier();
    else
        __syncthreads();
    finish<TILE>(job, picture, top, left, sums_at, line);
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
    X(1, 1, true, 6)                                                                                                   \
    X(1, 2, true, 2)                                                                                                   \
    X(1, 2, true, 5)                                                                                                   \
    X(1, 2, true, 10)                                                                                                  \
    X(2, 1, true, 2)                                                                                                   \
    X(2, 1, true, 4)                                                                                                   \
    X(2, 2, true, 2)                                                                                                   \
    X(2, 2, true, 5)                                                                                                   \
    X(1, 0, false, 1)                                                                                                  \
    X(1, 0, false, 4)                                                                                                  \
    X(1, 2, false, 2)                                                                                                  \
    X(2, 1, false, 4)                                                                                                  \
    X(2, 2, false, 2)

template <int TAPS, int STRIDE, int TILE> using TileOf = GpudlMbconvTile<TAPS, STRIDE, TILES[TILE].h, TILES[TILE].w>;

/* What a kernel needs, and where it has it. */
struct Room {
    int e, d, w, x_line;
    int64_t bytes;
};

int64_t align(int64_t bytes)
{
    return gpudl_divide_up(bytes, 128) * 128;
}

template <class TILE> Room room_of(const GpudlMbconv *b)
{
    const int64_t sums = (int64_t)TILE::OUT * (gpudl_mbconv_sixteens(b->ys.c) * 16 + 8) * (int64_t)sizeof(float);
    const int64_t x_line = b->expands ? gpudl_mbconv_sixteens(b->xs.c) * 32 + 16 : 0;
    const int64_t e = align(x_line * TILE::IN_TILES * 16), d = e + align(GPUDL_MBCONV_LINE * TILE::IN_TILES * 16);
    const int64_t w = d + align(GPUDL_MBCONV_LINE * TILE::OUT_TILES * 16);
    const int64_t end = w + 4 * (int64_t)gpudl_mbconv_slice(b).next;

    return {(int)e, (int)d, (int)w, (int)x_line, end > sums ? end : sums};
}

GpudlMbconvAct act_of(const GpudlAct *act)
{
    const float low = act->kind == GPUDL_ACT_RELU ? 0.f : act->kind == GPUDL_ACT_CLIP ? act->alpha : -INFINITY;
    const float high = act->kind == GPUDL_ACT_CLIP ? act->beta : INFINITY;
    const bool clamp = act->kind == GPUDL_ACT_NONE || act->kind == GPUDL_ACT_RELU || act->kind == GPUDL_ACT_CLIP;

    return {*act, gpudl_f32_to_f16(low) * 0x10001u, gpudl_f32_to_f16(high) * 0x10001u,
            clamp && low == low && high == high};
}

template <class TILE> GpudlMbconvJob job_of(const GpudlMbconv *b)
{
    const Room room = room_of<TILE>(b);
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
    job.expand = act_of(&b->expand);
    job.depthwise = act_of(&b->depthwise);
    job.project = b->project;
    job.shared_e = room.e;
    job.shared_d = room.d;
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

    if (blocks > INT32_MAX ||
        (parts > 1 && !gpudl_has_clusters(reinterpret_cast<const void *>(mbconv<TILE, EXPANDS, PAIRS>))))
        return GPUDL_KERNEL_SHAPE;
    job.x = static_cast<const __half *>(at.x);
    job.z = b->z_pitch > 0 ? static_cast<const __half *>(at.z) : nullptr;
    job.weights = static_cast<const unsigned char *>(at.weights);
    job.bias = at.bias;
    job.y = static_cast<__half *>(at.y);
    gpudl_launch_clusters(mbconv<TILE, EXPANDS, PAIRS>, parts, (unsigned)blocks, GPUDL_MBCONV_THREADS,
                          (size_t)room_of<TILE>(b).bytes, stream, job);
    return (int)cudaGetLastError();
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* Whether such a kernel's sums hold the block's channels. */
bool holds(const GpudlMbconv *b, int tile, bool expands, int pairs)
{
    const int along = gpudl_mbconv_up(TILES[tile].h * TILES[tile].w, 16) > 4 ? 1 : 2;

    return (b->expands != 0) == expands && gpudl_mbconv_sixteens(b->ys.c) <= pairs * along;
}

/* The room of a tile; bytes 0: there is no kernel of it for the block. */
template <int TAPS> Room find_room(const GpudlMbconv *b, int tile)
{
#define ROOM(stride_, tile_, expands_, pairs_)                                                                         \
    if (b->stride == stride_ && tile == tile_ && holds(b, tile_, expands_, pairs_))                                    \
        return room_of<TileOf<TAPS, stride_, tile_>>(b);
    KERNELS(ROOM)
#undef ROOM
    return {};
}

template <int TAPS>
int launch_plan(const GpudlMbconv *b, const Pointers &at, const GpudlMbconvPlan *plan, cudaStream_t stream)
{
#define LAUNCH(stride_, tile_, expands_, pairs_)                                                                       \
    if (b->stride == stride_ && plan->tile == tile_ && holds(b, tile_, expands_, pairs_))                              \
        return launch<TileOf<TAPS, stride_, tile_>, expands_, pairs_>(b, at, plan->parts, stream);
    KERNELS(LAUNCH)
#undef LAUNCH
    return GPUDL_KERNEL_SHAPE;
}

/* Room in shared memory beside what a block has of it anyway. */
constexpr int RESERVED = 1 << 10;

/* In microseconds, roughly: so many blocks are at a time on a multiprocessor, and a step of each takes so long. */
float estimate_us(const GpudlMbconv *b, const GpudlMbconvPlan *plan, int64_t room, int multiprocessors,
                  int shared_bytes)
{
    const Tile &tile = TILES[plan->tile];
    const int64_t tiles = (int64_t)b->ys.n * gpudl_divide_up(b->ys.h, tile.h) * gpudl_divide_up(b->ys.w, tile.w);
    const int64_t steps = gpudl_divide_up(gpudl_divide_up(b->hidden, GPUDL_MBCONV_STEP), plan->parts);
    const int at_once = 2 * (room + RESERVED) <= shared_bytes ? 2 : 1;
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
            cost = estimate_us(b, &plan, room.bytes, multiprocessors, shared_bytes);
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
    return gpudl_has_clusters(reinterpret_cast<const void *>(mbconv<TileOf<3, 1, 2>, true, 2>));
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
