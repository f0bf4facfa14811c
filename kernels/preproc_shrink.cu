/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A block makes tiles of 16 columns by 8 rows of one frame's input, one below the other. Two products of matrices are
 * chained, and no byte is converted or goes through shared memory:
 *
 *  1. across, in integers, as two times 8 columns: 16 x 32 signed bytes, which are the upper and the lower digits of
 *     the weights of 8 columns, by 32 x 8 bytes of 8 rows of the picture as they lie in memory: what order the sum's
 *     terms have is free, so that a lane's operands are what one load of 16 bytes gave it. Sums are exact;
 *  2. down: these sums of 8 rows, as float32 split into two of TF32, lie in the lanes as the first operand of a product
 *     with weights of rows wants them. Three products give what float32 would to 2^-20.
 *
 * Some warps take luma, some chroma, 8 rows of the picture at a time; what they have of a tile is added in shared
 * memory.
 */
#include "preproc_output.cuh"
#include "preproc_shrink_cuda.h"
#include "preproc_words.cuh"

namespace
{

constexpr int COLUMNS = 16, ROWS = 8, STEP = GPUDL_SHRINK_STEP; /* of a tile; samples of a product */
constexpr int MOST_TILES = 7, MOST_ROWS = MOST_TILES * ROWS;    /* of a block */

/* How a launch is cut: warps that take luma and those that take chroma; blocks that a processor should hold. */
template <GpudlPreprocShrink KIND_, int STEPS_, int LUMA_, int CHROMA_, int BLOCKS_, int AHEAD_> struct Cut {
    static constexpr GpudlPreprocShrink KIND = KIND_;
    static constexpr int STEPS = STEPS_, BLOCKS = BLOCKS_, AHEAD = AHEAD_;
    static constexpr int WARPS = LUMA_ + CHROMA_, THREADS = 32 * WARPS;
    static constexpr int LUMA = KIND == GPUDL_SHRINK_LUMA ? WARPS : LUMA_;
};

/* Jobs as arguments of a kernel. */
template <int N> struct Carried {
    GpudlPreprocJob job[N];
};
static_assert(sizeof(Carried<GPUDL_PREPROC_SHRINK_CARRIED_JOBS>) <= 3840,
              "what kernels of any driver take for arguments");

/* Rows begin <= y < end of the picture make a row of the input; distance: of the first one's middle from its own, in
 * rows. */
struct alignas(16) Row {
    int begin, end;
    float distance;
    int unused;
};

template <class CUT> struct Shared {
    static constexpr int STEPS = CUT::STEPS, WARPS = CUT::WARPS;
    uint4 weights[2][2][STEPS][32];           /* by sampling, 8 columns, step and lane */
    float sums[2][2 * WARPS][COLUMNS * ROWS]; /* by turn: of the warps' components */
    float row_sum[2][WARPS][ROWS];
    Row rows[2][MOST_ROWS];     /* by sampling */
    int column_sum[2][COLUMNS]; /* by sampling */
    GpudlPreprocJob job;
};

/* ---- weights of columns --------------------------------------------------------------------------------------------
 */

/* Where each lane's column, lane % 16 at sampling lane / 16, takes its samples, and where those of 8 columns begin. */
struct Windows {
    GpudlPreprocTaps taps;
    int start;

    __device__ __forceinline__ void find(const GpudlPreprocJob &job, int x0, const int (&multiple)[2])
    {
        const int half = threadIdx.x / COLUMNS % 2;
        const int i = gpudl_job_clamp(x0 + threadIdx.x % COLUMNS - job.dst_x, 0, job.dst_width - 1);

        taps = gpudl_job_taps(&job.x[half], job.method, i);
        start = __shfl_sync(0xffffffff, taps.begin, threadIdx.x % 32 & ~(GPUDL_SHRINK_COLUMNS - 1));
        start -= start % multiple[half];
    }
    __device__ __forceinline__ Samples samples(int half) const
    {
        Samples s;

#pragma unroll
        for (int h = 0; h < 2; h++) {
            const int lane = half * COLUMNS + h * GPUDL_SHRINK_COLUMNS;

            s.start[h] = __shfl_sync(0xffffffff, start, lane);
            s.stop[h] = __shfl_sync(0xffffffff, taps.end, lane + GPUDL_SHRINK_COLUMNS - 1);
        }
        return s;
    }
};

/* Of samples x to x + 3, as counted from start, of column c: where their weights' upper digits are, counted in words;
 * the lower ones follow. */
template <int STEPS> __device__ __forceinline__ int digits_place(int c, int x, int wide_samples)
{
    const bool wide = x < wide_samples;
    const int k = wide ? x / (2 * STEP) * 2 + x / 8 % 2 : x / STEP, t = wide ? x / 16 % 4 : x / 8 % 4;

    return ((c / 8 * STEPS + k) * 32 + c % 8 * 4 + t) * 4 + x / 4 % 2 * 2;
}

/* four weights as words of their upper and their lower digits */
__device__ __forceinline__ uint2 pack_digits(const int (&w)[4])
{
    const unsigned high = __byte_perm(w[0] + 128, w[1] + 128, 0x0051),
                   high2 = __byte_perm(w[2] + 128, w[3] + 128, 0x0051);
    const unsigned low = __byte_perm(w[0], w[1], 0x0040), low2 = __byte_perm(w[2], w[3], 0x0040);

    return make_uint2(__byte_perm(high, high2, 0x5410), __byte_perm(low, low2, 0x5410));
}

template <class CUT> __device__ __forceinline__ void clear_weights(Shared<CUT> &s)
{
    uint4 *weights = &s.weights[0][0][0][0];

#pragma unroll
    for (int i = threadIdx.x; i < (int)(sizeof(s.weights) / sizeof(*weights)); i += CUT::THREADS)
        weights[i] = make_uint4(0, 0, 0, 0);
    if (threadIdx.x < 2 * COLUMNS)
        s.column_sum[threadIdx.x / COLUMNS][threadIdx.x % COLUMNS] = 0;
}

template <class CUT>
__device__ __forceinline__ void set_weights(Shared<CUT> &s, const GpudlPreprocJob &job, const Windows &windows,
                                            bool pairs)
{
    constexpr int STEPS = CUT::STEPS, CHROMA_STEPS = GPUDL_SHRINK_CHROMA_STEPS(STEPS);
    const int half = threadIdx.x / COLUMNS % 2, c = threadIdx.x % COLUMNS;
    const int wide = half == 0 ? STEPS / 2 * 2 * STEP : pairs ? 0 : CHROMA_STEPS / 2 * 2 * STEP;
    unsigned *digits = reinterpret_cast<unsigned *>(s.weights[half]);

    if (half == 0 || CUT::KIND != GPUDL_SHRINK_LUMA) {
        const GpudlPreprocTaps &taps = windows.taps;
        int sum = 0;

#pragma unroll 1
        for (int x = ((taps.begin - windows.start) / 4 + threadIdx.x / 32) * 4; windows.start + x < taps.end;
             x += 4 * CUT::WARPS) {
            int w[4];

#pragma unroll
            for (int i = 0; i < 4; i++) {
                const int sample = windows.start + x + i;
                const int weight = gpudl_job_column_weight(&job.x[half], &taps, job.method, sample);

                w[i] = sample >= taps.begin && sample < taps.end ? weight : 0;
                sum += w[i];
            }
            *reinterpret_cast<uint2 *>(&digits[digits_place<STEPS>(c, x, wide)]) = pack_digits(w);
        }
        atomicAdd(&s.column_sum[half][c], sum);
    }
    __syncthreads();
}

/* ---- rows ----------------------------------------------------------------------------------------------------------
 */

/* Sets what the block's rows need of the picture, by sampling. */
template <class CUT>
__device__ __forceinline__ void set_rows(Shared<CUT> &s, const GpudlPreprocJob &job, int y0, int end)
{
    const int n = gpudl_job_clamp((end - y0 + ROWS - 1) / ROWS * ROWS, 0, MOST_ROWS);

#pragma unroll 1
    for (int i = threadIdx.x; i < 2 * n; i += CUT::THREADS) {
        const int half = i >= n, r = half ? i - n : i;
        const GpudlPreprocTaps taps =
            gpudl_job_taps(&job.y[half], job.method, gpudl_job_clamp(y0 + r - job.dst_y, 0, job.dst_height - 1));

        s.rows[half][r] = {taps.begin, taps.end, gpudl_job_middle(&taps, taps.begin) - taps.fraction, 0};
    }
}

/* Weights of rows y and y + 1 in row's window, whose distances are those and one narrow more; last_row: of those that
 * exist. */
__device__ __forceinline__ void weigh(int method, float narrow, float distance, const Row &row, int y, int last_row,
                                      float (&w)[2])
{
    if (method == GPUDL_SCALE_BILINEAR) {
        w[0] = fmaxf(1.f - fabsf(distance), 0.f);
        w[1] = fmaxf(1.f - fabsf(distance + narrow), 0.f);
        if (y < last_row)
            return;
    } else {
#pragma unroll
        for (int i = 0; i < 2; i++) {
            const float t = fabsf(i == 0 ? distance : distance + narrow);

            w[i] = method == GPUDL_SCALE_AREA ? 1.f
                   : t < 1.f                  ? gpudl_job_fma(gpudl_job_fma(1.5f, t, -2.5f) * t, t, 1.f)
                   : t < 2.f ? gpudl_job_fma(gpudl_job_fma(gpudl_job_fma(-0.5f, t, 2.5f), t, -4.f), t, 2.f)
                             : 0.f;
        }
    }
#pragma unroll
    for (int i = 0; i < 2; i++)
        w[i] = y + i >= row.begin && y + i < row.end ? w[i] : 0.f;
}

__device__ __forceinline__ unsigned upper(float v)
{
    return __float_as_uint(v) & 0xffffe000u;
}

__device__ __forceinline__ unsigned lower(float v)
{
    return __float_as_uint(v - __uint_as_float(upper(v)));
}

/* sums += a * b to nearly float32: without the product of what both are without their upper 11 bits */
__device__ __forceinline__ void add_product(float (&sums)[4], const float (&a)[4], const float (&b)[2])
{
    const unsigned b0 = upper(b[0]), b1 = upper(b[1]);

    gpudl_mma_tf32_k8(sums, lower(a[0]), lower(a[1]), lower(a[2]), lower(a[3]), b0, b1);
    gpudl_mma_tf32_k8(sums, upper(a[0]), upper(a[1]), upper(a[2]), upper(a[3]), lower(b[0]), lower(b[1]));
    gpudl_mma_tf32_k8(sums, upper(a[0]), upper(a[1]), upper(a[2]), upper(a[3]), b0, b1);
}

/* ---- tiles ---------------------------------------------------------------------------------------------------------
 */

/* What all warps of a block know: columns from x on, rows y to end of input n. */
struct Block {
    const GpudlPreprocOutput &out;
    int x, y, end, n;
};

/* Pixel i of the tile at y0, in the order of what lanes have of it. */
template <class CUT>
__device__ __forceinline__ void write_pixel(const Shared<CUT> &s, const GpudlPreprocJob &job, const Block &block,
                                            int y0, int turn, int i)
{
    const int e = i / 32, c = i % 32 / 4 + e / 2 * 8, r = i % 4 * 2 + e % 2;
    const int x = block.x + c, y = y0 + r;
    float component[3] = {0.f, 0.f, 0.f}, rows[2] = {0.f, 0.f};

#pragma unroll
    for (int w = 0; w < CUT::WARPS; w++) {
        const int half = w >= CUT::LUMA;

        component[half] += s.sums[turn][2 * w][i];
        if (half)
            component[2] += s.sums[turn][2 * w + 1][i];
        rows[half] += s.row_sum[turn][w][r];
    }
    component[0] *= gpudl_reciprocal((float)s.column_sum[0][c] * rows[0]);
    if (CUT::KIND != GPUDL_SHRINK_LUMA) {
        const float factor = gpudl_reciprocal((float)s.column_sum[1][c] * rows[1]);

        component[1] *= factor;
        component[2] *= factor;
    }
    if (x < block.out.width && y < block.out.height)
        gpudl_preproc_write(job, block.out, block.n, y, x,
                            x >= job.dst_x && x < job.dst_x + job.dst_width && y >= job.dst_y &&
                                y < job.dst_y + job.dst_height,
                            component);
}

template <class CUT>
__device__ __forceinline__ void write_tile(const Shared<CUT> &s, const GpudlPreprocJob &job, const Block &block, int y0,
                                           int turn)
{
    constexpr int WHOLE = COLUMNS * ROWS / CUT::THREADS, REST = COLUMNS * ROWS % CUT::THREADS;

#pragma unroll
    for (int k = 0; k < WHOLE; k++)
        write_pixel(s, job, block, y0, turn, k * CUT::THREADS + threadIdx.x);
    if (REST != 0) {
        /* another warp each time */
        const int i = (threadIdx.x + (y0 / ROWS * REST) % CUT::THREADS) % CUT::THREADS;

        if (i < REST)
            write_pixel(s, job, block, y0, turn, WHOLE * CUT::THREADS + i);
    }
}

/* N components from first on, which have this sampling: warp is which of warps that share them. */
template <class FETCH, class CUT>
__device__ __forceinline__ void make_tiles(Shared<CUT> &s, const GpudlPreprocJob &job, const Block &block,
                                           const Windows &windows, int half, int first, int warp, int warps)
{
    constexpr int N = FETCH::COMPONENTS;
    const int lane = threadIdx.x % 32, of_block = threadIdx.x / 32, method = job.method, pace = warps * ROWS;
    const int last_row = job.y[half].hi - 1;
    const float narrow = job.y[half].narrow;
    const Row *rows = s.rows[half];
    uint4 weights[2][FETCH::STEPS];
    FETCH fetch;
    int turn = 0;

    fetch.begin(job, first, windows.samples(half));
    gpudl_begin();
    fetch.load(job, min(rows->begin + warp * ROWS + lane / 4, last_row));
#pragma unroll
    for (int i = 1; i <= CUT::AHEAD; i++)
        fetch.prefetch(min(rows->begin + warp * ROWS + i * pace + lane / 4, last_row));
    set_weights(s, job, windows, CUT::KIND == GPUDL_SHRINK_PAIRS);
#pragma unroll
    for (int h = 0; h < 2; h++)
#pragma unroll
        for (int k = 0; k < FETCH::STEPS; k++)
            weights[h][k] = s.weights[half][h][k][lane];
    for (int y0 = block.y; y0 < block.end; y0 += ROWS, rows += ROWS, turn ^= 1) {
        const bool more = y0 + ROWS < block.end;
        const int end = rows[ROWS - 1].end;
        int y = rows[0].begin + warp * ROWS;
        float distance = (rows[lane / 4].distance + (float)(y + lane % 4 * 2 - rows[lane / 4].begin)) * narrow;
        float sums[N][4] = {}, row_sum = 0.f;

        /* rows at end and behind weigh nothing */
        do {
            int across[2][N][4] = {};
            float w[2];

            weigh(method, narrow, distance, rows[lane / 4], y + lane % 4 * 2, last_row, w);
            row_sum += w[0] + w[1];
#pragma unroll
            for (int k = 0; k < FETCH::STEPS; k++)
#pragma unroll
                for (int h = 0; h < 2; h++)
#pragma unroll
                    for (int n = 0; n < N; n++) {
                        const uint4 a = weights[h][k];
                        unsigned b[2];

                        fetch.get(h, n, k, b);
                        gpudl_mma_bytes_k32(across[h][n], a.x, a.y, a.z, a.w, b[0], b[1]);
                    }
            y += pace;
            distance += (float)pace * narrow;
            if (y < end || more)
                fetch.load(job, min((y < end ? y : rows[ROWS].begin + warp * ROWS) + lane / 4, last_row));
            if (CUT::AHEAD > 0 && more)
                fetch.prefetch(min(y + CUT::AHEAD * pace + lane / 4, last_row));
#pragma unroll
            for (int n = 0; n < N; n++) {
                float a[4];

#pragma unroll
                for (int i = 0; i < 4; i++)
                    a[i] = (float)(across[i % 2][n][i / 2] * 256 + across[i % 2][n][i / 2 + 2]);
                add_product(sums[n], a, w);
            }
        } while (y < end);
        row_sum += __shfl_xor_sync(0xffffffff, row_sum, 1);
        row_sum += __shfl_xor_sync(0xffffffff, row_sum, 2);
        if (lane % 4 == 0)
            s.row_sum[turn][of_block][lane / 4] = row_sum;
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int e = 0; e < 4; e++)
                s.sums[turn][2 * of_block + n][32 * e + lane] = sums[n][e];
        __syncthreads();
        write_tile(s, job, block, y0, turn);
    }
}

template <class CUT>
__device__ __forceinline__ void shrink(Shared<CUT> &s, const GpudlPreprocJob &job, const Block &block)
{
    constexpr int CHROMA_STEPS = GPUDL_SHRINK_CHROMA_STEPS(CUT::STEPS);
    const bool reached = block.x < job.dst_x + job.dst_width && block.x + COLUMNS > job.dst_x &&
                         block.y < job.dst_y + job.dst_height && block.end > job.dst_y;
    const int warp = threadIdx.x / 32;
    Windows windows;

    if (job.n_planes == 0 || !reached) {
        gpudl_begin();
        for (int i = threadIdx.x; i < COLUMNS * (block.end - block.y); i += CUT::THREADS) {
            const int x = block.x + i % COLUMNS, y = block.y + i / COLUMNS;
            const float component[3] = {0.f, 0.f, 0.f};

            if (x < block.out.width)
                gpudl_preproc_write(job, block.out, block.n, y, x, false, component);
        }
        return;
    }
    clear_weights(s);
    set_rows(s, job, block.y, block.end);
    windows.find(job, block.x, {16, CUT::KIND == GPUDL_SHRINK_PAIRS ? 8 : 16});
    __syncthreads();
    if (warp < CUT::LUMA)
        make_tiles<Planes<CUT::STEPS, 1>>(s, job, block, windows, 0, 0, warp, CUT::LUMA);
    else if constexpr (CUT::KIND == GPUDL_SHRINK_PAIRS)
        make_tiles<Pairs<CHROMA_STEPS>>(s, job, block, windows, 1, 1, warp - CUT::LUMA, CUT::WARPS - CUT::LUMA);
    else if constexpr (CUT::KIND == GPUDL_SHRINK_PLANES)
        make_tiles<Planes<CHROMA_STEPS, 2>>(s, job, block, windows, 1, 1, warp - CUT::LUMA, CUT::WARPS - CUT::LUMA);
}

__device__ __forceinline__ Block block_of(const GpudlPreprocOutput &out, int tiles)
{
    const int y = blockIdx.y * tiles * ROWS;

    return {out, (int)blockIdx.x * COLUMNS, y, min(y + tiles * ROWS, out.height), (int)blockIdx.z};
}

/* tiles: of a block */
template <class CUT, int N>
__global__ void __launch_bounds__(CUT::THREADS, CUT::BLOCKS)
    shrink_carried(const __grid_constant__ Carried<N> jobs, const GpudlPreprocOutput out, int tiles)
{
    __shared__ Shared<CUT> s;

    shrink(s, jobs.job[N == 1 ? 0 : blockIdx.z], block_of(out, tiles));
}

template <class CUT>
__global__ void __launch_bounds__(CUT::THREADS, CUT::BLOCKS)
    shrink_many(const GpudlPreprocJob *jobs, const GpudlPreprocOutput out, int tiles)
{
    __shared__ Shared<CUT> s;

    gpudl_begin();
    for (int i = threadIdx.x; i < (int)sizeof(GpudlPreprocJob) / 8; i += CUT::THREADS)
        reinterpret_cast<uint2 *>(&s.job)[i] =
            gpudl_load_written(reinterpret_cast<const uint2 *>(jobs + blockIdx.z) + i);
    __syncthreads();
    shrink(s, s.job, block_of(out, tiles));
}

/* How many jobs there are decides, as measured. A single one: the warps of a block have the rows of its only tile all
 * at once. More: blocks make tiles one below the other, and what these share is read once; rows are on their way to the
 * second-level cache before a warp comes to them. Large windows need more registers. */
constexpr int LARGE_WINDOWS = GPUDL_SHRINK_MOST_STEPS, SMALL_WINDOWS = 3;
template <GpudlPreprocShrink KIND, int STEPS> struct Cuts {
    typedef Cut<KIND, STEPS, 3, 2, 2, 0> Single;
    typedef Cut<KIND, STEPS, 2, 1, 4, 0> Few;
    typedef Cut<KIND, STEPS, 2, 1, 4, 0> Many;
};
template <GpudlPreprocShrink KIND> struct Cuts<KIND, SMALL_WINDOWS> {
    typedef Cut<KIND, SMALL_WINDOWS, 3, 2, 3, 0> Single;
    typedef Cut<KIND, SMALL_WINDOWS, 2, 1, 6, 3> Few;
    typedef Cut<KIND, SMALL_WINDOWS, 3, 2, 4, 1> Many;
};
/* so many blocks fill a device; if there are more, they have more tiles */
constexpr int FEW_BLOCKS = 784, MANY_BLOCKS = 1568;

struct Launch {
    const GpudlPreprocJob *jobs, *device_jobs;
    int32_t count;
    GpudlPreprocOutput out;
    GpudlKernelStream stream;
};

template <class CUT, class... PARAMETERS, class JOBS>
void launch_cut(void (*kernel)(PARAMETERS...), const JOBS &jobs, const Launch &l, int enough_blocks)
{
    const int64_t columns = gpudl_divide_up(l.out.width, COLUMNS), rows = gpudl_divide_up(l.out.height, ROWS);
    const int64_t tiles = l.count * columns * rows / enough_blocks;
    const int of_block = tiles < 1 ? 1 : tiles > MOST_TILES ? MOST_TILES : (int)tiles;

    gpudl_launch(kernel, dim3((unsigned)columns, (unsigned)gpudl_divide_up(rows, of_block), (unsigned)l.count),
                 CUT::THREADS, 0, l.stream, jobs, l.out, of_block);
}

template <GpudlPreprocShrink KIND, int STEPS> void launch(const Launch &l)
{
    typedef typename Cuts<KIND, STEPS>::Single Single;
    typedef typename Cuts<KIND, STEPS>::Few Few;
    typedef typename Cuts<KIND, STEPS>::Many Many;

    if (l.count == 1) {
        const Carried<1> carried = {{l.jobs[0]}};

        launch_cut<Single>(shrink_carried<Single, 1>, carried, l, MANY_BLOCKS);
    } else if (l.count <= GPUDL_PREPROC_SHRINK_CARRIED_JOBS) {
        Carried<GPUDL_PREPROC_SHRINK_CARRIED_JOBS> carried = {};

        for (int32_t i = 0; i < l.count; i++)
            carried.job[i] = l.jobs[i];
        launch_cut<Few>(shrink_carried<Few, GPUDL_PREPROC_SHRINK_CARRIED_JOBS>, carried, l, FEW_BLOCKS);
    } else {
        launch_cut<Many>(shrink_many<Many>, l.device_jobs, l, MANY_BLOCKS);
    }
}

template <GpudlPreprocShrink KIND> void launch_as(const Launch &l, int32_t steps)
{
    if (steps <= SMALL_WINDOWS)
        launch<KIND, SMALL_WINDOWS>(l);
    else
        launch<KIND, LARGE_WINDOWS>(l);
}

} // namespace

extern "C" int gpudl_preproc_shrink_cuda(const GpudlPreprocJob *jobs, const GpudlPreprocJob *device_jobs, int32_t count,
                                         int32_t width, int32_t height, int32_t channels, GpudlPreprocLayout layout,
                                         void *out, GpudlKernelStream stream)
{
    const Launch launch = {jobs, device_jobs, count, {out, width, height, channels, layout}, stream};
    GpudlPreprocShrink kind;
    int32_t steps;

    if (count < 0 || count > GPUDL_GRID_YZ || width < 1 || height < 1 || height > GPUDL_GRID_YZ ||
        (channels != 1 && channels != 3) || layout < 0 || layout > GPUDL_PREPROC_LAYOUT_LAST)
        return GPUDL_KERNEL_SHAPE;
    kind = gpudl_preproc_jobs_shrink(jobs, count, &steps);
    if (kind == GPUDL_SHRINK_NONE)
        return GPUDL_KERNEL_SHAPE;
    if (count == 0)
        return GPUDL_KERNEL_OK;
    if (kind == GPUDL_SHRINK_PAIRS)
        launch_as<GPUDL_SHRINK_PAIRS>(launch, steps);
    else if (kind == GPUDL_SHRINK_PLANES)
        launch_as<GPUDL_SHRINK_PLANES>(launch, steps);
    else
        launch_as<GPUDL_SHRINK_LUMA>(launch, steps);
    return (int)cudaGetLastError();
}
