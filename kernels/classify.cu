/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block a row. Scores stay in shared memory where they fit, else in the output. Each thread has the classes i with
 * i % THREADS its number, and knows the best of them; the block finds the best of all, GPUDL_CLASSIFY_BEST times, and
 * whoever had it looks for its next. A score's place in the order is an integer, so a warp's best is two reductions.
 */
#include "classify_cuda.h"
#include "cuda_common.cuh"

namespace
{

constexpr int CACHED = 8192; /* classes: 32 kB */
constexpr float NOTHING_BELOW = -INFINITY;

/* place in the order: larger is better, 0 is no score (NaN) */
__device__ __forceinline__ unsigned rank_of(float score)
{
    const unsigned bits = __float_as_uint(score + 0.f); /* -0 becomes 0 */

    if (score != score)
        return 0;
    return bits ^ ((int)bits < 0 ? 0xffffffffu : 0x80000000u);
}

__device__ __forceinline__ float score_of(unsigned rank)
{
    return __uint_as_float(rank ^ ((int)rank < 0 ? 0x80000000u : 0xffffffffu));
}

__device__ __forceinline__ unsigned warp_max(unsigned v)
{
#if __CUDA_ARCH__ >= 800
    return __reduce_max_sync(0xffffffff, v);
#else
    for (int d = 16; d > 0; d /= 2)
        v = max(v, __shfl_xor_sync(0xffffffff, v, d));
    return v;
#endif
}

__device__ __forceinline__ unsigned warp_min(unsigned v)
{
#if __CUDA_ARCH__ >= 800
    return __reduce_min_sync(0xffffffff, v);
#else
    for (int d = 16; d > 0; d /= 2)
        v = min(v, __shfl_xor_sync(0xffffffff, v, d));
    return v;
#endif
}

struct Best {
    unsigned rank, id;
};

/* the better of the warp's: of equal ranks the lower id */
__device__ __forceinline__ Best warp_best(Best mine)
{
    Best best;

    best.rank = warp_max(mine.rank);
    best.id = warp_min(mine.rank == best.rank ? mine.id : 0xffffffffu);
    return best;
}

/* maximum (NaN left out) or sum over the block, the same for all threads; shared is written to, with a barrier before
 */
template <bool SUM, int THREADS> __device__ __forceinline__ float block_reduce(float v, float *shared)
{
    constexpr int WARPS = THREADS / 32;

#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        const float other = __shfl_xor_sync(0xffffffff, v, d);

        v = SUM ? v + other : fmaxf(v, other);
    }
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x % 32 < WARPS ? shared[threadIdx.x % 32] : SUM ? 0.f : NOTHING_BELOW;
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        const float other = __shfl_xor_sync(0xffffffff, v, d);

        v = SUM ? v + other : fmaxf(v, other);
    }
    return v;
}

/* best of the thread's classes that comes behind limit */
template <int THREADS> __device__ __forceinline__ Best best_behind(const float *scores, int classes, Best limit)
{
    Best best = {0, 0xffffffffu};

    for (int i = threadIdx.x; i < classes; i += THREADS) {
        const unsigned rank = rank_of(scores[i]);

        /* ids ascend: the first of equals stays */
        if (rank > best.rank && (rank < limit.rank || (rank == limit.rank && (unsigned)i > limit.id)))
            best = {rank, (unsigned)i};
    }
    return best;
}

template <typename T, int THREADS>
__global__ void __launch_bounds__(THREADS)
    classify(GpudlClassifyKind kind, const T *__restrict__ logits, int64_t pitch, int classes, float *scores,
             GpudlClassifyPair *__restrict__ best, bool cached)
{
    extern __shared__ float cache[];
    __shared__ float maxima[32], sums[32];
    __shared__ Best winners[2][32];
    const T *x = logits + blockIdx.x * pitch;
    float *out = scores + (int64_t)blockIdx.x * classes;
    float *kept = cached ? cache : out; /* no thread reads another's */
    float max = NOTHING_BELOW, factor = 1.f;

    if (kind == GPUDL_CLASSIFY_SOFTMAX) {
        float sum = 0.f;

        for (int i = threadIdx.x; i < classes; i += THREADS) {
            const float v = (float)x[i];

            kept[i] = v;
            max = fmaxf(max, v);
        }
        max = block_reduce<false, THREADS>(max, maxima);
        for (int i = threadIdx.x; i < classes; i += THREADS) {
            const float e = expf(kept[i] - max);

            kept[i] = e;
            sum += e;
        }
        factor = 1.f / block_reduce<true, THREADS>(sum, sums);
    }
    for (int i = threadIdx.x; i < classes; i += THREADS) {
        float v;

        if (kind == GPUDL_CLASSIFY_SOFTMAX)
            v = kept[i] * factor;
        else if (kind == GPUDL_CLASSIFY_SIGMOID)
            v = 1.f / (1.f + expf(-(float)x[i]));
        else
            v = (float)x[i];
        kept[i] = v;
        if (cached)
            out[i] = v;
    }

    Best mine = best_behind<THREADS>(kept, classes, {0xffffffffu, 0});

    for (int k = 0; k < GPUDL_CLASSIFY_BEST; k++) {
        const Best of_warp = warp_best(mine);
        Best winner = {0, 0xffffffffu};

        if (threadIdx.x % 32 == 0)
            winners[k % 2][threadIdx.x / 32] = of_warp;
        __syncthreads();
        if (threadIdx.x % 32 < THREADS / 32)
            winner = winners[k % 2][threadIdx.x % 32];
        winner = warp_best(winner);
        if (threadIdx.x == 0)
            best[(int64_t)blockIdx.x * GPUDL_CLASSIFY_BEST + k] = {winner.rank != 0 ? winner.id : 0xffffffffu,
                                                                   winner.rank != 0 ? score_of(winner.rank) : 0.f};
        if (winner.rank != 0 && winner.id == mine.id)
            mine = best_behind<THREADS>(kept, classes, winner);
    }
}

template <typename T>
int launch(GpudlClassifyKind kind, const void *logits, int64_t pitch, int rows, int classes, float *scores,
           GpudlClassifyPair *best, cudaStream_t stream)
{
    const T *x = static_cast<const T *>(logits);
    const bool cached = classes <= CACHED;
    const size_t bytes = cached ? classes * sizeof(float) : 0;

    if (classes <= 2048)
        classify<T, 256><<<rows, 256, bytes, stream>>>(kind, x, pitch, classes, scores, best, cached);
    else
        classify<T, 1024><<<rows, 1024, bytes, stream>>>(kind, x, pitch, classes, scores, best, cached);
    return (int)cudaGetLastError();
}

} // namespace

extern "C" int gpudl_classify_cuda(GpudlClassifyKind kind, GpudlDType dtype, const void *logits, int64_t pitch,
                                   int32_t rows, int32_t classes, float *scores, GpudlClassifyPair *best,
                                   GpudlKernelStream stream)
{
    if (dtype != GPUDL_DTYPE_F32 && dtype != GPUDL_DTYPE_F16)
        return GPUDL_KERNEL_DTYPE;
    if (kind < GPUDL_CLASSIFY_NONE || kind > GPUDL_CLASSIFY_LAST || rows < 0 || classes < 1 ||
        classes > GPUDL_CLASSIFY_CLASSES || pitch < classes)
        return GPUDL_KERNEL_SHAPE;
    if (rows == 0)
        return GPUDL_KERNEL_OK;
    if (dtype == GPUDL_DTYPE_F16)
        return launch<__half>(kind, logits, pitch, rows, classes, scores, best, stream);
    return launch<float>(kind, logits, pitch, rows, classes, scores, best, stream);
}
