/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread makes ROWS pixels of the network's input, one below the other, of one frame: where they lie among the
 * samples is settled in integers first, then all samples of all its rows are on their way at once, then come two rows
 * and two columns of each to one value, matrix, normalisation, store. Neighbouring threads read what lies in the same
 * sectors of a row, so that each comes from memory once.
 *
 * Jobs that differ by their planes alone are arguments of the kernel, one of them and the planes of all: nothing has to
 * be read before addresses are known, and all that precedes the first sample is done while the kernel before still
 * runs. Others are read from memory, by each block once.
 */
#include <stddef.h>
#include <string.h>

#include "preproc_output.cuh"
#include "preproc_points_cuda.h"

namespace
{

constexpr int MOST_THREADS = 256;
/* Where there are several jobs: rows of a thread, and blocks on a processor, for which registers are kept few. */
constexpr int MANY_ROWS = 2;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ < 800
constexpr int MANY_BLOCKS = 4; /* of 1024 threads */
#else
constexpr int MANY_BLOCKS = 6;
#endif

/* Jobs that are alike; planes[i][0] is NULL of a slot without a frame. */
template <int N> struct Alike {
    GpudlPreprocJob job;
    const uint8_t *planes[N][3];
};
static_assert(sizeof(Alike<GPUDL_PREPROC_ALIKE_JOBS>) <= 3840, "what kernels of any driver take for arguments");

/* Where a column lies, by sampling. */
struct Column {
    GpudlPreprocPoint at[2];

    __device__ __forceinline__ void find(const GpudlPreprocJob &job, int i)
    {
        at[0] = gpudl_job_point(&job.x[0], i);
        at[1] = gpudl_job_point(&job.x[1], i);
    }
};

/* Where a row lies. */
struct Row {
    int64_t top[3];   /* by component: bytes to the upper of its two rows, */
    int32_t below[3]; /* from there to the lower one */
    float weight[2];  /* of the lower one, by sampling */

    /* a j beside the destination rectangle is not looked at, but readable */
    __device__ __forceinline__ void find(const GpudlPreprocJob &job, int component, int j)
    {
        const GpudlPreprocJobAxis &axis = job.y[component != 0];
        const GpudlPreprocPoint point = gpudl_job_point(&axis, j);
        const int32_t stride = job.strides[job.component_plane[component]];

        top[component] = (int64_t)point.first * stride;
        below[component] = axis.hi - axis.lo > 1 ? stride : 0;
        if (component < 2)
            weight[component] = point.weight;
    }
};

/* ---- samples ------------------------------------------------------------------------------------------------------
 * Kept as they were read until all are on their way: as integers of up to 16 bits. What they bring is the first to
 * leave the second-level cache, since nobody reads a frame twice: the network's input, which is read next, stays there.
 */

struct Byte {
    static constexpr int BYTES = 1;

    static __device__ __forceinline__ unsigned load(const uint8_t *p, unsigned)
    {
        return __ldcs(p);
    }
    static __device__ __forceinline__ unsigned load_pair(const uint8_t *p, unsigned)
    {
        return __ldcs(reinterpret_cast<const uint16_t *>(p));
    }
};

struct Word {
    static constexpr int BYTES = 2;

    static __device__ __forceinline__ unsigned load(const uint8_t *p, unsigned mask)
    {
        return __ldcs(reinterpret_cast<const uint16_t *>(p)) & mask;
    }
    static __device__ __forceinline__ unsigned load_pair(const uint8_t *p, unsigned mask)
    {
        return __ldcs(reinterpret_cast<const unsigned *>(p)) & mask * 0x10001u;
    }
};

struct OddWord {
    static __device__ __forceinline__ unsigned load(const uint8_t *p, unsigned mask)
    {
        return (__ldcs(p) | (unsigned)__ldcs(p + 1) << 8) & mask;
    }
};

/* float32 of a sample and 2^23, which costs no conversion */
__device__ __forceinline__ float biased(unsigned sample)
{
    return __uint_as_float(0x4b000000u | sample);
}

/* the same of a sample among others in a word, the one that pick() takes: at a byte of the word */
template <class SAMPLE> __device__ __forceinline__ unsigned pick(int byte)
{
    return SAMPLE::BYTES == 1 ? 0x7440 + byte : 0x7410 + 0x11 * byte;
}

__device__ __forceinline__ float biased_of(unsigned word, unsigned picked)
{
    return __uint_as_float(__byte_perm(word, 0x4b000000u, picked));
}

__device__ __forceinline__ float between(float a, float b, float weight)
{
    return a - 8388608.f + weight * (b - a);
}

/* of 2 x 2 biased samples, row by row */
__device__ __forceinline__ float between(const float v[4], float x, float y)
{
    const float top = between(v[0], v[1], x), bottom = between(v[2], v[3], x);

    return top + y * (bottom - top);
}

/* ---- ways to fetch them ------------------------------------------------------------------------------------------
 * begin() of a column, load() of a row of it, components() of what was loaded. */

/* RIGHT: bytes to the next sample of a row, 0: that many */
template <class SAMPLE, int RIGHT>
__device__ __forceinline__ void load_samples(const uint8_t *top, int32_t below, int right, unsigned mask, unsigned v[4])
{
    const uint8_t *bottom = top + below;

    right = RIGHT != 0 ? RIGHT : right;
    v[0] = SAMPLE::load(top, mask);
    v[1] = SAMPLE::load(top + right, mask);
    v[2] = SAMPLE::load(bottom, mask);
    v[3] = SAMPLE::load(bottom + right, mask);
}

__device__ __forceinline__ float component_of(const unsigned v[4], float x, float y)
{
    const float values[4] = {biased(v[0]), biased(v[1]), biased(v[2]), biased(v[3])};

    return between(values, x, y);
}

/* Each of N components on its own. */
template <class SAMPLE, int N> struct Planes {
    const uint8_t *column[N];
    int right[N]; /* bytes to the next sample; 0: there is none */
    unsigned mask;
    struct Samples {
        unsigned v[N][4];
    };

    __device__ __forceinline__ void begin(const GpudlPreprocJob &job, const uint8_t *const *planes, const Column &x)
    {
        mask = job.word_mask;
#pragma unroll
        for (int k = 0; k < N; k++) {
            const int step = job.component_step[k];
            const GpudlPreprocJobAxis &axis = job.x[k != 0];

            column[k] = planes[job.component_plane[k]] + job.component_offset[k] + (int64_t)x.at[k != 0].first * step;
            right[k] = axis.hi - axis.lo > 1 ? step : 0;
        }
    }
    __device__ __forceinline__ void load(const Row &y, Samples &to) const
    {
#pragma unroll
        for (int k = 0; k < N; k++)
            load_samples<SAMPLE, 0>(column[k] + y.top[k], y.below[k], right[k], mask, to.v[k]);
    }
    __device__ __forceinline__ void components(const Column &x, const Row &y, const Samples &of, float to[3]) const
    {
#pragma unroll
        for (int k = 0; k < 3; k++)
            to[k] = k < N ? component_of(of.v[k < N ? k : 0], x.at[k != 0].weight, y.weight[k != 0]) : 0.f;
    }
};

/* Luma, and both chroma samples in one. */
template <class SAMPLE> struct Pairs {
    const uint8_t *luma, *chroma;
    unsigned mask, picked[2];
    struct Samples {
        unsigned luma[4], chroma[4];
    };

    __device__ __forceinline__ void begin(const GpudlPreprocJob &job, const uint8_t *const *planes, const Column &x)
    {
        mask = job.word_mask;
        picked[0] = pick<SAMPLE>(job.component_offset[1]);
        picked[1] = pick<SAMPLE>(job.component_offset[2]);
        luma = planes[0] + (int64_t)x.at[0].first * SAMPLE::BYTES;
        chroma = planes[1] + (int64_t)x.at[1].first * (2 * SAMPLE::BYTES);
    }
    __device__ __forceinline__ void load(const Row &y, Samples &to) const
    {
        const uint8_t *top = chroma + y.top[1], *bottom = top + y.below[1];

        load_samples<SAMPLE, SAMPLE::BYTES>(luma + y.top[0], y.below[0], 0, mask, to.luma);
        to.chroma[0] = SAMPLE::load_pair(top, mask);
        to.chroma[1] = SAMPLE::load_pair(top + 2 * SAMPLE::BYTES, mask);
        to.chroma[2] = SAMPLE::load_pair(bottom, mask);
        to.chroma[3] = SAMPLE::load_pair(bottom + 2 * SAMPLE::BYTES, mask);
    }
    __device__ __forceinline__ void components(const Column &x, const Row &y, const Samples &of, float to[3]) const
    {
        to[0] = component_of(of.luma, x.at[0].weight, y.weight[0]);
#pragma unroll
        for (int k = 1; k < 3; k++) {
            float v[4];

#pragma unroll
            for (int i = 0; i < 4; i++)
                v[i] = biased_of(of.chroma[i], picked[k - 1]);
            to[k] = between(v, x.at[1].weight, y.weight[1]);
        }
    }
};

/* Whole pixels of four bytes. */
struct Quads {
    const uint8_t *column;
    unsigned picked[3];
    struct Samples {
        unsigned v[4];
    };

    __device__ __forceinline__ void begin(const GpudlPreprocJob &job, const uint8_t *const *planes, const Column &x)
    {
        column = planes[0] + (int64_t)x.at[0].first * 4;
#pragma unroll
        for (int k = 0; k < 3; k++)
            picked[k] = pick<Byte>(job.component_offset[k]);
    }
    __device__ __forceinline__ void load(const Row &y, Samples &to) const
    {
        const uint8_t *top = column + y.top[0], *bottom = top + y.below[0];

        to.v[0] = __ldcs(reinterpret_cast<const unsigned *>(top));
        to.v[1] = __ldcs(reinterpret_cast<const unsigned *>(top + 4));
        to.v[2] = __ldcs(reinterpret_cast<const unsigned *>(bottom));
        to.v[3] = __ldcs(reinterpret_cast<const unsigned *>(bottom + 4));
    }
    __device__ __forceinline__ void components(const Column &x, const Row &y, const Samples &of, float to[3]) const
    {
#pragma unroll
        for (int k = 0; k < 3; k++) {
            float v[4];

#pragma unroll
            for (int i = 0; i < 4; i++)
                v[i] = biased_of(of.v[i], picked[k]);
            to[k] = between(v, x.at[0].weight, y.weight[0]);
        }
    }
};

/* ---- pixels ------------------------------------------------------------------------------------------------------ */

template <class FETCH, int ROWS>
__device__ __forceinline__ void fetch_as(const GpudlPreprocJob &job, const uint8_t *const *planes, const Column &column,
                                         const Row (&rows)[ROWS], float (&components)[ROWS][3])
{
    typename FETCH::Samples samples[ROWS];
    FETCH fetch;

    fetch.begin(job, planes, column);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        fetch.load(rows[r], samples[r]);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
        fetch.components(column, rows[r], samples[r], components[r]);
}

template <int ROWS>
__device__ __forceinline__ void fetch(const GpudlPreprocJob &job, const uint8_t *const *planes, const Column &column,
                                      const Row (&rows)[ROWS], float (&components)[ROWS][3])
{
    if (job.points == GPUDL_POINTS_PAIRS)
        fetch_as<Pairs<Byte>>(job, planes, column, rows, components);
    else if (job.points == GPUDL_POINTS_QUADS)
        fetch_as<Quads>(job, planes, column, rows, components);
    else if (job.points == GPUDL_POINTS_WORD_PAIRS)
        fetch_as<Pairs<Word>>(job, planes, column, rows, components);
    else if (job.points == GPUDL_POINTS_WORDS)
        fetch_as<Planes<Word, 3>>(job, planes, column, rows, components);
    else if (job.points == GPUDL_POINTS_ODD_WORDS)
        fetch_as<Planes<OddWord, 3>>(job, planes, column, rows, components);
    else if (job.n_components == 3)
        fetch_as<Planes<Byte, 3>>(job, planes, column, rows, components);
    else
        fetch_as<Planes<Byte, 1>>(job, planes, column, rows, components);
}

/* Whether any of rows y to y + ROWS of a column may lie in the destination rectangle. */
template <int ROWS> __device__ __forceinline__ bool is_inside(const GpudlPreprocJob &job, int x, int y)
{
    return x >= job.dst_x && x < job.dst_x + job.dst_width && y + ROWS > job.dst_y && y < job.dst_y + job.dst_height;
}

/* Rows y to y + ROWS of a column of input blockIdx.z. What the network has no channel for is 0 in a job, and so is all
 * of a slot without a frame, which has no planes. */
template <int ROWS>
__device__ __forceinline__ void make(const GpudlPreprocJob &job, const uint8_t *const *planes,
                                     const GpudlPreprocOutput &out, int x, int y, const Column &column,
                                     const Row (&rows)[ROWS])
{
    const bool exists = planes[0] != nullptr, inside = exists && is_inside<ROWS>(job, x, y);
    float components[ROWS][3] = {};

    if (inside)
        fetch(job, planes, column, rows, components);
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        float v[3];

#pragma unroll
        for (int c = 0; c < 3; c++)
            v[c] = gpudl_job_channel(&job, c, components[r]);
        if (!inside || (ROWS > 1 && !is_inside<1>(job, x, y + r))) {
#pragma unroll
            for (int c = 0; c < 3; c++)
                v[c] = exists ? job.pad[c] : 0.f;
        }
        if (ROWS == 1 || y + r < out.height)
            gpudl_preproc_store(out, blockIdx.z, y + r, x, v);
    }
}

template <int N, int ROWS>
__global__ void __launch_bounds__(MOST_THREADS, MANY_BLOCKS)
    points_alike(const __grid_constant__ Alike<N> alike, const GpudlPreprocOutput out)
{
    __shared__ Row shared[ROWS];
    const GpudlPreprocJob &job = alike.job;
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * ROWS;
    Row own[ROWS] = {};
    Column column = {};

    /* of arguments alone, so there is nothing to wait for yet; a row alone is found by each thread, without a barrier
     */
    if (ROWS == 1) {
#pragma unroll
        for (int k = 0; k < 3; k++)
            own[0].find(job, k, y - job.dst_y);
    } else if (threadIdx.x < 3 * ROWS) {
        shared[threadIdx.x / 3].find(job, threadIdx.x % 3, y + threadIdx.x / 3 - job.dst_y);
    }
    column.find(job, x - job.dst_x);
    if (ROWS > 1)
        __syncthreads();
    gpudl_begin();
    if (x < out.width)
        make(job, alike.planes[N == 1 ? 0 : blockIdx.z], out, x, y, column, ROWS > 1 ? shared : own);
}

template <int ROWS>
__global__ void __launch_bounds__(MOST_THREADS, MANY_BLOCKS)
    points(const GpudlPreprocJob *jobs, const GpudlPreprocOutput out)
{
    gpudl_begin();

    __shared__ GpudlPreprocJob job;
    __shared__ Row rows[ROWS];
    const int x = blockIdx.x * blockDim.x + threadIdx.x, y = blockIdx.y * ROWS;
    Column column;

    static_assert(sizeof(GpudlPreprocJob) % 8 == 0, "loads of 8 bytes fetch a job");
    for (int i = threadIdx.x; i < (int)sizeof(GpudlPreprocJob) / 8; i += blockDim.x)
        reinterpret_cast<uint2 *>(&job)[i] = gpudl_load_written(reinterpret_cast<const uint2 *>(jobs + blockIdx.z) + i);
    __syncthreads();
    if (threadIdx.x < 3 * ROWS)
        rows[threadIdx.x / 3].find(job, threadIdx.x % 3, y + threadIdx.x / 3 - job.dst_y);
    column.find(job, x - job.dst_x);
    __syncthreads();
    if (x < out.width)
        make(job, job.planes, out, x, y, column, rows);
}

/* So many jobs are arguments of a launch that puts them. */
constexpr int PUT_JOBS = 8;

struct Carried {
    GpudlPreprocJob job[PUT_JOBS];
};
static_assert(sizeof(Carried) <= 3840, "what kernels of any driver take for arguments");

__global__ void put_jobs(const __grid_constant__ Carried jobs, uint2 *to, int n)
{
    gpudl_begin();
    for (int i = threadIdx.x; i < n; i += blockDim.x)
        to[i] = reinterpret_cast<const uint2 *>(&jobs)[i];
}

template <int N, int ROWS>
void launch_alike(const GpudlPreprocJob *jobs, int32_t count, const GpudlPreprocOutput &out, dim3 grid,
                  unsigned threads, GpudlKernelStream stream)
{
    Alike<N> alike = {};

    for (int32_t i = 0; i < count; i++) {
        if (jobs[i].n_planes != 0)
            alike.job = jobs[i];
        for (int p = 0; p < 3; p++)
            alike.planes[i][p] = jobs[i].planes[p];
    }
    gpudl_launch(points_alike<N, ROWS>, grid, threads, 0, stream, alike, out);
}

} // namespace

extern "C" int gpudl_preproc_put_jobs_cuda(const GpudlPreprocJob *jobs, int32_t count, GpudlPreprocJob *device_jobs,
                                           GpudlKernelStream stream)
{
    constexpr int WORDS = (int)sizeof(GpudlPreprocJob) / 8;

    if (count < 0)
        return GPUDL_KERNEL_SHAPE;
    for (int32_t at = 0; at < count; at += PUT_JOBS) {
        const int32_t n = count - at < PUT_JOBS ? count - at : PUT_JOBS;
        Carried carried = {};

        for (int32_t i = 0; i < n; i++)
            carried.job[i] = jobs[at + i];
        gpudl_launch(put_jobs, 1, 256, 0, stream, carried, reinterpret_cast<uint2 *>(device_jobs + at), n * WORDS);
    }
    return count > 0 ? (int)cudaGetLastError() : GPUDL_KERNEL_OK;
}

extern "C" int gpudl_preproc_points_carried(const GpudlPreprocJob *jobs, int32_t count)
{
    constexpr size_t BEGIN = offsetof(GpudlPreprocJob, x);
    const GpudlPreprocJob *first = nullptr;

    static_assert(BEGIN == sizeof(jobs->planes), "planes come first, and all that follows is compared");
    for (int32_t i = 0; i < count; i++) {
        if (jobs[i].n_planes == 0)
            continue;
        if (first == nullptr)
            first = &jobs[i];
        if (memcmp(first->x, jobs[i].x, sizeof(*first) - BEGIN) != 0)
            return 0;
    }
    return count <= GPUDL_PREPROC_ALIKE_JOBS;
}

extern "C" int gpudl_preproc_points_cuda(const GpudlPreprocJob *jobs, const GpudlPreprocJob *device_jobs, int32_t count,
                                         int32_t width, int32_t height, int32_t channels, GpudlPreprocLayout layout,
                                         void *out, GpudlKernelStream stream)
{
    const GpudlPreprocOutput output = {out, width, height, channels, layout};

    if (count < 0 || count > GPUDL_GRID_YZ || width < 1 || height < 1 || height > GPUDL_GRID_YZ ||
        (channels != 1 && channels != 3) || layout < 0 || layout > GPUDL_PREPROC_LAYOUT_LAST ||
        !gpudl_preproc_jobs_are_points(jobs, count))
        return GPUDL_KERNEL_SHAPE;
    if (count == 0)
        return GPUDL_KERNEL_OK;

    const int64_t tiles = gpudl_divide_up(width, MOST_THREADS);
    const unsigned threads = (unsigned)gpudl_divide_up(gpudl_divide_up(width, tiles), 32) * 32;
    const dim3 grid((unsigned)tiles, (unsigned)gpudl_divide_up(height, MANY_ROWS), count);

    if (!gpudl_preproc_points_carried(jobs, count))
        gpudl_launch(points<MANY_ROWS>, grid, threads, 0, stream, device_jobs, output);
    else if (count > 1)
        launch_alike<GPUDL_PREPROC_ALIKE_JOBS, MANY_ROWS>(jobs, count, output, grid, threads, stream);
    else
        launch_alike<1, 1>(jobs, count, output, dim3((unsigned)tiles, height, 1), threads, stream);
    return (int)cudaGetLastError();
}
