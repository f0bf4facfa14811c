/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread has V neighbouring channels of a strip of W columns and goes down its rows: weights and the sums of the
 * output rows that an input row belongs to stay in registers, in float32; the next row of input is on its way while one
 * is added. So an input is converted once in a thread and used by up to K * W of its sums.
 *
 * Step m brings STRIDE rows of input. sum[j] is output row m - j of the strip: tap row r = f + STRIDE * j of the f-th
 * row is added to it, and after step m the last of them, LIVE - 1, is complete.
 */
#ifndef GPUDL_KERNELS_DEPTHWISE_MARCH_CUH
#define GPUDL_KERNELS_DEPTHWISE_MARCH_CUH

#include "depthwise.cuh"

#define GPUDL_MARCH_THREADS 128

/** V channels as they lie in memory. */
template <int BYTES> struct GpudlMarchWord;
template <> struct GpudlMarchWord<2> {
    typedef uint16_t Type;
};
template <> struct GpudlMarchWord<4> {
    typedef unsigned Type;
};
template <> struct GpudlMarchWord<8> {
    typedef uint2 Type;
};

template <class T, int V> struct GpudlMarchVector {
    static constexpr int PAIRS = (V + 1) / 2;
    typedef typename GpudlMarchWord<2 * V>::Type Word;
    unsigned pairs[PAIRS];

    __device__ __forceinline__ void zero()
    {
#pragma unroll
        for (int i = 0; i < PAIRS; i++)
            pairs[i] = 0;
    }
    __device__ __forceinline__ void load(const T *from)
    {
        put(gpudl_load_written(reinterpret_cast<const Word *>(from)));
    }
    __device__ __forceinline__ void load_constant(const T *from)
    {
        put(gpudl_load_constant(reinterpret_cast<const Word *>(from)));
    }
    __device__ __forceinline__ void put(Word word)
    {
        if constexpr (V == 4) {
            pairs[0] = word.x;
            pairs[1] = word.y;
        } else {
            pairs[0] = word;
        }
    }
    __device__ __forceinline__ void store(T *to) const
    {
        if constexpr (V == 4)
            *reinterpret_cast<uint2 *>(to) = make_uint2(pairs[0], pairs[1]);
        else
            *reinterpret_cast<Word *>(to) = (Word)pairs[0];
    }
    __device__ __forceinline__ void get(float (&f)[V]) const
    {
#pragma unroll
        for (int i = 0; i < PAIRS; i++) {
            const float2 pair = GpudlPair<T>::get(pairs[i]);

            f[2 * i] = pair.x;
            if (2 * i + 1 < V)
                f[2 * i + 1] = pair.y;
        }
    }
    __device__ __forceinline__ void set(const float *f)
    {
#pragma unroll
        for (int i = 0; i < PAIRS; i++)
            pairs[i] = GpudlPair<T>::set(f[2 * i], 2 * i + 1 < V ? f[2 * i + 1] : 0.f);
    }
};

/** How a problem is cut: strips along a row, strips along a column, output rows of each. */
struct GpudlMarchCut {
    unsigned across, down;
    int rows;
    bool clamp;
};

template <class T, int V, int K, int STRIDE, int W> struct GpudlMarch {
    static constexpr int LIVE = (K + STRIDE - 1) / STRIDE, IN_W = (W - 1) * STRIDE + K;
    typedef GpudlMarchVector<T, V> Vector;

    const GpudlDepthwise<T> &p;
    unsigned n;
    int c, col, row; /* of output */
    int h0, line;    /* input row of the first tap; elements of a row of input */
    unsigned inside; /* bit of each column of input */
    bool mine;
    const T *x; /* of the picture; first column */
    float weights[K * K][V], bias[V], sums[LIVE][W][V];

    __device__ __forceinline__ GpudlMarch(const GpudlDepthwise<T> &problem, const GpudlMarchCut &cut, int rows)
        : p(problem)
    {
        const unsigned vectors = (unsigned)p.xs.c / V;
        const unsigned unit = blockIdx.x * GPUDL_MARCH_THREADS + threadIdx.x;
        const unsigned strip = unit / vectors, place = strip / cut.across;
        int w0;

        c = (int)(unit - strip * vectors) * V;
        col = (int)(strip - place * cut.across) * W;
        n = place / cut.down;
        row = (int)(place - n * cut.down) * rows;
        mine = n < (unsigned)p.xs.n;
        h0 = row * p.stride_h - p.pad_h;
        w0 = col * p.stride_w - p.pad_w;
        line = p.xs.w * (int)p.xs.pitch;
        x = p.x + (int64_t)n * p.xs.h * line + (int64_t)w0 * p.xs.pitch + c;
        inside = 0;
#pragma unroll
        for (int s = 0; s < IN_W; s++)
            inside |= (unsigned)(w0 + s) < (unsigned)p.xs.w ? 1u << s : 0;
    }

    /* weights are nothing that the network computes */
    __device__ __forceinline__ void load_weights()
    {
        Vector packed[K * K];

#pragma unroll
        for (int i = 0; i < K * K; i++)
            packed[i].load_constant(p.w + i * p.xs.c + c);
#pragma unroll
        for (int v = 0; v < V; v++)
            bias[v] = p.bias ? gpudl_load_constant(p.bias + c + v) : 0.f;
#pragma unroll
        for (int i = 0; i < K * K; i++)
            packed[i].get(weights[i]);
    }

    /* the strip's i-th row of input */
    __device__ __forceinline__ void load(int i, Vector (&to)[IN_W]) const
    {
        const int h = h0 + i;
        const unsigned there = (unsigned)h < (unsigned)p.xs.h ? inside : 0;
        const T *from = x + (int64_t)h * line;

#pragma unroll
        for (int s = 0; s < IN_W; s++) {
            to[s].zero();
            if (there & 1u << s)
                to[s].load(from + s * (int)p.xs.pitch);
        }
    }

    __device__ __forceinline__ void add_taps(const float (&in)[IN_W][V], int r, float (&sum)[W][V])
    {
#pragma unroll
        for (int s = 0; s < K; s++)
#pragma unroll
            for (int w = 0; w < W; w++)
#pragma unroll
                for (int v = 0; v < V; v++)
                    sum[w][v] += weights[r * K + s][v] * in[w * STRIDE + s][v];
    }

    /* of step m, in a strip of so many rows */
    __device__ __forceinline__ void add(const float (&in)[IN_W][V], int m, int f, int rows)
    {
#pragma unroll
        for (int j = LIVE - 1; j >= 0; j--) {
            const int r = f + STRIDE * j;

            if (r < K && m >= j && m - j < rows)
                add_taps(in, r, sums[j]);
        }
    }

    __device__ __forceinline__ void store(int at, bool clamp, float (&sum)[W][V])
    {
        T *to = p.y + (((int64_t)n * p.ys.h + at) * p.ys.w + col) * p.ys.pitch + c;
        Vector out;

        if (!clamp)
            gpudl_activate_quickly<W * V>(p.act, &sum[0][0]);
#pragma unroll
        for (int w = 0; w < W; w++) {
            out.set(sum[w]);
#pragma unroll
            for (int i = 0; i < Vector::PAIRS; i++)
                if (clamp) /* rounding keeps the order: clamped after it is the same */
                    out.pairs[i] = GpudlPair<T>::minimum(GpudlPair<T>::maximum(out.pairs[i], p.low), p.high);
            if (col + w < p.ys.w)
                out.store(to + w * (int)p.ys.pitch);
        }
    }

    __device__ __forceinline__ void start(float (&sum)[W][V])
    {
#pragma unroll
        for (int w = 0; w < W; w++)
#pragma unroll
            for (int v = 0; v < V; v++)
                sum[w][v] = bias[v];
    }

    __device__ __forceinline__ void shift()
    {
#pragma unroll
        for (int j = LIVE - 1; j > 0; j--)
#pragma unroll
            for (int w = 0; w < W; w++)
#pragma unroll
                for (int v = 0; v < V; v++)
                    sums[j][w][v] = sums[j - 1][w][v];
        start(sums[0]);
    }
};

/** Blocks that a processor is to hold where the compiler would take a few registers more than they leave, though it
 * does with those that are left and spills 8 bytes at most; 0: as it likes. */
template <class T, int V, int K, int STRIDE, int W, int ROWS> struct GpudlMarchBlocks {
    static constexpr int N = V == 1 && K == 7 && STRIDE == 1 ? 4 : 0;
};
template <> struct GpudlMarchBlocks<GpudlBf16, 4, 3, 1, 2, 0> {
    static constexpr int N = 5;
};
template <> struct GpudlMarchBlocks<GpudlBf16, 2, 3, 2, 4, 0> {
    static constexpr int N = 6;
};

/** ROWS 0: as many as the cut says, in a loop; else a strip has so many, and all its input is asked for at once. */
template <class T, int V, int K, int STRIDE, int W, int ROWS>
__global__ void __launch_bounds__(GPUDL_MARCH_THREADS, GpudlMarchBlocks<T, V, K, STRIDE, W, ROWS>::N)
    gpudl_march(const __grid_constant__ GpudlDepthwise<T> p, const GpudlMarchCut cut)
{
    typedef GpudlMarch<T, V, K, STRIDE, W> March;
    const int rows = ROWS > 0 ? ROWS : cut.rows, lines = (rows - 1) * STRIDE + K;
    March march(p, cut, rows);
    typename March::Vector ahead[March::IN_W];
    float in[March::IN_W][V];

    if (march.mine)
        march.load_weights();
    gpudl_begin();
    if (!march.mine)
        return;
    march.load(0, ahead);
    march.start(march.sums[0]);
#pragma unroll(ROWS > 0 ? ROWS + March::LIVE - 1 : 1)
    for (int m = 0; m < rows + March::LIVE - 1; m++) {
#pragma unroll
        for (int f = 0; f < STRIDE; f++) {
            const int next = m * STRIDE + f + 1;

#pragma unroll
            for (int s = 0; s < March::IN_W; s++)
                ahead[s].get(in[s]);
            if (next < lines)
                march.load(next, ahead);
            march.add(in, m, f, rows);
        }
        if (m >= March::LIVE - 1) {
            const int at = march.row + m - (March::LIVE - 1);

            if (at >= p.ys.h)
                break;
            march.store(at, cut.clamp, march.sums[March::LIVE - 1]);
        }
        march.shift();
    }
}

template <class T, int V, int K, int STRIDE, int W, int ROWS>
int gpudl_launch_march(const GpudlDepthwise<T> &p, bool clamp, int rows, cudaStream_t stream)
{
    const int height = ROWS > 0 ? ROWS : rows;
    const GpudlMarchCut cut = {(unsigned)gpudl_divide_up(p.ys.w, W), (unsigned)gpudl_divide_up(p.ys.h, height), height,
                               clamp};
    const int64_t units = (int64_t)p.ys.n * cut.across * cut.down * (p.xs.c / V);

    gpudl_launch(gpudl_march<T, V, K, STRIDE, W, ROWS>, (unsigned)gpudl_divide_up(units, GPUDL_MARCH_THREADS),
                 GPUDL_MARCH_THREADS, 0, stream, p, cut);
    return (int)cudaGetLastError();
}

#endif
