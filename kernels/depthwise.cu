/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Form 0 of the plans, and the launches of all: the other forms are depthwise_march.cuh's.
 *
 * Square windows of 3, 5 and 7 taps go to the tensor cores, which sum in float32 as the contract wants and need no
 * conversions: channels that share a product's K axis are kept apart by weights on a diagonal.
 *
 *   D[pixel][channel] += sum over k of A[pixel][k] * B[k][channel],  m16n8k16
 *   A: k 0..7 are 8 channels at one tap, k 8..15 the same channels at the next; B: diag(weights of a tap), twice.
 *
 * 7 of 8 products are zeros, and still it is the cheapest form: a product takes the place of 64 multiplications and
 * their conversions. Fragments come straight from memory: lane 4 * i + q has pixel i of 8 neighbours in a row, and 8
 * channels in one 16-byte load, whose words are A's of four products; rows 0..7 of A are one output row, rows 8..15 the
 * next. The lane's sums are those of its own 8 channels, so results are stored 16 bytes at a time. Which channels and
 * which columns a q has is free: no lane idles where channels are few.
 *
 * An infinity times a diagonal's zeros is NaN, in 7 channels that have nothing to do with it. So whoever finds a NaN
 * computes its outputs again, one tap at a time.
 */
#include <math.h>

#include "depthwise.cuh"
#include "depthwise_cuda.h"
#include "depthwise_plans.cuh"
#include "half.h"

namespace
{

constexpr int THREADS = 128, COLUMNS = 8;

template <class T> using Problem = GpudlDepthwise<T>;

template <int V, class T> __device__ __forceinline__ void start(const Problem<T> &p, int c, float *sum)
{
#pragma unroll
    for (int i = 0; i < V; i++)
        sum[i] = p.bias ? gpudl_load_constant(p.bias + c + i) : 0.f;
}

/* any window: one output position */
template <int V, class T> __device__ __forceinline__ void single(const Problem<T> &p, int n, int row, int col, int c)
{
    const int h0 = row * p.stride_h - p.pad_h, w0 = col * p.stride_w - p.pad_w;
    const int64_t pixel = ((int64_t)n * p.ys.h + row) * p.ys.w + col;
    GpudlVector<T, V> out;
    float sum[V];

    start<V>(p, c, sum);
    for (int r = 0; r < p.r; r++) {
        const int64_t h = h0 + (int64_t)r * p.dilation_h;

        if (h < 0 || h >= p.xs.h)
            continue;
        for (int s = 0; s < p.s; s++) {
            const int64_t w = w0 + (int64_t)s * p.dilation_w;
            GpudlVector<T, V> in, weight;
            float a[V], b[V];

            if (w < 0 || w >= p.xs.w)
                continue;
            in.load(p.x + (((int64_t)n * p.xs.h + h) * p.xs.w + w) * p.xs.pitch + c);
            weight.load_constant(p.w + ((int64_t)r * p.s + s) * p.xs.c + c);
            in.get(a);
            weight.get(b);
#pragma unroll
            for (int k = 0; k < V; k++)
                sum[k] += a[k] * b[k];
        }
    }
    gpudl_activate_narrow<V>(p.act, sum);
    out.set(sum);
    out.store(p.y + pixel * p.ys.pitch + c);
}

template <class T> __device__ __noinline__ void single_again(const Problem<T> &p, int n, int row, int col, int c)
{
    single<8>(p, n, row, col, c);
}

/* Vectors of channels, then columns, lie along x; rows along y, pictures along z. */
template <class T, int V> __global__ void __launch_bounds__(256) any_window(const __grid_constant__ Problem<T> p)
{
    gpudl_begin();

    const int vectors = p.xs.c / V;
    const int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    const int c = (int)(i % vectors) * V, col = (int)(i / vectors);

    if (i >= (int64_t)vectors * p.ys.w)
        return;
    for (int n = blockIdx.z; n < p.ys.n; n += gridDim.z)
        for (int row = blockIdx.y * blockDim.y + threadIdx.y; row < p.ys.h; row += gridDim.y * blockDim.y)
            single<V>(p, n, row, col, c);
}

template <int V, class T> int launch_any(const Problem<T> &p, cudaStream_t stream)
{
    const int64_t wide = (int64_t)(p.xs.c / V) * p.ys.w, rows = p.ys.h;
    /* short lines: several of them to a block */
    const unsigned bx = wide >= 256 ? 256 : (unsigned)gpudl_divide_up(wide, 32) * 32;
    const unsigned by = rows < 256 / bx ? (unsigned)rows : 256 / bx;
    const dim3 grid((unsigned)gpudl_divide_up(wide, bx), gpudl_grid(gpudl_divide_up(rows, by)), gpudl_grid(p.ys.n));

    if (gpudl_divide_up(wide, bx) > INT32_MAX)
        return GPUDL_KERNEL_SHAPE;
    gpudl_launch(any_window<T, V>, grid, dim3(bx, by), 0, stream, p);
    return (int)cudaGetLastError();
}

/* sum += a (16 pixels of 8 channels at two taps) times diagonals of weights; LAST: of the first tap alone */
template <class T, bool LAST>
__device__ __forceinline__ void multiply(float (&sum)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                                         unsigned b0, unsigned b1)
{
    if (LAST)
        GpudlPair<T>::multiply_k8(sum, a0, a1, b0);
    else
        GpudlPair<T>::multiply_k16(sum, a0, a1, a2, a3, b0, b1);
}

struct Vector {
    unsigned word[4];

    __device__ __forceinline__ void set(uint4 v)
    {
        word[0] = v.x;
        word[1] = v.y;
        word[2] = v.z;
        word[3] = v.w;
    }
};

/* weights of a row of taps, on the diagonal */
template <class T, int K> struct Taps {
    Vector tap[K];

    __device__ __forceinline__ void load(const T *w, int row, int channels, unsigned diagonal)
    {
#pragma unroll
        for (int s = 0; s < K; s++) {
            uint4 v = make_uint4(0, 0, 0, 0);

            if (diagonal != 0)
                v = gpudl_load_constant(reinterpret_cast<const uint4 *>(w + (row * K + s) * channels));
            tap[s].set(make_uint4(v.x & diagonal, v.y & diagonal, v.z & diagonal, v.w & diagonal));
        }
    }
};

/* the rows' input: pixels of all taps of a row */
template <int K> struct Row {
    Vector at[K];
};

/* sums of one word's channels: two of each of two output rows; the row of taps at upper for the first, at lower for the
 * second */
template <class T, int K>
__device__ __forceinline__ void add(float (&sum)[4][4], const Row<K> &upper, const Row<K> &lower,
                                    const Taps<T, K> &taps)
{
#pragma unroll
    for (int j = 0; j < 4; j++) {
#pragma unroll
        for (int s = 0; s + 1 < K; s += 2)
            multiply<T, false>(sum[j], upper.at[s].word[j], lower.at[s].word[j], upper.at[s + 1].word[j],
                               lower.at[s + 1].word[j], taps.tap[s].word[j], taps.tap[s + 1].word[j]);
        multiply<T, true>(sum[j], upper.at[K - 1].word[j], lower.at[K - 1].word[j], 0, 0, taps.tap[K - 1].word[j], 0);
    }
}

/* Where a lane is: 8 channels of one picture's column. */
template <class T, int K> struct Place {
    unsigned n;
    int c, col, row; /* of output */
    int h0;          /* input row of the first tap */
    bool mine, inside[K];
    unsigned
        diagonal; /* the bits of a word that lie on it: k is 2 * (lane % 4) and the one behind, the channel lane / 4 */
    const T *x;   /* row 0, column of the first tap */

    /* Blocks count rows first, so that neighbours, which share rows of input, run at the same time. */
    __device__ __forceinline__ Place(const Problem<T> &p, unsigned strips, int rows)
    {
        const unsigned lane = threadIdx.x % 32, quarter = lane % 4, vectors = (unsigned)p.xs.c / 8;
        const unsigned cols = ((unsigned)p.ys.w + COLUMNS - 1) / COLUMNS;
        const unsigned unit = (blockIdx.x / strips * (THREADS / 32) + threadIdx.x / 32) * 4 + quarter;
        int w0;

        n = unit / vectors / cols;
        c = (int)(unit % vectors) * 8;
        col = (int)(unit / vectors % cols * COLUMNS + lane / 4);
        row = (int)(blockIdx.x % strips) * rows;
        mine = n < (unsigned)p.xs.n && col < p.ys.w;
        diagonal = lane / 8 != quarter || n >= (unsigned)p.xs.n ? 0 : lane / 4 % 2 ? 0xffff0000u : 0xffffu;
        h0 = row * p.stride_h - p.pad_h;
        w0 = col * p.stride_w - p.pad_w;
        x = p.x + (int64_t)n * p.xs.h * p.xs.w * p.xs.pitch + (int64_t)w0 * p.xs.pitch + c;
#pragma unroll
        for (int s = 0; s < K; s++)
            inside[s] = mine && (unsigned)(w0 + s) < (unsigned)p.xs.w;
    }

    __device__ __forceinline__ void load(const Problem<T> &p, int h, Row<K> &to) const
    {
        const bool there = (unsigned)h < (unsigned)p.xs.h;
        const T *from = x + h * (p.xs.w * (int)p.xs.pitch);

#pragma unroll
        for (int s = 0; s < K; s++) {
            uint4 v = make_uint4(0, 0, 0, 0);

            if (there && inside[s])
                v = gpudl_load_written(reinterpret_cast<const uint4 *>(from + s * (int)p.xs.pitch));
            to.at[s].set(v);
        }
    }

    __device__ __forceinline__ void start_sums(const Problem<T> &p, float (&sum)[4][4]) const
    {
        float bias[8] = {};

        if (mine)
            start<8>(p, c, bias);
#pragma unroll
        for (int j = 0; j < 4; j++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                sum[j][e] = bias[2 * j + e % 2];
    }

    /* of output rows first and first + 1 of the strip; the bits of those that have a NaN */
    template <bool CLAMP>
    __device__ __forceinline__ unsigned store(const Problem<T> &p, int first, const float (&sum)[4][4]) const
    {
        unsigned wrong = 0;

#pragma unroll
        for (int half = 0; half < 2; half++) {
            const int at = row + first + half;
            GpudlVector<T, 8> out;
            unsigned worst;

            if (CLAMP) {
#pragma unroll
                for (int j = 0; j < 4; j++) {
                    /* rounding keeps the order: clamped after it is the same */
                    out.pairs[j] = GpudlPair<T>::set(sum[j][2 * half], sum[j][2 * half + 1]);
                    out.pairs[j] = GpudlPair<T>::minimum(GpudlPair<T>::maximum(out.pairs[j], p.low), p.high);
                }
            } else {
                float v[8];

#pragma unroll
                for (int j = 0; j < 8; j++)
                    v[j] = sum[j / 2][2 * half + j % 2];
                gpudl_activate_narrow<8>(p.act, v);
                out.set(v);
            }
            worst = GpudlPair<T>::maximum(GpudlPair<T>::maximum(out.pairs[0], out.pairs[1]),
                                          GpudlPair<T>::maximum(out.pairs[2], out.pairs[3]));
            if (mine && at < p.ys.h) {
                out.store(p.y + (((int64_t)n * p.ys.h + at) * p.ys.w + col) * p.ys.pitch + c);
                if (GpudlPair<T>::has_nan(worst))
                    wrong |= 1u << (first + half);
            }
        }
        return wrong;
    }

    /* without tensor cores */
    __device__ __forceinline__ void each(const Problem<T> &p, int rows) const
    {
        for (int i = 0; i < rows && mine; i++)
            if (row + i < p.ys.h)
                single_again(p, (int)n, row + i, col, c);
    }

    __device__ __forceinline__ void again(const Problem<T> &p, unsigned wrong) const
    {
        for (; wrong != 0; wrong &= wrong - 1)
            single_again(p, (int)n, row + __ffs((int)wrong) - 1, col, c);
    }
};

/* 2 * PAIRS output rows: weights stay in registers, every row of input is loaded once */
template <class T, int K, int STRIDE, int PAIRS, bool CLAMP, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS) square(const __grid_constant__ Problem<T> p, unsigned strips)
{
    gpudl_begin();

    constexpr int ROWS = 2 * PAIRS, IN_H = (ROWS - 1) * STRIDE + K;
    const Place<T, K> place(p, strips, ROWS);
    Row<K> in[IN_H];
    Taps<T, K> taps[K];
    float sum[PAIRS][4][4];
    unsigned wrong = 0;

    if constexpr (GpudlPair<T>::has_products()) {
#pragma unroll
        for (int r = 0; r < K; r++)
            taps[r].load(p.w + place.c, r, p.xs.c, place.diagonal);
#pragma unroll
        for (int i = 0; i < IN_H; i++) {
            place.load(p, place.h0 + i, in[i]);
#pragma unroll
            for (int a = 0; a < PAIRS; a++) {
                const int r = i - (2 * a + 1) * STRIDE;

                if (r < 0 || r >= K)
                    continue;
                if (r == 0)
                    place.start_sums(p, sum[a]);
                add<T, K>(sum[a], in[i - STRIDE], in[i], taps[r]);
                if (r == K - 1)
                    wrong |= place.template store<CLAMP>(p, 2 * a, sum[a]);
            }
        }
        place.again(p, wrong);
    } else {
        place.each(p, ROWS);
    }
}

/* Two output rows of a larger window: a row of its taps at a time, the next row of input on its way meanwhile */
template <class T, int K, int STRIDE, bool CLAMP, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS) large_square(const __grid_constant__ Problem<T> p, unsigned strips)
{
    gpudl_begin();

    const Place<T, K> place(p, strips, 2);
    Row<K> in[STRIDE + 2];
    Taps<T, K> taps;
    float sum[4][4];

    if constexpr (GpudlPair<T>::has_products()) {
#pragma unroll
        for (int i = 0; i <= STRIDE; i++)
            place.load(p, place.h0 + i, in[i]);
        place.start_sums(p, sum);
#pragma unroll 1
        for (int r = 0; r < K; r++) {
            taps.load(p.w + place.c, r, p.xs.c, place.diagonal);
            if (r + 1 < K)
                place.load(p, place.h0 + r + STRIDE + 1, in[STRIDE + 1]);
            add<T, K>(sum, in[0], in[STRIDE], taps);
#pragma unroll
            for (int i = 0; i <= STRIDE; i++)
                in[i] = in[i + 1];
        }
        place.again(p, place.template store<CLAMP>(p, 0, sum));
    } else {
        place.each(p, 2);
    }
}

/* PAIRS 0: the form for large windows */
template <int K, int STRIDE, int PAIRS, int BLOCKS, class T>
int launch_square(const Problem<T> &p, bool clamp, cudaStream_t stream)
{
    const int64_t units = (int64_t)p.ys.n * gpudl_divide_up(p.ys.w, COLUMNS) * (p.xs.c / 8);
    const unsigned strips = (unsigned)gpudl_divide_up(p.ys.h, PAIRS > 0 ? 2 * PAIRS : 2);
    const unsigned blocks = (unsigned)gpudl_divide_up(units, THREADS / 8) * strips;

    if constexpr (PAIRS == 0) {
        if (clamp)
            gpudl_launch(large_square<T, K, STRIDE, true, BLOCKS>, blocks, THREADS, 0, stream, p, strips);
        else
            gpudl_launch(large_square<T, K, STRIDE, false, BLOCKS>, blocks, THREADS, 0, stream, p, strips);
    } else {
        if (clamp)
            gpudl_launch(square<T, K, STRIDE, PAIRS, true, BLOCKS>, blocks, THREADS, 0, stream, p, strips);
        else
            gpudl_launch(square<T, K, STRIDE, PAIRS, false, BLOCKS>, blocks, THREADS, 0, stream, p, strips);
    }
    return (int)cudaGetLastError();
}

/* Whether the kernels above can count in 32 bits. */
template <class T> bool fits_square(const Problem<T> &p)
{
    const int64_t units = (int64_t)p.ys.n * gpudl_divide_up(p.ys.w, COLUMNS) * (p.xs.c / 8);
    /* positions are computed for columns and rows a tile beyond the end, and for taps in the padding */
    const int64_t far_w = (int64_t)(p.ys.w + COLUMNS) * p.stride_w + p.s + p.pad_w + p.xs.w;
    const int64_t far_h = (int64_t)(p.ys.h + 2 * COLUMNS) * p.stride_h + p.r + p.pad_h + p.xs.h;

    return p.xs.pitch <= INT32_MAX && (int64_t)p.xs.w * p.xs.pitch <= INT32_MAX && far_w <= INT32_MAX / p.xs.pitch &&
           far_h <= INT32_MAX / ((p.xs.w > 0 ? p.xs.w : 1) * p.xs.pitch) &&
           (units + THREADS) * gpudl_divide_up(p.ys.h, 2) <= INT32_MAX;
}

template <int K, int STRIDE, class T> int launch_plain(const Problem<T> &p, bool clamp, cudaStream_t stream)
{
    /* 16-byte vectors of output: tall tiles share rows once there are enough of them for every multiprocessor */
    const int64_t vectors = (int64_t)p.ys.n * p.ys.h * p.ys.w * (p.xs.c / 8);

    if constexpr (K > 3) {
        return launch_square < K, STRIDE, 0, K == 5 && STRIDE == 1 ? 4 : 3 > (p, clamp, stream);
    } else {
        if (vectors < 1 << 18 || p.ys.h <= 2)
            return launch_square<K, STRIDE, 1, 4>(p, clamp, stream);
        if (vectors < 1 << 20 || STRIDE == 2)
            return launch_square<K, STRIDE, 2, 3>(p, clamp, stream);
        return launch_square<K, STRIDE, 4, 3>(p, clamp, stream);
    }
}

/* both of a pair, on the host */
unsigned pair_of(__half, float v)
{
    return gpudl_f32_to_f16(v) * 0x10001u;
}

unsigned pair_of(GpudlBf16, float v)
{
    return gpudl_f32_to_bf16(v) * 0x10001u;
}

/* Whether the activation is a clamp, and of what. */
template <class T> bool find_clamp(Problem<T> *p)
{
    float low = -INFINITY, high = INFINITY;

    if (p->act.kind == GPUDL_ACT_RELU)
        low = 0.f;
    if (p->act.kind == GPUDL_ACT_CLIP) {
        low = p->act.alpha;
        high = p->act.beta;
    }
    p->low = pair_of(T(), low);
    p->high = pair_of(T(), high);
    return (p->act.kind == GPUDL_ACT_NONE || p->act.kind == GPUDL_ACT_RELU || p->act.kind == GPUDL_ACT_CLIP) &&
           low == low && high == high;
}

template <int K, int STRIDE, class T>
int launch_form(const Problem<T> &p, bool clamp, const GpudlDepthwisePlan *plan, cudaStream_t stream)
{
    switch (plan->form) {
#define LAUNCH_FORM(number, v, w, rows_, largest)                                                                      \
    case number:                                                                                                       \
        if constexpr (K <= largest)                                                                                    \
            return gpudl_launch_march<T, v, K, STRIDE, w, rows_>(p, clamp, plan->rows, stream);                        \
        break;
        GPUDL_MARCH_FORMS(LAUNCH_FORM)
#undef LAUNCH_FORM
    default:
        break;
    }
    return GPUDL_KERNEL_SHAPE;
}

template <class T>
int launch_march(const Problem<T> &p, bool clamp, const GpudlDepthwisePlan *plan, cudaStream_t stream)
{
    if (p.stride_h == 1)
        return p.r == 3   ? launch_form<3, 1>(p, clamp, plan, stream)
               : p.r == 5 ? launch_form<5, 1>(p, clamp, plan, stream)
                          : launch_form<7, 1>(p, clamp, plan, stream);
    return p.r == 3   ? launch_form<3, 2>(p, clamp, plan, stream)
           : p.r == 5 ? launch_form<5, 2>(p, clamp, plan, stream)
                      : launch_form<7, 2>(p, clamp, plan, stream);
}

/* Form 0. */
template <class T> int launch_tiles(const Problem<T> &p, bool clamp, cudaStream_t stream)
{
    const bool plain =
        p.r == p.s && p.stride_h == p.stride_w && p.dilation_h == 1 && p.dilation_w == 1 && fits_square(p);

    if (!gpudl_whole_vectors(p.x, p.xs.c, p.xs.pitch) || !gpudl_whole_vectors(p.y, p.ys.c, p.ys.pitch) ||
        !gpudl_whole_vectors(p.w, p.xs.c, p.xs.c))
        return launch_any<1>(p, stream);
    if (plain && p.r == 3 && p.stride_h == 1)
        return launch_plain<3, 1>(p, clamp, stream);
    if (plain && p.r == 3 && p.stride_h == 2)
        return launch_plain<3, 2>(p, clamp, stream);
    if (plain && p.r == 5 && p.stride_h == 1)
        return launch_plain<5, 1>(p, clamp, stream);
    if (plain && p.r == 5 && p.stride_h == 2)
        return launch_plain<5, 2>(p, clamp, stream);
    if (plain && p.r == 7 && p.stride_h == 1)
        return launch_plain<7, 1>(p, clamp, stream);
    return launch_any<8>(p, stream);
}

template <class T> Problem<T> problem_of(const GpudlDepthwiseCall *call)
{
    const GpudlWindow *window = call->window;

    return {static_cast<const T *>(call->x),
            static_cast<const T *>(call->w),
            call->bias,
            static_cast<T *>(call->y),
            *call->xs,
            *call->ys,
            window->kernel[1],
            window->kernel[2],
            window->stride[1],
            window->stride[2],
            window->pad_begin[1],
            window->pad_begin[2],
            window->dilation[1],
            window->dilation[2],
            *call->act,
            {},
            {}};
}

int status_of(const GpudlDepthwiseCall *call)
{
    const GpudlNhwc *xs = call->xs, *ys = call->ys;
    const GpudlWindow *window = call->window;

    if (call->dtype != GPUDL_DTYPE_F16 && call->dtype != GPUDL_DTYPE_BF16)
        return GPUDL_KERNEL_DTYPE;
    if (window->n_spatial != 2 || xs->n != ys->n || xs->c != ys->c || xs->n < 0 || xs->c < 0 || xs->h < 0 ||
        xs->w < 0 || ys->h < 0 || ys->w < 0 || xs->pitch < xs->c || ys->pitch < ys->c)
        return GPUDL_KERNEL_SHAPE;
    for (int d = 1; d < 3; d++)
        if (window->kernel[d] < 1 || window->stride[d] < 1 || window->dilation[d] < 1)
            return GPUDL_KERNEL_SHAPE;
    return GPUDL_KERNEL_OK;
}

bool is_empty(const GpudlNhwc *s)
{
    return s->n == 0 || s->h == 0 || s->w == 0 || s->c == 0;
}

template <class T> int run(const GpudlDepthwiseCall *call, const GpudlDepthwisePlan *plan, cudaStream_t stream)
{
    Problem<T> p = problem_of<T>(call);
    const bool clamp = find_clamp(&p);

    if (plan->form == 0)
        return launch_tiles(p, clamp, stream);
    return gpudl_march_fits(p, plan) ? launch_march(p, clamp, plan, stream) : GPUDL_KERNEL_SHAPE;
}

/* The last is form 0. */
template <class T> int find_plans(const GpudlDepthwiseCall *call, int processors, GpudlDepthwisePlan *plans)
{
    const int n = gpudl_march_plans(problem_of<T>(call), processors, plans, GPUDL_DEPTHWISE_PLANS - 1);

    plans[n] = {0, 0};
    return n + 1;
}

} // namespace

extern "C" int gpudl_depthwise_plans(const GpudlDepthwiseCall *call, int processors,
                                     GpudlDepthwisePlan plans[GPUDL_DEPTHWISE_PLANS])
{
    if (status_of(call) != GPUDL_KERNEL_OK || is_empty(call->ys))
        return 0;
    return call->dtype == GPUDL_DTYPE_F16 ? find_plans<__half>(call, processors, plans)
                                          : find_plans<GpudlBf16>(call, processors, plans);
}

extern "C" int gpudl_depthwise_plan_cuda(const GpudlDepthwiseCall *call, const GpudlDepthwisePlan *plan,
                                         GpudlKernelStream stream)
{
    const int status = status_of(call);

    if (status != GPUDL_KERNEL_OK || is_empty(call->ys))
        return status;
    return call->dtype == GPUDL_DTYPE_F16 ? run<__half>(call, plan, stream) : run<GpudlBf16>(call, plan, stream);
}
