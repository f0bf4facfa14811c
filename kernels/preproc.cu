/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block makes ROWS rows (a tile of their columns) of one frame's input, whatever the format:
 *
 *  1. down: each thread takes 8 neighbouring bytes of a plane and sums them over the rows of the window, bytes being
 *     bytes: what they mean does not matter yet. Two rows are interleaved so that dp2a multiplies both with 16-bit
 *     weights; a weight is two such halves, so sums are exact. The sums go to shared memory as float32, those of a
 *     word's two bytes as one;
 *  2. across: each thread takes one column and sums its window of each component there;
 *  3. matrix, normalisation, store.
 *
 * Windows that do not fit are taken in pieces: VALUES bytes or words of a row over all planes, SLAB rows at a time.
 *
 * Where windows are small (nearest, enlarging, a little shrinking) that is more work than they are: there a thread
 * reads the samples of its pixels itself.
 *
 * bicubic-bytes goes the other way round (preproc_cubic.cuh).
 */
#include "preproc_cubic.cuh"
#include "preproc_output.cuh"

namespace
{

constexpr int VALUES = 4096, SLAB = 256, UNIT = 8;
constexpr int FEW = 32;   /* samples of a row that are summed before their sum is added to others */
constexpr int FLIGHT = 8; /* rows that a thread waits for at once */
/* each plane's piece begins and ends at a multiple of UNIT: that much more than what is wanted */
constexpr int SLACK = 3 * 2 * UNIT;
static_assert(SLAB <= GPUDL_JOB_SLAB_ROWS, "sums stay in 32 bits");
static_assert(SLAB % FLIGHT == 0 && FLIGHT % 2 == 0, "rows in flight are pairs, and have places for weights");

/* What one column has gathered. */
template <int ROWS> struct Column {
    float sum[ROWS][3], weight[2];
};

template <int ROWS, int THREADS> struct Shared {
    GpudlPreprocJob job;
    int32_t row_begin[2], row_end[2];       /* by sampling: union of the windows of all rows */
    int32_t column_begin[2], column_end[2]; /* of the tile */
    int32_t start[3];                       /* byte of a plane's row at which its piece begins; may be negative */
    int32_t base[4];                        /* where the piece lies in values, counted in bytes; [3]: end */
    float weight_sum[2][ROWS];
    GpudlPreprocTaps row_taps[2][ROWS]; /* of the direct way */
    GpudlPreprocOutput out;             /* of what is a call */
    uint2 weights[2][ROWS][SLAB / 2];   /* of two rows each: .x upper halves, .y GPUDL_JOB_LOW_BITS lower bits */
    float values[ROWS][VALUES + VALUES / 32];
    /* of each thread, from piece to piece: registers are needed for the rows meanwhile */
    float columns[sizeof(Column<ROWS>) / sizeof(float)][THREADS];
};

/* one place in 32 is left out: threads that read at strides of 8, 16, ... meet other banks */
__device__ __forceinline__ int place(int i)
{
    return i + (i >> 5);
}

template <int ROWS> struct Sums {
    int high[ROWS][UNIT], low[ROWS][UNIT];

    __device__ __forceinline__ float byte(int r, int i) const
    {
        return (float)high[r][i] * (1 << GPUDL_JOB_LOW_BITS) + (float)low[r][i];
    }
    __device__ __forceinline__ void add(uint2 a, uint2 b, const uint2 (*weights)[SLAB / 2], int pair)
    {
        const unsigned v[4] = {__byte_perm(a.x, b.x, 0x5140), __byte_perm(a.x, b.x, 0x7362),
                               __byte_perm(a.y, b.y, 0x5140), __byte_perm(a.y, b.y, 0x7362)};

#pragma unroll
        for (int r = 0; r < ROWS; r++) {
            const uint2 w = weights[r][pair];

            if (ROWS > 1 && (w.x | w.y) == 0)
                continue; /* the same for the whole block: this row's window has not begun, or is over */
#pragma unroll
            for (int i = 0; i < 4; i++) {
                high[r][2 * i] = gpudl_dot_low(w.x, v[i], high[r][2 * i]);
                low[r][2 * i] = gpudl_dot_low(w.y, v[i], low[r][2 * i]);
                high[r][2 * i + 1] = gpudl_dot_high(w.x, v[i], high[r][2 * i + 1]);
                low[r][2 * i + 1] = gpudl_dot_high(w.y, v[i], low[r][2 * i + 1]);
            }
        }
    }
};

/* 8 bytes at p, aligned to ALIGN; of those only first <= i < last exist (ALIGN 1) */
template <int ALIGN> __device__ __forceinline__ uint2 load(const uint8_t *p, int first, int last)
{
    if (ALIGN == 8)
        return gpudl_load_written(reinterpret_cast<const uint2 *>(p));
    if (ALIGN == 4)
        return make_uint2(gpudl_load_written(reinterpret_cast<const unsigned *>(p)),
                          gpudl_load_written(reinterpret_cast<const unsigned *>(p + 4)));
    uint2 v = make_uint2(0, 0);

#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i >= first && i < last)
            v.x |= gpudl_load_written(p + i) << 8 * i;
        if (i + 4 >= first && i + 4 < last)
            v.y |= gpudl_load_written(p + i + 4) << 8 * i;
    }
    return v;
}

template <int ALIGN, bool WORDS, int ROWS>
__device__ __forceinline__ void sum_rows(Sums<ROWS> &sums, const uint8_t *p, int64_t stride, int rows,
                                         const uint2 (*weights)[SLAB / 2], int first, int last, unsigned mask)
{
    constexpr int PAIRS = ALIGN == 1 ? 1 : FLIGHT / 2;

    for (int pair = 0; 2 * pair < rows; pair += PAIRS) {
        uint2 v[2 * PAIRS];

        /* the last rows too are all on their way at once; zeros stand for those that there are none of, whatever the
         * weights are */
#pragma unroll
        for (int i = 0; i < 2 * PAIRS; i++, p += stride)
            v[i] = 2 * pair + i < rows ? load<ALIGN>(p, first, last) : make_uint2(0, 0);
#pragma unroll
        for (int i = 0; i < 2 * PAIRS && WORDS; i++)
            v[i] = make_uint2(v[i].x & mask, v[i].y & mask);
#pragma unroll
        for (int i = 0; i < PAIRS; i++)
            sums.add(v[2 * i], v[2 * i + 1], weights, pair + i);
    }
}

/* the rows slab .. slab + SLAB of all windows, of the bytes that thread item of the piece has */
template <bool WORDS, int ROWS, int THREADS>
__device__ __forceinline__ void sum_unit(Shared<ROWS, THREADS> &s, int item, int slab)
{
    const int at = item * UNIT;
    const int plane = at >= s.base[2] ? 2 : at >= s.base[1] ? 1 : 0;
    const int half = s.job.plane_half_y[plane];
    const int row = s.row_begin[half] + slab, rows = min(s.row_end[half] - row, SLAB);
    const int byte = s.start[plane] + at - s.base[plane];
    const int64_t stride = s.job.strides[plane];
    const uint8_t *p = s.job.planes[plane] + row * stride + byte;
    const int first = -byte, last = s.job.row_bytes[plane] - byte;
    const unsigned mask = WORDS ? s.job.word_mask * 0x10001u : 0;
    Sums<ROWS> sums = {};

    if (rows <= 0)
        return;
    /* words at an odd address stay whole, so their units are not aligned */
    if (first > 0 || last < UNIT || stride % 4 != 0 || (WORDS && (uintptr_t)p % UNIT != 0))
        sum_rows<1, WORDS>(sums, p, stride, rows, s.weights[half], first, last, mask);
    else if (stride % 8 != 0)
        sum_rows<4, WORDS>(sums, p, stride, rows, s.weights[half], first, last, mask);
    else
        sum_rows<8, WORDS>(sums, p, stride, rows, s.weights[half], first, last, mask);
#pragma unroll
    for (int r = 0; r < ROWS; r++)
#pragma unroll
        for (int i = 0; i < UNIT / (WORDS ? 2 : 1); i++) {
            const float sum = WORDS ? sums.byte(r, 2 * i) + 256.f * sums.byte(r, 2 * i + 1) : sums.byte(r, i);
            float *value = &s.values[r][place(WORDS ? at / 2 + i : at + i)];

            *value = slab == 0 ? sum : *value + sum;
        }
}

/* one warp: weights of one output row at one sampling */
template <int ROWS, int THREADS>
__device__ __forceinline__ void fill_weights(Shared<ROWS, THREADS> &s, int half, int r, int i, bool wanted, int slab,
                                             bool count)
{
    const GpudlPreprocJobAxis &axis = s.job.y[half];
    const int begin = s.row_begin[half] + slab, rows = min(s.row_end[half] - begin, SLAB);
    GpudlPreprocTaps taps = {};
    int high = 0, low = 0;

    if (wanted)
        taps = gpudl_job_taps(&axis, s.job.method, i);
    for (int pair = threadIdx.x % 32; 2 * pair < rows; pair += 32) {
        const int a = gpudl_job_row_weight(&axis, &taps, s.job.method, begin + 2 * pair);
        const int b = gpudl_job_row_weight(&axis, &taps, s.job.method, begin + 2 * pair + 1);
        const int mask = (1 << GPUDL_JOB_LOW_BITS) - 1;
        const int high_a = a >> GPUDL_JOB_LOW_BITS, high_b = b >> GPUDL_JOB_LOW_BITS;

        s.weights[half][r][pair] =
            make_uint2((unsigned)(high_a & 0xffff) | (unsigned)high_b << 16, (unsigned)(a & mask) | (b & mask) << 16);
        high += high_a + high_b;
        low += (a & mask) + (b & mask);
    }
    if (!count)
        return;
#pragma unroll
    for (int d = 16; d > 0; d /= 2) {
        high += __shfl_down_sync(0xffffffff, high, d);
        low += __shfl_down_sync(0xffffffff, low, d);
    }
    if (threadIdx.x % 32 == 0)
        s.weight_sum[half][r] += (float)high * (1 << GPUDL_JOB_LOW_BITS) + (float)low;
}

/* N components from first on share a sampling: their samples u0 <= s < u1 of the column's window */
template <int N, int METHOD, int ROWS, int THREADS>
__device__ __forceinline__ void gather_as(const Shared<ROWS, THREADS> &s, Column<ROWS> &column, int first, int half,
                                          int i, int u0, int u1)
{
    const GpudlPreprocJobAxis &axis = s.job.x[half];
    const GpudlPreprocTaps taps = gpudl_job_taps(&axis, METHOD, i);
    const int begin = max(taps.begin, u0), end = min(taps.end, u1);
    const int word = s.job.word_mask != 0, step = s.job.component_step[first] >> word;
    int at[N];

#pragma unroll
    for (int n = 0; n < N; n++) {
        const int plane = s.job.component_plane[first + n];

        at[n] = ((s.base[plane] - s.start[plane] + s.job.component_offset[first + n]) >> word) + begin * step;
    }

    float middle = gpudl_job_middle(&taps, begin);

    /* Sums of a few samples first: added up one by one, thousands of equal ones would round the same way each time. */
    for (int k = begin; k < end;) {
        const int stop = min(k + FEW, end);
        float sum[ROWS][N] = {}, weight = 0.f;

        for (; k < stop; k++, middle += 1.f) {
            const float w = gpudl_job_weight_at(&axis, &taps, METHOD, middle);

            weight += w;
#pragma unroll
            for (int n = 0; n < N; n++) {
#pragma unroll
                for (int r = 0; r < ROWS; r++)
                    sum[r][n] += w * s.values[r][place(at[n])];
                at[n] += step;
            }
        }
        column.weight[half] += weight;
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
            for (int r = 0; r < ROWS; r++)
                column.sum[r][N == 2 ? n + 1 : n] += sum[r][n];
    }
}

template <int N, int ROWS, int THREADS>
__device__ __forceinline__ void gather(const Shared<ROWS, THREADS> &s, Column<ROWS> &column, int first, int half, int i,
                                       int u0, int u1)
{
    if (s.job.method == GPUDL_SCALE_BILINEAR)
        gather_as<N, GPUDL_SCALE_BILINEAR>(s, column, first, half, i, u0, u1);
    else if (s.job.method == GPUDL_SCALE_BICUBIC)
        gather_as<N, GPUDL_SCALE_BICUBIC>(s, column, first, half, i, u0, u1);
    else if (s.job.method == GPUDL_SCALE_AREA)
        gather_as<N, GPUDL_SCALE_AREA>(s, column, first, half, i, u0, u1);
    else
        gather_as<N, GPUDL_SCALE_NEAREST>(s, column, first, half, i, u0, u1);
}

template <int ROWS, int THREADS>
__device__ __forceinline__ void keep(Shared<ROWS, THREADS> &s, const Column<ROWS> &column, bool first)
{
    constexpr int N = sizeof(column) / sizeof(float);
    const float *values = reinterpret_cast<const float *>(&column);

#pragma unroll
    for (int k = 0; k < N; k++)
        s.columns[k][threadIdx.x] = first ? values[k] : s.columns[k][threadIdx.x] + values[k];
}

/* the window of one axis as TAPS samples; behind its end they are repeated with weight 0 */
template <int TAPS> struct Window {
    int begin, last;
    float weight[TAPS], sum;

    __device__ __forceinline__ void set(const GpudlPreprocJobAxis &axis, const GpudlPreprocTaps &taps, int method)
    {
        begin = taps.begin;
        last = taps.end - 1;
        sum = 0.f;
#pragma unroll
        for (int t = 0; t < TAPS; t++) {
            weight[t] = begin + t <= last ? gpudl_job_weight(&axis, &taps, method, begin + t) : 0.f;
            sum += weight[t];
        }
    }
    __device__ __forceinline__ int sample(int t) const
    {
        return min(begin + t, last);
    }
};

/* a byte or word as float32, without a conversion's low rate */
__device__ __forceinline__ float sample_value(unsigned sample)
{
    return __uint_as_float(0x4b000000u | sample) - 8388608.f;
}

template <bool WORDS> __device__ __forceinline__ unsigned load_sample(const GpudlPreprocJob &job, const uint8_t *p)
{
    return WORDS ? (unsigned)gpudl_job_word(&job, gpudl_load_written(p), gpudl_load_written(p + 1))
                 : gpudl_load_written(p);
}

template <int TAPS, bool WORDS>
__device__ __forceinline__ float direct_component(const GpudlPreprocJob &job, int k, const Window<TAPS> &x,
                                                  const Window<TAPS> &y)
{
    const int plane = job.component_plane[k], step = job.component_step[k];
    const uint8_t *p = job.planes[plane] + job.component_offset[k];
    unsigned samples[TAPS][TAPS];
    float sum = 0.f;

#pragma unroll
    for (int t = 0; t < TAPS; t++)
#pragma unroll
        for (int u = 0; u < TAPS; u++)
            samples[t][u] = load_sample<WORDS>(job, p + (int64_t)y.sample(t) * job.strides[plane] + x.sample(u) * step);
#pragma unroll
    for (int t = 0; t < TAPS; t++) {
        float row = 0.f;

#pragma unroll
        for (int u = 0; u < TAPS; u++)
            row += x.weight[u] * sample_value(samples[t][u]);
        sum += y.weight[t] * row;
    }
    return sum / (x.sum * y.sum);
}

/* windows of at most TAPS samples each way: a thread takes the pixels of its column, from the bytes to the output */
template <int TAPS, bool WORDS, int ROWS, int THREADS>
__device__ __forceinline__ void direct_tile(Shared<ROWS, THREADS> &s, const GpudlPreprocOutput &out, int n, int y0,
                                            int x, bool mine, int ra, int rb)
{
    const int half_x = s.job.n_components == 3 && s.job.component_half_x[1];
    const int half_y = s.job.n_components == 3 && s.job.plane_half_y[s.job.component_plane[1]];
    Window<TAPS> wx[2];

    if (mine)
        for (int half = 0; half <= half_x; half++)
            wx[half].set(s.job.x[half], gpudl_job_taps(&s.job.x[half], s.job.method, x - s.job.dst_x), s.job.method);
    if (mine && !half_x)
        wx[1] = wx[0];
#pragma unroll(TAPS == 2 ? ROWS : 1) /* rows at once, as far as registers go */
    for (int r = 0; r < ROWS; r++) {
        const bool inside = mine && r >= ra && r < rb;
        float component[3] = {0.f, 0.f, 0.f};

        if (y0 + r >= out.height)
            break;
        if (inside) {
            Window<TAPS> wy;

            wy.set(s.job.y[0], s.row_taps[0][r], s.job.method);
            component[0] = direct_component<TAPS, WORDS>(s.job, 0, wx[0], wy);
            if (half_y)
                wy.set(s.job.y[1], s.row_taps[1][r], s.job.method);
            if (s.job.n_components == 3) {
                component[1] = direct_component<TAPS, WORDS>(s.job, 1, wx[1], wy);
                component[2] = direct_component<TAPS, WORDS>(s.job, 2, wx[1], wy);
            }
        }
        gpudl_preproc_write(s.job, out, n, y0 + r, x, inside, component);
    }
}

/* the same of words, and bicubic-bytes; a call, so that it takes no registers from what bytes need */
template <int ROWS, int THREADS>
__device__ __noinline__ void direct_called(Shared<ROWS, THREADS> &s, int n, int y0, int x, bool mine, int ra, int rb)
{
    if (s.job.method == GPUDL_SCALE_BICUBIC_BYTES)
        gpudl_preproc_cubic(s.job, s.out, n, y0, ROWS, x, mine, ra, rb);
    else if (s.job.direct_taps == 2)
        direct_tile<2, true>(s, s.out, n, y0, x, mine, ra, rb);
    else
        direct_tile<GPUDL_JOB_DIRECT_TAPS, true>(s, s.out, n, y0, x, mine, ra, rb);
}

/* where the pieces of all planes lie that hold the pixels c0 .. c1; both even */
template <int ROWS, int THREADS> __device__ __forceinline__ void place_piece(Shared<ROWS, THREADS> &s, int c0, int c1)
{
    int base = 0;

    for (int plane = 0; plane < 3; plane++) {
        s.base[plane] = base;
        if (plane < s.job.n_planes) {
            const int half = s.job.plane_half_x[plane], step = s.job.plane_step[plane];
            const int begin = (c0 >> half) * step, end = min((c1 >> half) * step, s.job.row_bytes[plane]);
            /* words begin where they did */
            const int before = (int)((uintptr_t)(s.job.planes[plane] + begin) % UNIT);
            const int start = begin - (s.job.word_mask != 0 ? before & ~1 : before);

            s.start[plane] = start;
            base += max(end - start + UNIT - 1, 0) / UNIT * UNIT;
        }
    }
    s.base[3] = base;
}

/* first and last sample that the tile's columns and the block's rows need, by sampling; one thread each */
template <int ROWS, int THREADS>
__device__ __forceinline__ void find_windows(Shared<ROWS, THREADS> &s, int ia, int ib, int ja, int jb)
{
    const int half = threadIdx.x / 32 % 2;
    const bool vertical = threadIdx.x >= 64;
    const GpudlPreprocJobAxis &axis = vertical ? s.job.y[half] : s.job.x[half];
    const int begin = gpudl_job_taps(&axis, s.job.method, vertical ? ja : ia).begin;
    const int end = gpudl_job_taps(&axis, s.job.method, (vertical ? jb : ib) - 1).end;

    (vertical ? s.row_begin : s.column_begin)[half] = begin;
    (vertical ? s.row_end : s.column_end)[half] = end;
}

template <int ROWS, int THREADS>
__device__ __forceinline__ void gather_tile(Shared<ROWS, THREADS> &s, int i, bool mine, int ra, int rb, int j)
{
    const int warp = threadIdx.x / 32;
    const int half_first = s.job.n_components == 3 && s.job.component_half_x[1];
    const int begin = min(s.column_begin[0], half_first ? 2 * s.column_begin[1] : s.column_begin[0]) & ~1;
    const int end = (max(s.column_end[0], half_first ? 2 * s.column_end[1] : s.column_end[0]) + 1) & ~1;
    const int piece = (VALUES - SLACK) / (s.job.word_mask != 0 ? s.job.pair_bytes / 2 : s.job.pair_bytes) * 2;
    const int rows = max(s.row_end[0] - s.row_begin[0], s.row_end[1] - s.row_begin[1]);

    for (int c0 = begin; c0 < end; c0 += piece) {
        const int c1 = min(c0 + piece, end);

        for (int slab = 0; slab < rows; slab += SLAB) {
            if (slab == 0 && threadIdx.x == THREADS - 1)
                place_piece(s, c0, c1);
            if (c0 == begin || rows > SLAB)
                for (int k = warp; k < 2 * ROWS; k += THREADS / 32)
                    fill_weights(s, k % 2, k / 2, j + k / 2, k / 2 >= ra && k / 2 < rb, slab, c0 == begin);
            __syncthreads();
            for (int item = threadIdx.x; item * UNIT < s.base[3]; item += THREADS)
                if (s.job.word_mask != 0)
                    sum_unit<true>(s, item, slab);
                else
                    sum_unit<false>(s, item, slab);
            __syncthreads();
        }
        if (mine) {
            Column<ROWS> column = {};

            if (s.job.n_components == 1) {
                gather<1>(s, column, 0, 0, i, c0, c1);
            } else if (!half_first) {
                gather<3>(s, column, 0, 0, i, c0, c1);
            } else {
                gather<1>(s, column, 0, 0, i, c0, c1);
                gather<2>(s, column, 1, 1, i, c0 >> 1, c1 >> 1);
            }
            keep(s, column, c0 == begin);
        }
        if (c1 < end)
            __syncthreads(); /* values are written again */
    }
}

template <int ROWS, int THREADS, int BLOCKS>
__global__ void __launch_bounds__(THREADS, BLOCKS)
    preproc(const GpudlPreprocJob *jobs, const GpudlPreprocOutput out, int tile_columns)
{
    gpudl_begin();

    __shared__ Shared<ROWS, THREADS> s;
    const int x0 = blockIdx.x * tile_columns, x1 = min(x0 + tile_columns, out.width), x = x0 + threadIdx.x;
    const int y0 = blockIdx.y * ROWS, n = blockIdx.z;

    static_assert(sizeof(GpudlPreprocJob) % 8 == 0 && sizeof(GpudlPreprocJob) / 8 <= THREADS, "one load fetches a job");
    if (threadIdx.x < sizeof(GpudlPreprocJob) / 8)
        reinterpret_cast<uint2 *>(&s.job)[threadIdx.x] =
            gpudl_load_written(reinterpret_cast<const uint2 *>(jobs + n) + threadIdx.x);
    if (threadIdx.x < 2 * ROWS)
        s.weight_sum[threadIdx.x % 2][threadIdx.x / 2] = 0.f;
    __syncthreads();

    /* columns xa .. xb and rows ra .. rb of the tile lie in the destination rectangle */
    const int xa = max(x0, s.job.dst_x), xb = min(x1, s.job.dst_x + s.job.dst_width);
    const int ra = max(0, s.job.dst_y - y0), rb = min(ROWS, s.job.dst_y + s.job.dst_height - y0);
    const bool mine = x >= xa && x < xb;

    if (s.job.direct_taps != 0 || s.job.method == GPUDL_SCALE_BICUBIC_BYTES) {
        const int half = threadIdx.x % 2, r = threadIdx.x / 2;

        if (r >= ra && r < rb)
            s.row_taps[half][r] = gpudl_job_taps(&s.job.y[half], s.job.method, y0 + r - s.job.dst_y);
        if (threadIdx.x == 0)
            s.out = out;
        __syncthreads();
        if (x < x1 && (s.job.word_mask != 0 || s.job.method == GPUDL_SCALE_BICUBIC_BYTES))
            direct_called(s, n, y0, x, mine, ra, rb);
        else if (x < x1 && s.job.direct_taps == 2)
            direct_tile<2, false>(s, out, n, y0, x, mine, ra, rb);
        else if (x < x1)
            direct_tile<GPUDL_JOB_DIRECT_TAPS, false>(s, out, n, y0, x, mine, ra, rb);
        return;
    }
    if (s.job.n_planes != 0 && xa < xb && ra < rb) {
        if (threadIdx.x < 128 && threadIdx.x % 32 == 0)
            find_windows(s, xa - s.job.dst_x, xb - s.job.dst_x, y0 + ra - s.job.dst_y, y0 + rb - s.job.dst_y);
        __syncthreads();
        gather_tile(s, x - s.job.dst_x, mine, ra, rb, y0 - s.job.dst_y);
    }
    if (x >= x1)
        return;
#pragma unroll
    for (int r = 0; r < ROWS; r++) {
        const bool inside = mine && r >= ra && r < rb;
        float component[3] = {0.f, 0.f, 0.f};

        if (y0 + r >= out.height)
            break;
        if (inside) {
#pragma unroll
            for (int k = 0; k < 3; k++)
                if (k < s.job.n_components)
                    component[k] = s.columns[3 * r + k][threadIdx.x] /
                                   (s.columns[3 * ROWS + s.job.component_half_x[k]][threadIdx.x] *
                                    s.weight_sum[s.job.plane_half_y[s.job.component_plane[k]]][r]);
        }
        gpudl_preproc_write(s.job, out, n, y0 + r, x, inside, component);
    }
}

} // namespace

extern "C" int gpudl_preproc_cuda(const GpudlPreprocJob *jobs, int32_t count, int32_t width, int32_t height,
                                  int32_t channels, GpudlPreprocLayout layout, void *out, GpudlKernelStream stream)
{
    const GpudlPreprocOutput output = {out, width, height, channels, layout};

    if (count < 0 || count > GPUDL_GRID_YZ || width < 1 || height < 1 || height > GPUDL_GRID_YZ ||
        (channels != 1 && channels != 3) || layout < 0 || layout > GPUDL_PREPROC_LAYOUT_LAST)
        return GPUDL_KERNEL_SHAPE;
    if (count == 0)
        return GPUDL_KERNEL_OK;
    /* Many frames: two rows a block read what their windows share once. Few: rows of their own fill the device. */
    if ((int64_t)count * height * gpudl_divide_up(width, 256) >= 1024) {
        constexpr int ROWS = 2, THREADS = 256;
        const int tiles = (int)gpudl_divide_up(width, THREADS), tile = (int)gpudl_divide_up(width, tiles);

        gpudl_launch(preproc<ROWS, THREADS, 3>, dim3(tiles, (unsigned)gpudl_divide_up(height, ROWS), count), THREADS, 0,
                     stream, jobs, output, tile);
    } else {
        constexpr int THREADS = 512;
        const int tiles = (int)gpudl_divide_up(width, 256), tile = (int)gpudl_divide_up(width, tiles);

        gpudl_launch(preproc<1, THREADS, 2>, dim3(tiles, height, count), THREADS, 0, stream, jobs, output, tile);
    }
    return (int)cudaGetLastError();
}
