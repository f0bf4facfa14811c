/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block a row. Scores stay in registers where a thread has few of them, else in the output. A score's place in the
 * order is an integer, its rank.
 *
 * The best are found by a threshold: the threads form 32 groups, and of the groups' best classes the 16th is no better
 * than the row's 16th. Classes as good as that are few as a rule (some 22 of random scores): they are gathered, and
 * each counts those that are better, which is its place. Where they are many, the best are taken one by one.
 */
#include "classify_cuda.h"
#include "cuda_common.cuh"

namespace
{

constexpr int MOST_IN_REGISTERS = 22; /* scores of a thread of 1024 */
constexpr int MOST_CANDIDATES = 512;
constexpr int GROUPS = 32; /* one lane each */

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

/* of equal ranks the lower id; those without a score are not better than anything */
__device__ __forceinline__ bool better(Best a, Best b)
{
    return a.rank > b.rank || (a.rank == b.rank && a.id < b.id);
}

/* the better of the warp's */
__device__ __forceinline__ Best warp_best(Best mine)
{
    Best best;

    best.rank = warp_max(mine.rank);
    best.id = warp_min(mine.rank == best.rank ? mine.id : 0xffffffffu);
    return best;
}

/* sum over the block, the same for all threads; there is a barrier between writing shared and reading it */
template <int THREADS> __device__ __forceinline__ float block_sum(float v, float *shared)
{
    constexpr int WARPS = THREADS / 32;

#pragma unroll
    for (int d = 16; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffff, v, d);
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    v = threadIdx.x % 32 < WARPS ? shared[threadIdx.x % 32] : 0.f;
#pragma unroll
    for (int d = WARPS / 2; d > 0; d /= 2)
        v += __shfl_xor_sync(0xffffffff, v, d);
    return __shfl_sync(0xffffffff, v, 0);
}

/* the highest rank of the block, likewise */
template <int THREADS> __device__ __forceinline__ unsigned block_max(unsigned v, unsigned *shared)
{
    v = warp_max(v);
    if (threadIdx.x % 32 == 0)
        shared[threadIdx.x / 32] = v;
    __syncthreads();
    return warp_max(threadIdx.x % 32 < THREADS / 32 ? shared[threadIdx.x % 32] : 0);
}

/* A thread's scores, of the classes threadIdx.x + k * THREADS: V in registers, or (V 0) in memory that no other reads.
 * In registers they become ranks once they are written. */
template <int THREADS, int V> struct Scores {
    float value[V > 0 ? V : 1];
    float *memory;
    int classes;

    template <typename Each> __device__ __forceinline__ void each(Each f)
    {
        if constexpr (V > 0) {
#pragma unroll
            for (int k = 0; k < V; k++)
                if ((int)threadIdx.x + k * THREADS < classes)
                    f((int)threadIdx.x + k * THREADS, value[k]);
        } else {
#pragma unroll 4
            for (int i = threadIdx.x; i < classes; i += THREADS)
                f(i, memory[i]);
        }
    }

    __device__ __forceinline__ unsigned rank(float score) const
    {
        return V > 0 ? __float_as_uint(score) : rank_of(score);
    }

    /* the best that comes behind limit */
    __device__ __forceinline__ Best best_behind(Best limit)
    {
        Best best = {0, 0xffffffffu};

        each([&](int i, float &score) {
            const Best one = {rank(score), (unsigned)i};

            /* ids ascend: the first of equals stays */
            if (one.rank > best.rank && better(limit, one))
                best = one;
        });
        return best;
    }
};

/* the 16th of the groups' best, the same for all threads; rank 0 where fewer have one. There is a barrier between
 * writing shared and reading it */
template <int THREADS> __device__ __forceinline__ Best find_threshold(Best of_thread, Best *shared)
{
    constexpr int LANES = THREADS / GROUPS;
    const int lane = threadIdx.x % 32;
    unsigned number = 0;
    Best best = of_thread, mine;

#pragma unroll
    for (int d = LANES / 2; d > 0; d /= 2) {
        const Best other = {__shfl_xor_sync(0xffffffff, best.rank, d), __shfl_xor_sync(0xffffffff, best.id, d)};

        if (better(other, best))
            best = other;
    }
    if (threadIdx.x % LANES == 0)
        shared[threadIdx.x / LANES] = best;
    __syncthreads();
    mine = shared[lane];
#pragma unroll
    for (int i = 0; i < GROUPS; i++)
        number += better(shared[i], mine);

    const unsigned holders = __ballot_sync(0xffffffff, mine.rank != 0 && number == GPUDL_CLASSIFY_BEST - 1);
    const int holder = holders != 0 ? __ffs((int)holders) - 1 : 0;

    mine = {__shfl_sync(0xffffffff, mine.rank, holder), __shfl_sync(0xffffffff, mine.id, holder)};
    return holders != 0 ? mine : Best{0, 0xffffffffu};
}

__device__ __forceinline__ void write_pair(GpudlClassifyPair *to, Best best)
{
    *to = best.rank != 0 ? GpudlClassifyPair{best.id, score_of(best.rank)} : GpudlClassifyPair{0xffffffffu, 0.f};
}

/* the candidates' places; count may be less than the places */
template <int THREADS> __device__ __forceinline__ void place(const Best *candidates, int count, GpudlClassifyPair *best)
{
    for (int i = threadIdx.x; i < count; i += THREADS) {
        const Best own = candidates[i];
        int number = 0;

#pragma unroll 8
        for (int k = 0; k < count; k++)
            number += better(candidates[k], own);
        if (number < GPUDL_CLASSIFY_BEST)
            write_pair(best + number, own);
    }
    if (threadIdx.x >= count && threadIdx.x < GPUDL_CLASSIFY_BEST)
        write_pair(best + threadIdx.x, {0, 0xffffffffu});
}

/* one by one; winners holds two times the warps */
template <int THREADS, int V>
__device__ __forceinline__ void pick(Scores<THREADS, V> &mine, Best *winners, GpudlClassifyPair *best)
{
    constexpr int WARPS = THREADS / 32;
    Best head = mine.best_behind({0xffffffffu, 0});

    for (int k = 0; k < GPUDL_CLASSIFY_BEST; k++) {
        const Best of_warp = warp_best(head);
        Best *of_warps = winners + k % 2 * WARPS;

        if (threadIdx.x % 32 == 0)
            of_warps[threadIdx.x / 32] = of_warp;
        __syncthreads();

        const Best winner = warp_best(of_warps[threadIdx.x % WARPS]);

        if (threadIdx.x == 0)
            write_pair(best + k, winner);
        if (winner.rank != 0 && winner.id == head.id)
            head = mine.best_behind(winner);
    }
}

template <typename T, int THREADS, int V>
__global__ void __launch_bounds__(THREADS) classify(GpudlClassifyKind kind, const T *logits, int64_t pitch, int classes,
                                                    float *scores, GpudlClassifyPair *best)
{
    gpudl_begin();

    __shared__ float sums[32];
    __shared__ unsigned maxima[32];
    __shared__ Best groups[GROUPS], winners[2 * THREADS / 32], candidates[MOST_CANDIDATES];
    __shared__ int count;
    const T *x = logits + blockIdx.x * pitch;
    float *out = scores + (int64_t)blockIdx.x * classes;
    GpudlClassifyPair *best_of_row = best + (int64_t)blockIdx.x * GPUDL_CLASSIFY_BEST;
    Scores<THREADS, V> mine = {{}, out, classes};

    if (threadIdx.x == 0)
        count = 0;
    mine.each([&](int i, float &score) { score = gpudl_to_float(x[i]); });
    if (kind == GPUDL_CLASSIFY_SOFTMAX) {
        unsigned highest = 0;
        float top, sum = 0.f, factor;

        mine.each([&](int, float &score) { highest = max(highest, rank_of(score)); });
        highest = block_max<THREADS>(highest, maxima);
        top = highest != 0 ? score_of(highest) : -INFINITY;
        mine.each([&](int, float &score) {
            score = expf(score - top);
            sum += score;
        });
        factor = 1.f / block_sum<THREADS>(sum, sums);
        mine.each([&](int, float &score) { score *= factor; });
    } else if (kind == GPUDL_CLASSIFY_SIGMOID) {
        mine.each([&](int, float &score) { score = 1.f / (1.f + expf(-score)); });
    }
    if (V > 0)
        mine.each([&](int i, float &score) {
            out[i] = score;
            score = __uint_as_float(rank_of(score));
        });

    const Best threshold = find_threshold<THREADS>(mine.best_behind({0xffffffffu, 0}), groups);

    mine.each([&](int i, float &score) {
        const Best one = {mine.rank(score), (unsigned)i};

        if (one.rank != 0 && !better(threshold, one)) {
            const int slot = atomicAdd(&count, 1);

            if (slot < MOST_CANDIDATES)
                candidates[slot] = one;
        }
    });
    __syncthreads();
    if (count <= MOST_CANDIDATES)
        place<THREADS>(candidates, count, best_of_row);
    else
        pick(mine, winners, best_of_row);
}

template <typename T>
int launch(GpudlClassifyKind kind, const void *logits, int64_t pitch, int rows, int classes, float *scores,
           GpudlClassifyPair *best, cudaStream_t stream)
{
    const T *x = static_cast<const T *>(logits);

    if (classes <= 256 * 4)
        gpudl_launch(classify<T, 256, 4>, rows, 256, 0, stream, kind, x, pitch, classes, scores, best);
    else if (classes <= 512 * 8)
        gpudl_launch(classify<T, 512, 8>, rows, 512, 0, stream, kind, x, pitch, classes, scores, best);
    else if (classes <= 1024 * MOST_IN_REGISTERS)
        gpudl_launch(classify<T, 1024, MOST_IN_REGISTERS>, rows, 1024, 0, stream, kind, x, pitch, classes, scores,
                     best);
    else
        gpudl_launch(classify<T, 1024, 0>, rows, 1024, 0, stream, kind, x, pitch, classes, scores, best);
    return (int)cudaGetLastError();
}

} // namespace

extern "C" int gpudl_classify_cuda(GpudlClassifyKind kind, GpudlDType dtype, const void *logits, int64_t pitch,
                                   int32_t rows, int32_t classes, float *scores, GpudlClassifyPair *best,
                                   GpudlKernelStream stream)
{
    if (!gpudl_is_picture_type(dtype))
        return GPUDL_KERNEL_DTYPE;
    if (kind < GPUDL_CLASSIFY_NONE || kind > GPUDL_CLASSIFY_LAST || rows < 0 || classes < 1 ||
        classes > GPUDL_CLASSIFY_CLASSES || pitch < classes)
        return GPUDL_KERNEL_SHAPE;
    if (rows == 0)
        return GPUDL_KERNEL_OK;
    if (dtype == GPUDL_DTYPE_F16)
        return launch<__half>(kind, logits, pitch, rows, classes, scores, best, stream);
    if (dtype == GPUDL_DTYPE_BF16)
        return launch<GpudlBf16>(kind, logits, pitch, rows, classes, scores, best, stream);
    return launch<float>(kind, logits, pitch, rows, classes, scores, best, stream);
}
