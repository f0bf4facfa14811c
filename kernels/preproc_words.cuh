/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What preproc_shrink.cu reads of a picture: words in the order in which a product of matrices has them. */
#ifndef GPUDL_KERNELS_PREPROC_WORDS_CUH
#define GPUDL_KERNELS_PREPROC_WORDS_CUH

#include "cuda_common.cuh"
#include "preproc_job.h"

namespace
{

/* The samples, from one to before another, that each half of the columns needs. The first is a multiple of what a lane
 * takes at once. */
struct Samples {
    int start[2], stop[2];
};

/* 4 * WORDS bytes at p, aligned to that; zeros behind those that exist, which are not read. WHOLE: all exist. */
template <int WORDS, bool WHOLE> __device__ __forceinline__ void load_words(unsigned *to, const uint8_t *p, int exist)
{
    if (WHOLE || exist >= 4 * WORDS) {
        if constexpr (WORDS == 4) {
            const uint4 v = gpudl_load_written(reinterpret_cast<const uint4 *>(p));

            to[0] = v.x;
            to[1] = v.y;
            to[2] = v.z;
            to[3] = v.w;
        } else {
            const uint2 v = gpudl_load_written(reinterpret_cast<const uint2 *>(p));

            to[0] = v.x;
            to[1] = v.y;
        }
        return;
    }
    if constexpr (!WHOLE) {
#pragma unroll
        for (int i = 0; i < WORDS; i++)
            to[i] = 0;
#pragma unroll 1
        for (int i = 0; i < exist; i++) {
            const unsigned byte = gpudl_load_written(p + i) << i % 4 * 8;

#pragma unroll
            for (int word = 0; word < WORDS; word++)
                to[word] |= word == i / 4 ? byte : 0;
        }
    }
}

/* LOADS loads of 16 bytes a lane of a row's bytes, the last one of 8 if SHORT, of N planes, for each half of the
 * columns. A lane whose bytes nobody needs takes the last that somebody does. */
template <int LOADS, bool SHORT, int N> struct Bytes {
    static constexpr int WORDS = 4 * LOADS - (SHORT ? 2 : 0);
    const uint8_t *at[N][2][LOADS], *ahead[N];
    unsigned stride[N];
    int plane[N];
    bool whole;

    static __device__ __forceinline__ constexpr int bytes(int k)
    {
        return SHORT && k == LOADS - 1 ? 8 : 16;
    }
    /* step: bytes from sample to sample */
    __device__ __forceinline__ void begin(const GpudlPreprocJob &job, int first, const Samples &samples, int step)
    {
#pragma unroll
        for (int n = 0; n < N; n++) {
            const uint8_t *base;

            plane[n] = job.component_plane[first + n];
            base = job.planes[plane[n]];
            stride[n] = job.strides[plane[n]];
            whole = ((samples.stop[1] * step - 1) & -16) + 16 <= job.row_bytes[plane[n]];
            ahead[n] = base + min(samples.start[0] * step + 64 * (int)(threadIdx.x % 4), samples.stop[1] * step - 1);
#pragma unroll
            for (int h = 0; h < 2; h++)
#pragma unroll
                for (int k = 0; k < LOADS; k++) {
                    const int last = (samples.stop[h] * step - 1) & -bytes(k);

                    at[n][h][k] =
                        base + min(samples.start[h] * step + 64 * k + (int)(threadIdx.x % 4) * bytes(k), last);
                }
        }
    }
    template <bool WHOLE>
    __device__ __forceinline__ void load_as(const GpudlPreprocJob &job, int y, unsigned (&words)[2][N][WORDS]) const
    {
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int h = 0; h < 2; h++)
#pragma unroll
                for (int k = 0; k < LOADS; k++) {
                    const uint8_t *p = at[n][h][k] + (uint64_t)(unsigned)y * stride[n];
                    const int exist = WHOLE ? 16 : job.row_bytes[plane[n]] - (int)(at[n][h][k] - job.planes[plane[n]]);

                    if (SHORT && k == LOADS - 1)
                        load_words<2, WHOLE>(&words[h][n][4 * k], p, exist);
                    else
                        load_words<4, WHOLE>(&words[h][n][4 * k], p, exist);
                }
    }
    /* row y, or most of it, to the second-level cache */
    __device__ __forceinline__ void prefetch(int y) const
    {
#pragma unroll
        for (int n = 0; n < N; n++)
            gpudl_prefetch(ahead[n] + (uint64_t)(unsigned)y * stride[n]);
    }
    /* of row y */
    __device__ __forceinline__ void load(const GpudlPreprocJob &job, int y, unsigned (&words)[2][N][WORDS]) const
    {
        if (whole)
            load_as<true>(job, y, words);
        else
            load_as<false>(job, y, words);
    }
};

/* Samples that are bytes of a plane, of N components with a plane each: a lane takes 16 at a time for two steps, 8 for
 * a last odd one. */
template <int STEPS_, int N> struct Planes {
    static constexpr int STEPS = STEPS_, COMPONENTS = N;
    typedef Bytes<(STEPS + 1) / 2, STEPS % 2 != 0, N> Source;
    Source source;
    unsigned words[2][N][Source::WORDS];

    __device__ __forceinline__ void begin(const GpudlPreprocJob &job, int first, const Samples &samples)
    {
        source.begin(job, first, samples, 1);
    }
    __device__ __forceinline__ void load(const GpudlPreprocJob &job, int y)
    {
        source.load(job, y, words);
    }
    __device__ __forceinline__ void prefetch(int y) const
    {
        source.prefetch(y);
    }
    __device__ __forceinline__ void get(int h, int n, int k, unsigned (&b)[2]) const
    {
        b[0] = words[h][n][2 * k];
        b[1] = words[h][n][2 * k + 1];
    }
};

/* Two components by turns in a plane: a lane takes 8 samples of each for a step. */
template <int STEPS_> struct Pairs {
    static constexpr int STEPS = STEPS_, COMPONENTS = 2;
    Bytes<STEPS, false, 1> source;
    unsigned words[2][1][4 * STEPS], selector[2];

    __device__ __forceinline__ void begin(const GpudlPreprocJob &job, int first, const Samples &samples)
    {
        source.begin(job, first, samples, 2);
#pragma unroll
        for (int n = 0; n < 2; n++)
            selector[n] = 0x6420 + 0x1111 * job.component_offset[first + n];
    }
    __device__ __forceinline__ void load(const GpudlPreprocJob &job, int y)
    {
        source.load(job, y, words);
    }
    __device__ __forceinline__ void prefetch(int y) const
    {
        source.prefetch(y);
    }
    __device__ __forceinline__ void get(int h, int n, int k, unsigned (&b)[2]) const
    {
#pragma unroll
        for (int i = 0; i < 2; i++)
            b[i] = __byte_perm(words[h][0][4 * k + 2 * i], words[h][0][4 * k + 2 * i + 1], selector[n]);
    }
};

} // namespace

#endif
