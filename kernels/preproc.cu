/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * One block makes ROWS rows of a tile of at most 32 columns of one frame's input, whatever the format:
 *
 *  1. down: a warp takes 64 neighbouring bytes of a plane's rows and multiplies them with the weights of all ROWS
 * output rows on the tensor cores, bytes being bytes: what they mean does not matter yet. A byte is exact in float16, a
 *     weight is the sum of two halves (22 bits), sums are float32. 16 rows of input a product; a lane's 8-byte loads of
 *     4 rows are its part of the operand (which row is which k is free, the weights follow). Products of 16 rows are
 *     added up outside of the tensor cores, which cut off instead of rounding. The sums go to shared memory;
 *  2. across: each thread takes one column and sums its window of each component there, of two rows;
 *  3. matrix, normalisation, store.
 *
 * Windows that do not fit are taken in pieces: VALUES bytes of a row over all planes, CHUNKS * 16 rows at a time.
 */
#include "cuda_common.cuh"
#include "preproc_cuda.h"

namespace
{

constexpr int ROWS = 16, COLUMNS = 32, THREADS = 256, VALUES = 512, UNIT = 8, GROUP = 64;
constexpr int MINE = ROWS / (THREADS / 32); /* rows of a thread in the second step */
/* one place of 32 bytes is left out after 32 values: threads that read at strides of 8, 16, ... meet other banks */
constexpr int PITCH = VALUES + VALUES / 32 * 4 + 8;
/* groups of 16 rows whose weights are there; samplings of half as many rows have the last third */
constexpr int CHUNKS = 9, WHOLE_CHUNKS = 6;
static_assert(MINE == 2 && PITCH % 4 == 0, "layout of threads, alignment of vectors");

struct Output {
    void *data;
    int32_t width, height, channels;
    GpudlPreprocLayout layout;
};

/* What one column of a thread's rows has gathered. */
struct Column {
    float sum[MINE][3], weight[2];
};

struct Shared {
    float values[ROWS][PITCH];
    uint4 weights[CHUNKS][2][32]; /* upper and lower halves, as the operand's words of each lane */
    GpudlPreprocJob job;
    GpudlPreprocTaps row_taps[2][ROWS], column_taps[2][COLUMNS]; /* by sampling */
    float weight_sum[2][ROWS];
    int32_t start[3];  /* byte of a plane's row at which its piece begins; may be negative */
    int32_t base[4];   /* where the piece lies in values; [3]: end */
    int32_t piece_end; /* the pixel behind it */
};

/* Samples that rows ra .. rb or columns of the tile need, by sampling. */
struct Extent {
    int begin[2], end[2];

    __device__ __forceinline__ Extent(const GpudlPreprocTaps *taps, int pitch, int first, int behind)
    {
#pragma unroll
        for (int half = 0; half < 2; half++) {
            begin[half] = taps[half * pitch + first].begin;
            end[half] = taps[half * pitch + behind - 1].end;
        }
    }
};

__device__ __forceinline__ int place(int i)
{
    return i + i / 32 * 4;
}

/* D += A * B: weights of 16 output rows by 16 rows of input, those by 8 columns */
__device__ __forceinline__ void multiply(float sum[4], uint4 a, unsigned b0, unsigned b1)
{
#if __CUDA_ARCH__ >= 800
    asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a.x), "r"(a.y), "r"(a.z), "r"(a.w), "r"(b0), "r"(b1));
#else
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a.x), "r"(a.y), "r"(b0));
    asm("mma.sync.aligned.m16n8k8.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%5}, {%6}, {%0,%1,%2,%3};"
        : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
        : "r"(a.z), "r"(a.w), "r"(b1));
#endif
}

__device__ __forceinline__ unsigned bits_of(__half2 v)
{
    return *reinterpret_cast<const unsigned *>(&v);
}

/* byte 0 or 1 and the one two behind as halves: 0x6400 is 1024, whose last bit is 1 */
__device__ __forceinline__ unsigned halves_of(unsigned bytes, bool second)
{
    const unsigned with_1024 = __byte_perm(bytes, 0x64646464u, second ? 0x4342 : 0x4140);
    const __half k = __ushort_as_half(0x6400);
    __half2 v;

    *reinterpret_cast<unsigned *>(&v) = with_1024;
    return bits_of(__hsub2(v, __halves2half2(k, k)));
}

/* 8 bytes at p of which only first <= i < last exist */
__device__ __noinline__ uint2 load_bytes(const uint8_t *p, int first, int last)
{
    uint2 v = make_uint2(0, 0);

#pragma unroll
    for (int i = 0; i < 4; i++) {
        if (i >= first && i < last)
            v.x |= (unsigned)__ldg(p + i) << 8 * i;
        if (i + 4 >= first && i + 4 < last)
            v.y |= (unsigned)__ldg(p + i + 4) << 8 * i;
    }
    return v;
}

/* A lane's bytes: 8 of each of 4 rows. */
struct Bytes {
    uint2 row[4];

    /* the first n rows; aligned to align, or (1) only bytes first <= i < last of each exist */
    __device__ __forceinline__ void load(const uint8_t *p, int64_t stride, int n, int align, int first, int last)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            row[i] = make_uint2(0, 0);
        if (align == 8) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (i < n)
                    row[i] = __ldg(reinterpret_cast<const uint2 *>(p + i * stride));
        } else if (align == 4) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (i < n) {
                    row[i].x = __ldg(reinterpret_cast<const unsigned *>(p + i * stride));
                    row[i].y = __ldg(reinterpret_cast<const unsigned *>(p + i * stride + 4));
                }
        } else if (last > 0) {
#pragma unroll
            for (int i = 0; i < 4; i++)
                if (i < n)
                    row[i] = load_bytes(p + i * stride, first, last);
        }
    }
};

/* Rows of a sampling whose weights are there at a time, and where those lie. */
struct Slabs {
    int rows[2], chunk[2], count;

    __device__ __forceinline__ Slabs(const GpudlPreprocJob &job, const Extent &extent)
    {
        const bool halved = job.plane_half_y[0] | job.plane_half_y[1] | job.plane_half_y[2];

        rows[0] = (halved ? WHOLE_CHUNKS : CHUNKS) * 16;
        rows[1] = (CHUNKS - WHOLE_CHUNKS) * 16;
        chunk[0] = 0;
        chunk[1] = WHOLE_CHUNKS;
        count = (extent.end[0] - extent.begin[0] + rows[0] - 1) / rows[0];
        if (halved)
            count = max(count, (extent.end[1] - extent.begin[1] + rows[1] - 1) / rows[1]);
    }
};

/* whether the group at is the one of its sampling that adds up the weights */
__device__ __forceinline__ bool counts(const Shared &s, int plane, int at)
{
    bool first = at == s.base[plane];

    for (int before = 0; before < plane; before++)
        first = first && s.job.plane_half_y[before] != s.job.plane_half_y[plane];
    return first;
}

/* 64 bytes of a plane's rows in values from at on; one warp. count: its weights are added up as well */
__device__ __forceinline__ void sum_group(Shared &s, const Extent &extent, const Slabs &slabs, int at, int slab,
                                          bool count)
{
    const int plane = at >= s.base[2] ? 2 : at >= s.base[1] ? 1 : 0;
    const int half = s.job.plane_half_y[plane];
    const int row = extent.begin[half] + slab * slabs.rows[half];
    const int rows = min(extent.end[half] - row, slabs.rows[half]);
    const int lane = threadIdx.x % 32, g = lane / 4, t = lane % 4;
    const int byte = s.start[plane] + at - s.base[plane] + g * UNIT;
    const int64_t stride = s.job.strides[plane];
    const uint8_t *p = s.job.planes[plane] + (row + 4 * t) * stride + byte;
    const int first = -byte, last = s.job.row_bytes[plane] - byte;
    const int align = first > 0 || last < UNIT || stride % 4 != 0 ? 1 : stride % 8 != 0 ? 4 : 8;
    float sum[8][4] = {}, weight[4] = {};
    Bytes next; /* on their way while the last are used */

    if (rows <= 0)
        return;
    count = count && counts(s, plane, at);
    next.load(p, stride, rows - 4 * t, align, first, last);
#pragma unroll 1
    for (int chunk = 0; chunk * 16 < rows; chunk++) {
        const uint4 upper = s.weights[slabs.chunk[half] + chunk][0][lane];
        const uint4 lower = s.weights[slabs.chunk[half] + chunk][1][lane];
        const Bytes v = next;

        p += 16 * stride;
        next.load(p, stride, rows - 4 * t - 16 * (chunk + 1), align, first, last);
#pragma unroll
        for (int pair = 0; pair < 4; pair++) {
            const bool high = pair >= 2;
            const unsigned selector = pair % 2 ? 0x7362 : 0x5140;
            const unsigned a = __byte_perm(high ? v.row[0].y : v.row[0].x, high ? v.row[1].y : v.row[1].x, selector);
            const unsigned b = __byte_perm(high ? v.row[2].y : v.row[2].x, high ? v.row[3].y : v.row[3].x, selector);

#pragma unroll
            for (int second = 0; second < 2; second++) {
                const unsigned b0 = halves_of(a, second), b1 = halves_of(b, second);
                float part[4] = {};

                multiply(part, lower, b0, b1);
                multiply(part, upper, b0, b1);
#pragma unroll
                for (int e = 0; e < 4; e++)
                    sum[2 * pair + second][e] += part[e];
            }
        }
        if (count) {
            float part[4] = {};

            multiply(part, lower, 0x3c003c00u, 0x3c003c00u);
            multiply(part, upper, 0x3c003c00u, 0x3c003c00u);
            weight[0] += part[0];
            weight[2] += part[2];
        }
    }
    /* column 2 * t + e of the product is the lane's of that number, 8 bytes of it */
#pragma unroll
    for (int e = 0; e < 4; e++) {
        float4 *to = reinterpret_cast<float4 *>(&s.values[g + e / 2 * 8][place(at + 16 * t + e % 2 * 8)]);

#pragma unroll
        for (int quad = 0; quad < 2; quad++) {
            float4 v = make_float4(sum[4 * quad][e], sum[4 * quad + 1][e], sum[4 * quad + 2][e], sum[4 * quad + 3][e]);

            if (slab > 0) {
                const float4 before = to[quad];

                v = make_float4(v.x + before.x, v.y + before.y, v.z + before.z, v.w + before.w);
            }
            to[quad] = v;
        }
    }
    if (count && t == 0) {
        s.weight_sum[half][g] += weight[0];
        s.weight_sum[half][g + 8] += weight[2];
    }
}

/* weights of the slab's rows: of one output row and 4 rows of input a turn */
__device__ __forceinline__ void fill_weights(Shared &s, const Extent &extent, const Slabs &slabs, int slab, int ra,
                                             int rb)
{
    const int whole = slabs.rows[0] / 16;

    for (int k = threadIdx.x; k < CHUNKS * 64; k += THREADS) {
        const int chunk = k / 64, lane = k % 32, q = k / 32 % 2, r = lane / 4 + 8 * q;
        const int half = chunk >= whole, in_half = chunk - slabs.chunk[half];
        const int row = extent.begin[half] + slab * slabs.rows[half] + in_half * 16 + 4 * (lane % 4);
        unsigned word[2][2]; /* upper, lower; of two rows each */

#pragma unroll
        for (int pair = 0; pair < 2; pair++) {
            __half upper[2], lower[2];

#pragma unroll
            for (int e = 0; e < 2; e++) {
                float w = 0.f;

                if (r >= ra && r < rb)
                    w = gpudl_job_row_weight(&s.job.y[half], &s.row_taps[half][r], s.job.method, row + 2 * pair + e);
                upper[e] = __float2half_rn(w);
                lower[e] = __float2half_rn(w - __half2float(upper[e]));
            }
            word[0][pair] = bits_of(__halves2half2(upper[0], upper[1]));
            word[1][pair] = bits_of(__halves2half2(lower[0], lower[1]));
        }
#pragma unroll
        for (int part = 0; part < 2; part++) {
            unsigned *to = reinterpret_cast<unsigned *>(&s.weights[chunk][part][lane]);

            to[q] = word[part][0];
            to[q + 2] = word[part][1];
        }
    }
}

/* N components from first on share a sampling: their samples u0 <= s < u1 of the column's window */
template <int N, int METHOD>
__device__ __forceinline__ void gather_as(const Shared &s, Column &column, int first, int half, int u0, int u1)
{
    const GpudlPreprocJobAxis &axis = s.job.x[half];
    const GpudlPreprocTaps taps = s.column_taps[half][threadIdx.x % 32];
    const int begin = max(taps.begin, u0), end = min(taps.end, u1), row = threadIdx.x / 32 * MINE;
    const int step = s.job.component_step[first];
    int at[N];

#pragma unroll
    for (int n = 0; n < N; n++) {
        const int plane = s.job.component_plane[first + n];

        at[n] = s.base[plane] - s.start[plane] + s.job.component_offset[first + n] + begin * step;
    }
#pragma unroll 2
    for (int k = begin; k < end; k++) {
        const float w = gpudl_job_weight(&axis, &taps, METHOD, k);

        column.weight[half] += w;
#pragma unroll
        for (int n = 0; n < N; n++) {
            const int i = place(at[n]);

#pragma unroll
            for (int r = 0; r < MINE; r++)
                column.sum[r][N == 2 ? n + 1 : n] += w * s.values[row + r][i];
            at[n] += step;
        }
    }
}

template <int N>
__device__ __forceinline__ void gather(const Shared &s, Column &column, int first, int half, int u0, int u1)
{
    if (s.job.method == GPUDL_SCALE_BILINEAR)
        gather_as<N, GPUDL_SCALE_BILINEAR>(s, column, first, half, u0, u1);
    else if (s.job.method == GPUDL_SCALE_BICUBIC)
        gather_as<N, GPUDL_SCALE_BICUBIC>(s, column, first, half, u0, u1);
    else if (s.job.method == GPUDL_SCALE_AREA)
        gather_as<N, GPUDL_SCALE_AREA>(s, column, first, half, u0, u1);
    else
        gather_as<N, GPUDL_SCALE_NEAREST>(s, column, first, half, u0, u1);
}

__device__ __forceinline__ void store(const Output &out, int n, int y, int x, const float v[3])
{
    const int64_t pixel = ((int64_t)n * out.height + y) * out.width + x;

    if (out.layout == GPUDL_PREPROC_NHWC4_F16) {
        const __half2 a = __floats2half2_rn(v[0], v[1]), b = __floats2half2_rn(v[2], 0.f);

        reinterpret_cast<uint2 *>(out.data)[pixel] =
            make_uint2(*reinterpret_cast<const unsigned *>(&a), *reinterpret_cast<const unsigned *>(&b));
    } else if (out.layout == GPUDL_PREPROC_NHWC4_F32) {
        reinterpret_cast<float4 *>(out.data)[pixel] = make_float4(v[0], v[1], v[2], 0.f);
    } else {
        const int64_t plane = (int64_t)out.height * out.width;
        float *to = static_cast<float *>(out.data) + n * out.channels * plane + (int64_t)y * out.width + x;

#pragma unroll
        for (int c = 0; c < 3; c++)
            if (c < out.channels)
                to[c * plane] = v[c];
    }
}

/* where the pieces of all planes lie that hold the pixels c0 .. c1, both even; returns the places they take */
__device__ __forceinline__ int place_piece(Shared &s, int c0, int c1)
{
    int base = 0;

    for (int plane = 0; plane < 3; plane++) {
        s.base[plane] = base;
        if (plane < s.job.n_planes) {
            const int half = s.job.plane_half_x[plane], step = s.job.plane_step[plane];
            const int begin = (c0 >> half) * step, end = min((c1 >> half) * step, s.job.row_bytes[plane]);
            const int start = begin - (int)((uintptr_t)(s.job.planes[plane] + begin) % UNIT);

            s.start[plane] = start;
            base += (max(end - start, 1) + GROUP - 1) / GROUP * GROUP;
        }
    }
    s.base[3] = base;
    s.piece_end = c1;
    return base;
}

/* the piece that begins at c0: all that is left where it fits */
__device__ __forceinline__ void find_piece(Shared &s, int c0, int end)
{
    /* alignment and the last group of three planes */
    constexpr int SURE = VALUES - 3 * (UNIT + GROUP);

    if (place_piece(s, c0, end) > VALUES)
        place_piece(s, c0, min(c0 + SURE / s.job.pair_bytes * 2, end));
}

__device__ __forceinline__ void gather_tile(Shared &s, Column &column, const Extent &rows, const Extent &columns,
                                            bool mine, int ra, int rb)
{
    const Slabs slabs(s.job, rows);
    const int half_first = s.job.n_components == 3 && s.job.component_half_x[1];
    const int begin = min(columns.begin[0], half_first ? 2 * columns.begin[1] : columns.begin[0]) & ~1;
    const int end = (max(columns.end[0], half_first ? 2 * columns.end[1] : columns.end[0]) + 1) & ~1;

    for (int c0 = begin; c0 < end;) {
        int c1;

        for (int slab = 0; slab < slabs.count; slab++) {
            if (slab == 0 && threadIdx.x == THREADS - 1)
                find_piece(s, c0, end);
            if (c0 == begin || slabs.count > 1)
                fill_weights(s, rows, slabs, slab, ra, rb);
            __syncthreads();
            for (int at = threadIdx.x / 32 * GROUP; at < s.base[3]; at += THREADS / 32 * GROUP)
                sum_group(s, rows, slabs, at, slab, c0 == begin);
            __syncthreads();
        }
        c1 = s.piece_end;
        if (mine) {
            if (s.job.n_components == 1) {
                gather<1>(s, column, 0, 0, c0, c1);
            } else if (!half_first) {
                gather<3>(s, column, 0, 0, c0, c1);
            } else {
                gather<1>(s, column, 0, 0, c0, c1);
                gather<2>(s, column, 1, 1, c0 >> 1, c1 >> 1);
            }
        }
        if (c1 < end)
            __syncthreads(); /* values are written again */
        c0 = c1;
    }
}

__global__ void __launch_bounds__(THREADS, 3)
    preproc(const GpudlPreprocJob *__restrict__ jobs, const Output out, int tile_columns)
{
    __shared__ Shared s;
    const int x0 = blockIdx.x * tile_columns, x1 = min(x0 + tile_columns, out.width), x = x0 + (int)threadIdx.x % 32;
    const int y0 = blockIdx.y * ROWS, n = blockIdx.z, row = threadIdx.x / 32 * MINE;
    Column column = {};

    static_assert(sizeof(GpudlPreprocJob) % 8 == 0 && sizeof(GpudlPreprocJob) / 8 <= THREADS, "one load fetches a job");
    if (threadIdx.x < sizeof(GpudlPreprocJob) / 8)
        reinterpret_cast<uint2 *>(&s.job)[threadIdx.x] = reinterpret_cast<const uint2 *>(jobs + n)[threadIdx.x];
    if (threadIdx.x < 2 * ROWS)
        s.weight_sum[threadIdx.x % 2][threadIdx.x / 2] = 0.f;
    __syncthreads();

    /* columns xa .. xb and rows ra .. rb of the tile lie in the destination rectangle */
    const int xa = max(x0, s.job.dst_x), xb = min(x1, s.job.dst_x + s.job.dst_width);
    const int ra = max(0, s.job.dst_y - y0), rb = min(ROWS, s.job.dst_y + s.job.dst_height - y0);
    const bool mine = x >= xa && x < xb;

    if (s.job.n_planes != 0 && xa < xb && ra < rb) {
        const int i = threadIdx.x % 64;

        /* windows of columns and rows, each by a thread */
        if (threadIdx.x < 64) {
            if (i % 32 >= xa - x0 && i % 32 < xb - x0)
                s.column_taps[i / 32][i % 32] = gpudl_job_taps(&s.job.x[i / 32], s.job.method, x - s.job.dst_x);
        } else if (threadIdx.x < 96) {
            if (i % 16 >= ra && i % 16 < rb)
                s.row_taps[i / 16][i % 16] = gpudl_job_taps(&s.job.y[i / 16], s.job.method, y0 + i % 16 - s.job.dst_y);
        }
        __syncthreads();
        gather_tile(s, column, Extent(s.row_taps[0], ROWS, ra, rb), Extent(s.column_taps[0], COLUMNS, xa - x0, xb - x0),
                    mine, ra, rb);
    }
    if (x >= x1)
        return;
#pragma unroll
    for (int r = 0; r < MINE; r++) {
        float v[3] = {0.f, 0.f, 0.f};

        if (y0 + row + r >= out.height)
            break;
        if (s.job.n_planes == 0) {
            /* an idle slot: zeros */
        } else if (mine && row + r >= ra && row + r < rb) {
            float component[3] = {0.f, 0.f, 0.f};

#pragma unroll
            for (int k = 0; k < 3; k++)
                if (k < s.job.n_components)
                    component[k] =
                        column.sum[r][k] / ((s.job.component_half_x[k] ? column.weight[1] : column.weight[0]) *
                                            s.weight_sum[s.job.plane_half_y[s.job.component_plane[k]]][row + r]);
#pragma unroll
            for (int c = 0; c < 3; c++)
                if (c < out.channels)
                    v[c] = gpudl_job_channel(&s.job, c, component);
        } else {
#pragma unroll
            for (int c = 0; c < 3; c++)
                if (c < out.channels)
                    v[c] = s.job.pad[c];
        }
        store(out, n, y0 + row + r, x, v);
    }
}

} // namespace

extern "C" int gpudl_preproc_cuda(const GpudlPreprocJob *jobs, int32_t count, int32_t width, int32_t height,
                                  int32_t channels, GpudlPreprocLayout layout, void *out, GpudlKernelStream stream)
{
    /* 26 columns of 1080p rows scaled to 224 just fit into VALUES */
    constexpr int WANTED = 26;
    const Output output = {out, width, height, channels, layout};
    int tiles, tile;

    if (count < 0 || count > GPUDL_GRID_YZ || width < 1 || height < 1 || height > GPUDL_GRID_YZ ||
        (channels != 1 && channels != 3) || layout < 0 || layout > GPUDL_PREPROC_LAYOUT_LAST)
        return GPUDL_KERNEL_SHAPE;
    if (count == 0)
        return GPUDL_KERNEL_OK;
    tiles = (int)gpudl_divide_up(width, WANTED);
    tile = (int)gpudl_divide_up(width, tiles);
    preproc<<<dim3(tiles, (unsigned)gpudl_divide_up(height, ROWS), count), THREADS, 0, stream>>>(jobs, output, tile);
    return (int)cudaGetLastError();
}
