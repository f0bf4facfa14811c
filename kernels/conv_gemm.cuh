/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* The parts of conv_gemm.cu that a block is made of: what fetches steps, what multiplies and ends them. */
#ifndef GPUDL_KERNELS_CONV_GEMM_CUH
#define GPUDL_KERNELS_CONV_GEMM_CUH

#include "vectors.cuh"

namespace
{

constexpr int PAD = 8; /* floats behind a row of sums */

/* ---- what is multiplied how -------------------------------------------------------------------------------------- */

struct HalfMath {
    typedef __half Element;
    static constexpr bool TENSOR = true;
    static __device__ __forceinline__ void round(unsigned (&)[4])
    {
    }
    static __device__ __forceinline__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
    {
        gpudl_mma_k16(sum, a[0], a[1], a[2], a[3], b0, b1);
    }
};
struct Bf16Math {
    typedef GpudlBf16 Element;
    static constexpr bool TENSOR = true;
    static __device__ __forceinline__ void round(unsigned (&)[4])
    {
    }
    static __device__ __forceinline__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
    {
        gpudl_mma_bf16_k16(sum, a[0], a[1], a[2], a[3], b0, b1);
    }
};
struct Tf32Math {
    typedef float Element;
    static constexpr bool TENSOR = true;
    static __device__ __forceinline__ void round(unsigned (&word)[4])
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            word[i] = gpudl_round_tf32(word[i]);
    }
    static __device__ __forceinline__ void multiply(float (&sum)[4], const unsigned (&a)[4], unsigned b0, unsigned b1)
    {
        gpudl_mma_tf32_k8(sum, a[0], a[1], a[2], a[3], b0, b1);
    }
};
struct FloatMath {
    typedef float Element;
    static constexpr bool TENSOR = false;
};

/* ---- the problem ------------------------------------------------------------------------------------------------- */

template <class T> struct Problem {
    const T *x, *w, *z;
    T *y;
    const float *bias;
    float *partial; /* [split][group][pixel][channel of the group]; NULL: the block ends what it sums */
    int64_t y_pitch, z_pitch;
    unsigned x_pitch, picture;   /* elements from one picture to the next */
    int h, w_in, q, plane;       /* of x; of y: columns, and pixels of a picture */
    int pixels, channels, depth; /* of y; of a group: outputs, terms of a sum */
    int r, s, c;                 /* taps; input channels of a group */
    int stride[2], pad[2], dilation[2];
    int groups, splits, split_depth, tiles_across; /* split_depth: terms of a split, whole lines */
    bool whole;                                    /* results in vectors of 8 channels */
    Ending ending;
};

/* Ends sums of 8 channels from k on of a group, of which there are some. */
template <class T>
__device__ __forceinline__ void finish(const Problem<T> &p, int group, int pixel, int k, float (&v)[8])
{
    const int channel = group * p.channels + k, many = min(8, p.channels - k);
    T *y = p.y + (int64_t)pixel * p.y_pitch + channel;
    const T *z = p.z ? p.z + (int64_t)pixel * p.z_pitch + channel : nullptr;

    if (p.bias)
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (i < many)
                v[i] += gpudl_load_constant(p.bias + channel + i);
    if (z && p.whole) {
        float more[8];

        get_vector(z, more);
#pragma unroll
        for (int i = 0; i < 8; i++)
            v[i] += more[i];
    } else if (z) {
#pragma unroll
        for (int i = 0; i < 8; i++)
            if (i < many)
                v[i] += gpudl_to_float(z[i]);
    }
    p.ending(v);
    if (p.whole) {
        put_vector(y, v);
        return;
    }
#pragma unroll
    for (int i = 0; i < 8; i++)
        if (i < many)
            gpudl_store(y + i, v[i]);
}

/* ---- fetching ---------------------------------------------------------------------------------------------------- */

/* Where a line's vector lies: vectors are exchanged so that the same one of 8 lines is in 8 places of 128 bytes. */
template <int LINE> __device__ __forceinline__ int exchanged(int line, int vector)
{
    static_assert(LINE == 64 || LINE == 128, "two lines are 128 bytes, or one is");
    return line * LINE + (vector ^ (LINE == 64 ? line >> 1 & 3 : line & 7)) * 16;
}

/* V elements at a time lie next to one another: 16 or 8 bytes, or one element. LINE: bytes of a step. */
template <class T, int V, int BM, int BN, int LINE, int THREADS> struct Fetcher {
    static constexpr int VECTORS = LINE / 16, E = 16 / (int)sizeof(T), PIECES = E / V, ABREAST = THREADS / VECTORS;
    static constexpr int A = BM / ABREAST, B = BN / ABREAST;
    static_assert(BM % ABREAST == 0 && BN % ABREAST == 0, "every thread has as many lines");

    const Problem<T> &p;
    const T *x, *w;                /* of the group */
    unsigned place[A];             /* element of x that the first tap reads, of those before it as well */
    int top[A], left[A];           /* input position of the first tap; far outside for lines beyond the last pixel */
    int vector, line, first_k, at; /* at: of the depth */
    int r, s, c;                   /* that is at, where V is a whole vector */

    __device__ __forceinline__ Fetcher(const Problem<T> &problem, int group, int first_pixel, int k, int begin)
        : p(problem), x(problem.x + (int64_t)group * problem.c),
          w(problem.w + (int64_t)group * problem.channels * problem.depth), vector((int)threadIdx.x % VECTORS),
          line((int)threadIdx.x / VECTORS), first_k(k), at(begin + (int)threadIdx.x % VECTORS * E)
    {
#pragma unroll
        for (int i = 0; i < A; i++) {
            const int pixel = first_pixel + line + i * ABREAST, n = pixel / p.plane, inside = pixel - n * p.plane;
            const int row = inside / p.q;

            top[i] = pixel < p.pixels ? row * p.stride[0] - p.pad[0] : INT32_MIN / 2;
            left[i] = (inside - row * p.q) * p.stride[1] - p.pad[1];
            place[i] = (unsigned)n * p.picture + ((unsigned)top[i] * p.w_in + left[i]) * p.x_pitch;
        }
        locate(at, r, s, c);
    }

    __device__ __forceinline__ void locate(int k, int &row, int &column, int &channel) const
    {
        const int tap = k / p.c;

        channel = k - tap * p.c;
        row = tap / p.s;
        column = tap - row * p.s;
    }

    __device__ __forceinline__ static void move(unsigned char *to, const T *from, bool exist, const T *valid)
    {
        if constexpr (V > 1) {
            gpudl_copy_async<V *(int)sizeof(T)>(to, exist ? from : valid, exist);
        } else {
            T v = {};

            if (exist)
                v = *from;
            *reinterpret_cast<T *>(to) = v;
        }
    }

    __device__ __forceinline__ void fetch_inputs(unsigned char *stage, int part, int k, int row, int column,
                                                 int channel) const
    {
        const int below = row * p.dilation[0], right = column * p.dilation[1];
        const unsigned tap = ((unsigned)below * p.w_in + right) * p.x_pitch + channel;

#pragma unroll
        for (int i = 0; i < A; i++) {
            const bool exist = k < p.depth && (unsigned)(top[i] + below) < (unsigned)p.h &&
                               (unsigned)(left[i] + right) < (unsigned)p.w_in;

            move(stage + exchanged<LINE>(line + i * ABREAST, vector) + part * V * (int)sizeof(T), x + (place[i] + tap),
                 exist, p.x);
        }
    }

    /* the weights of the step that is ahead steps further */
    __device__ __forceinline__ void fetch_weights(unsigned char *stage, int ahead) const
    {
#pragma unroll
        for (int part = 0; part < PIECES; part++) {
            const int k = at + ahead * VECTORS * E + part * V;

#pragma unroll
            for (int i = 0; i < B; i++) {
                const int of = first_k + line + i * ABREAST;

                move(stage + BM * LINE + exchanged<LINE>(line + i * ABREAST, vector) + part * V * (int)sizeof(T),
                     w + ((unsigned)of * p.depth + k), k < p.depth && of < p.channels, p.w);
            }
        }
    }

    /* the next step's inputs */
    __device__ __forceinline__ void fetch_inputs(unsigned char *stage)
    {
        if constexpr (PIECES == 1) {
            fetch_inputs(stage, 0, at, r, s, c);
            for (c += VECTORS * E; c >= p.c && r < p.r;) {
                c -= p.c;
                if (++s == p.s) {
                    s = 0;
                    r++;
                }
            }
        } else {
#pragma unroll
            for (int part = 0; part < PIECES; part++) {
                int row, column, channel;

                locate(at + part * V, row, column, channel);
                fetch_inputs(stage, part, at + part * V, row, column, channel);
            }
        }
        at += VECTORS * E;
    }
};

/* ---- multiplying ------------------------------------------------------------------------------------------------- */

template <class MATH, int BM, int BN, int WM, int WN, int LINE> struct Sums {
    static constexpr int THREADS = BM / WM * (BN / WN) * 32, M = WM / 16, N = WN / 8;
    typedef typename MATH::Element T;

    float sum[M][N][4];
    int lane, m0, n0; /* of the warp's part */

    __device__ __forceinline__ Sums() : sum{}, lane((int)threadIdx.x % 32)
    {
        const int warp = (int)threadIdx.x / 32;

        m0 = warp / (BN / WN) * WM;
        n0 = warp % (BN / WN) * WN;
    }

    __device__ __forceinline__ void add(const unsigned char *stage)
    {
#pragma unroll
        for (int half = 0; half < LINE / 32; half++) {
            unsigned a[M][4];

#pragma unroll
            for (int i = 0; i < M; i++) {
                gpudl_load_matrices(a[i], stage + exchanged<LINE>(m0 + i * 16 + lane % 16, 2 * half + lane / 16));
                MATH::round(a[i]);
            }
#pragma unroll
            for (int j = 0; j < N; j += 2) {
                unsigned b[4];

                gpudl_load_matrices(
                    b, stage + BM * LINE +
                           exchanged<LINE>(n0 + j * 8 + lane % 8 + lane / 16 * 8, 2 * half + lane / 8 % 2));
                MATH::round(b);
#pragma unroll
                for (int i = 0; i < M; i++) {
                    MATH::multiply(sum[i][j], a[i], b[0], b[1]);
                    MATH::multiply(sum[i][j + 1], a[i], b[2], b[3]);
                }
            }
        }
    }

    /* OUT(pixel of the tile, channel of the tile, 8 sums); memory: nobody reads it any more */
    template <class OUT> __device__ __forceinline__ void take(unsigned char *memory, OUT out)
    {
        constexpr int PITCH = WN + PAD;
        float *mine = reinterpret_cast<float *>(memory) + (int)threadIdx.x / 32 * 16 * PITCH;

#pragma unroll
        for (int i = 0; i < M; i++) {
#pragma unroll
            for (int j = 0; j < N; j++)
#pragma unroll
                for (int e = 0; e < 4; e += 2)
                    *reinterpret_cast<float2 *>(mine + (lane / 4 + e * 4) * PITCH + j * 8 + lane % 4 * 2) =
                        make_float2(sum[i][j][e], sum[i][j][e + 1]);
            __syncwarp();
#pragma unroll
            for (int item = lane; item < 16 * N; item += 32) {
                const float *from = mine + item / N * PITCH + item % N * 8;
                float v[8];

                get_vector(from, v);
                out(m0 + i * 16 + item / N, n0 + item % N * 8, v);
            }
            __syncwarp();
        }
    }
};

/* Without tensor cores: 8 x 8 results a thread, spread over the tile. */
template <int BM, int BN, int WM, int WN, int LINE> struct Sums<FloatMath, BM, BN, WM, WN, LINE> {
    static constexpr int ACROSS = BN / 8, DOWN = BM / 8, THREADS = ACROSS * DOWN;

    float sum[8][8];
    int row, column;

    __device__ __forceinline__ Sums() : sum{}, row((int)threadIdx.x / ACROSS), column((int)threadIdx.x % ACROSS)
    {
    }

    __device__ __forceinline__ void add(const unsigned char *stage)
    {
#pragma unroll 1
        for (int vector = 0; vector < LINE / 16; vector++) {
            float4 a[8];

#pragma unroll
            for (int i = 0; i < 8; i++)
                a[i] = *reinterpret_cast<const float4 *>(stage + exchanged<LINE>(row + i * DOWN, vector));
#pragma unroll
            for (int j = 0; j < 8; j++) {
                const float4 b =
                    *reinterpret_cast<const float4 *>(stage + BM * LINE + exchanged<LINE>(column + j * ACROSS, vector));

#pragma unroll
                for (int i = 0; i < 8; i++) {
                    sum[i][j] = fmaf(a[i].x, b.x, sum[i][j]);
                    sum[i][j] = fmaf(a[i].y, b.y, sum[i][j]);
                    sum[i][j] = fmaf(a[i].z, b.z, sum[i][j]);
                    sum[i][j] = fmaf(a[i].w, b.w, sum[i][j]);
                }
            }
        }
    }

    /* a row of 8 x ACROSS channels at a time: all threads of a row are of one warp */
    template <class OUT> __device__ __forceinline__ void take(unsigned char *memory, OUT out)
    {
        float *mine = reinterpret_cast<float *>(memory) + row * (BN + PAD);

#pragma unroll
        for (int i = 0; i < 8; i++) {
            float v[8];

#pragma unroll
            for (int j = 0; j < 8; j++)
                mine[column + j * ACROSS] = sum[i][j];
            __syncwarp();
            get_vector(mine + column * 8, v);
            out(row + i * DOWN, column * 8, v);
            __syncwarp();
        }
    }
};

} // namespace

#endif
