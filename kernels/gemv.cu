/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * Weights are read once, straight into registers, as the first operand of products on tensor cores, whose 16 lines are
 * rows of the matrix; vectors are the second one's columns, eight of them whether they are there or not. Which terms of
 * a sum meet in a product is free as long as both operands agree: a lane's are the 16 bytes that it loads.
 *
 * A warp has two chunks of weights on their way at any time, the first ones before what was queued before has ended.
 * Vectors lie in shared memory. Warps share the terms of a row, chunk by chunk in turn, so that a block reads whole
 * stretches of memory; so do the blocks of a cluster, each a stretch of its own.
 */
#include <algorithm>

#include "gemv_cuda.h"
#include "kernels/cluster.cuh"
#include "vectors.cuh"

namespace
{

constexpr int VECTORS = GPUDL_GEMV_VECTORS; /* columns of a product */
constexpr int STRIP = 16;                   /* rows of a product */
constexpr int UNIT = 32;                    /* terms that a lane of each four has 8 of: two products */
constexpr int UNITS = 4, CHUNK = UNITS * UNIT;
constexpr int GAP = 32; /* elements behind a vector in shared memory: neighbours lie in other banks */

template <class T> struct Call {
    const T *x, *w;
    const float *bias;
    T *y;
    int64_t x_pitch, y_pitch;
    int n, c, k, pixels;
    int rows, parts, chunks; /* chunks: of a row */
    int line;                /* elements from vector to vector in shared memory */
    int sums_at, added_at;   /* bytes */
    GpudlAct act;
};

/* What this block makes: rows from first_row on, terms begin <= .. < end, which are chunks but for the row's end. */
template <class T> struct Share {
    int rank, first_row, first, last, begin, end;

    __device__ __forceinline__ explicit Share(const Call<T> &p)
        : rank((int)blockIdx.x % p.parts), first_row((int)blockIdx.x / p.parts * p.rows),
          first(rank * p.chunks / p.parts), last((rank + 1) * p.chunks / p.parts), begin(first * CHUNK),
          end(min(last * CHUNK, p.c))
    {
    }
};

/* A warp's weights of a chunk: of rows g and g + 8, lane 4 * g + t. */
struct Chunk {
    uint4 words[UNITS][2];

    template <class T> __device__ __forceinline__ void load(const T *upper, const T *lower, int chunk, int end)
    {
        const int at = chunk * CHUNK + (int)threadIdx.x % 4 * 8;

#pragma unroll
        for (int u = 0; u < UNITS; u++) {
            const bool exist = at + u * UNIT < end;

            words[u][0] = words[u][1] = make_uint4(0, 0, 0, 0);
            if (exist) {
                words[u][0] = gpudl_load_once(upper + at + u * UNIT);
                words[u][1] = gpudl_load_once(lower + at + u * UNIT);
            }
        }
    }

    /* vector: the lane's, at the chunk's begin */
    template <class T> __device__ __forceinline__ void multiply(const T *vector, float (&sum)[2][4]) const
    {
#pragma unroll
        for (int u = 0; u < UNITS; u++) {
            const uint4 x = *reinterpret_cast<const uint4 *>(vector + u * UNIT);

            GpudlPair<T>::multiply_k16(sum[0], words[u][0].x, words[u][1].x, words[u][0].y, words[u][1].y, x.x, x.y);
            GpudlPair<T>::multiply_k16(sum[1], words[u][0].z, words[u][1].z, words[u][0].w, words[u][1].w, x.z, x.w);
        }
    }
};

/* The block's terms of all vectors, zeros behind them. */
template <class T> __device__ __forceinline__ void fetch_vectors(const Call<T> &p, const Share<T> &share, T *lines)
{
    const int vectors = (share.last - share.first) * (CHUNK / 8), all = vectors * p.n;

    for (int i = (int)threadIdx.x; i < all; i += (int)blockDim.x) {
        const int n = i / vectors, at = (i - n * vectors) * 8;
        const bool exist = share.begin + at < share.end;

        gpudl_copy_async<16>(lines + n * p.line + at, p.x + (exist ? n * p.x_pitch + share.begin + at : 0), exist);
    }
    gpudl_copy_commit();
    gpudl_copy_wait<0>();
}

/* The same of means over pixels. Threads are groups that take pixels in turn; scratch: 8 floats a thread. */
template <class T>
__device__ __forceinline__ void find_means(const Call<T> &p, const Share<T> &share, T *lines, float *scratch)
{
    const int threads = (int)blockDim.x, me = (int)threadIdx.x;
    const int vectors = (share.end - share.begin) / 8, items = vectors * p.n;
    const int room = (share.last - share.first) * CHUNK, behind = room - (share.end - share.begin);

    for (int i = me; i < behind * p.n; i += threads)
        gpudl_store(&lines[i / behind * p.line + room - behind + i % behind], 0.f);
    for (int base = 0; base < items; base += threads) {
        const int here = min(items - base, threads), groups = threads / here, group = me / here;
        float sum[8] = {};

        if (group < groups) {
            const int item = base + me % here, n = item / vectors;
            const T *from = p.x + (int64_t)n * p.pixels * p.x_pitch + share.begin + (item - n * vectors) * 8;

#pragma unroll 4
            for (int pixel = group; pixel < p.pixels; pixel += groups) {
                GpudlVector<T, 8> in;
                float v[8];

                in.load(from + pixel * p.x_pitch);
                in.get(v);
#pragma unroll
                for (int i = 0; i < 8; i++)
                    sum[i] += v[i];
            }
        }
#pragma unroll
        for (int i = 0; i < 8; i++)
            scratch[i * threads + me] = sum[i];
        __syncthreads();
        for (int i = me; i < here * 8; i += threads) {
            const int item = base + i / 8, n = item / vectors;
            float total = 0.f;

            for (int j = 0; j < groups; j++)
                total += scratch[i % 8 * threads + j * here + i / 8];
            gpudl_store(&lines[n * p.line + (item - n * vectors) * 8 + i % 8], total / (float)p.pixels);
        }
        __syncthreads();
    }
}

/* What a thread ends: one row, since threads are a multiple of a block's rows, of every so many vectors. Its bias is on
 * its way all the while. */
template <class T> struct Ends {
    const Call<T> &p;
    int own, row; /* own: rows of the block; row: in the tile */
    bool exists;
    T *y;
    float bias;

    __device__ __forceinline__ Ends(const Call<T> &call, const Share<T> &share)
        : p(call), own(call.rows / call.parts), row(share.rank * own + (int)threadIdx.x % own),
          exists(share.first_row + row < call.k), y(call.y + share.first_row + row),
          bias(call.bias && exists ? call.bias[share.first_row + row] : 0.f)
    {
    }

    __device__ __forceinline__ void end(int n, float sum) const
    {
        if (exists)
            gpudl_store(&y[n * p.y_pitch], gpudl_activate_f32(p.act, sum + bias));
    }

    /* The sums of the block's warps, then of the cluster's blocks. sums: [share of the terms][vector][row]. */
    __device__ __forceinline__ void add_up(const float *sums, int shares, float *added) const
    {
        const int threads = (int)blockDim.x, me = (int)threadIdx.x, all = p.rows * p.n;

        for (int i = me; i < all; i += threads) {
            float sum = 0.f;

#pragma unroll 8
            for (int j = 0; j < shares; j++)
                sum += sums[j * all + i];
            if (p.parts == 1)
                end(i / own, sum);
            else
                added[i] = sum;
        }
        if (p.parts == 1)
            return;
        gpudl_cluster_barrier();
        for (int n = me / own; n < p.n; n += threads / own) {
            float v[8], sum = 0.f;

#pragma unroll
            for (int block = 0; block < 8; block++) /* all are on their way at once */
                v[block] = block < p.parts ? gpudl_cluster_float(&added[n * p.rows + row], block) : 0.f;
#pragma unroll
            for (int block = 0; block < 8; block++)
                sum += v[block];
            end(n, sum);
        }
        gpudl_cluster_meet(); /* till here others read this block's sums */
    }
};

template <class T, int WARPS, bool POOLED>
__global__ void __launch_bounds__(WARPS * 32, 16 / WARPS) multiply(const __grid_constant__ Call<T> p)
{
    uint8_t *shared = static_cast<uint8_t *>(gpudl_shared());
    T *lines = reinterpret_cast<T *>(shared);
    float *sums = reinterpret_cast<float *>(shared + p.sums_at);
    const Share<T> share(p);
    const int warp = (int)threadIdx.x / 32, g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;
    const int strips = p.rows / STRIP, strip = warp % strips, turn = warp / strips, turns = WARPS / strips;
    const int row = share.first_row + strip * STRIP + g;
    /* rows that there are not are read as the last one, and thrown away */
    const T *upper = p.w + (int64_t)min(row, p.k - 1) * p.c, *lower = p.w + (int64_t)min(row + 8, p.k - 1) * p.c;
    const T *vector = lines + min(g, p.n - 1) * p.line + t * 8;
    float sum[2][4] = {};
    Chunk even, odd;
    int i = share.first + turn;

    even.load(upper, lower, i, share.end);
    odd.load(upper, lower, i + turns, share.end);

    const Ends<T> ends(p, share);

    gpudl_begin();
    if (POOLED)
        find_means(p, share, lines, sums);
    else
        fetch_vectors(p, share, lines);
    __syncthreads();
#pragma unroll 1
    for (; i < share.last; i += 2 * turns) {
        even.multiply(vector + (i - share.first) * CHUNK, sum);
        even.load(upper, lower, i + 2 * turns, share.end);
        if (i + turns < share.last)
            odd.multiply(vector + (i + turns - share.first) * CHUNK, sum);
        odd.load(upper, lower, i + 3 * turns, share.end);
    }
#pragma unroll
    for (int j = 0; j < 4; j++)
        if (2 * t + j % 2 < p.n)
            sums[(turn * p.n + 2 * t + j % 2) * p.rows + strip * STRIP + g + j / 2 * 8] = sum[0][j] + sum[1][j];
    __syncthreads();
    ends.add_up(sums, turns, reinterpret_cast<float *>(shared + p.added_at));
}

/* ---- plans ------------------------------------------------------------------------------------------------------- */

/* A status. */
int check(GpudlDType dtype, const GpudlNhwc *xs, int32_t k)
{
    if (dtype != GPUDL_DTYPE_F16 && dtype != GPUDL_DTYPE_BF16)
        return GPUDL_KERNEL_DTYPE;
    if (xs->n < 0 || xs->n > VECTORS || xs->h < 1 || xs->w < 1 || xs->h > (1 << 24) / xs->w || xs->c < 8 ||
        xs->c % 8 != 0 || xs->c > 1 << 24 || xs->pitch < xs->c || xs->pitch % 8 != 0 || xs->pitch > INT32_MAX || k < 0)
        return GPUDL_KERNEL_SHAPE;
    return GPUDL_KERNEL_OK;
}

bool is_plan(const GpudlGemvPlan *plan)
{
    return (plan->rows == 16 || plan->rows == 32 || plan->rows == 64 || plan->rows == 128) &&
           (plan->parts == 1 || plan->parts == 2 || plan->parts == 4 || plan->parts == 8) &&
           (plan->warps == 8 || plan->warps == 16);
}

/* How a plan's block is laid out. */
struct Layout {
    int chunks, line, sums_at, added_at, shared_bytes;
    int64_t blocks;
};

/* FALSE if a block can't be laid out so. */
bool lay_out(const GpudlNhwc *xs, int32_t k, const GpudlGemvPlan *plan, Layout *l)
{
    l->chunks = (int)gpudl_divide_up(xs->c, CHUNK);
    if (plan->parts > l->chunks)
        return false;
    l->line = (int)gpudl_divide_up(l->chunks, plan->parts) * CHUNK + GAP;
    if (l->line > 1 << 20)
        return false;
    l->sums_at = xs->n * l->line * 2;
    /* a warp's sums; before, 8 floats of each thread's */
    l->added_at = l->sums_at + plan->warps * (xs->h * xs->w > 1 ? 32 * 8 : STRIP * VECTORS) * (int)sizeof(float);
    l->shared_bytes = l->added_at + (plan->parts > 1 ? plan->rows * VECTORS * (int)sizeof(float) : 0);
    l->blocks = gpudl_divide_up(k, plan->rows) * plan->parts;
    return l->blocks <= INT32_MAX;
}

/* Microseconds, about: memory that delivers so much a multiprocessor; what one multiprocessor can take, of as many
 * warps as it has there, where it is one of few; and for each of its turns of blocks the way there and that of the
 * vectors. Kilobytes a microsecond. Fitted to the times of all plans of 18 problems on an NVIDIA H200: off by a fifth
 * on average, the fastest plan always among the first eight. */
constexpr float TURN_US = 1.6f, PARTS_US = .95f, PART_US = .24f, MEMORY = 28.6f, WARP = 6.77f, VECTOR = 25.3f;
constexpr int MOST_WARPS = 13;

float estimate_us(const Layout &l, const GpudlNhwc *xs, const GpudlGemvPlan &plan, int multiprocessors,
                  int shared_bytes)
{
    const int64_t here = gpudl_divide_up(l.blocks, multiprocessors);
    const int64_t room = std::min((int64_t)(16 / plan.warps), (int64_t)(shared_bytes / l.shared_bytes));
    const int64_t abreast = std::max(std::min(room, here), (int64_t)1);
    const float turns = (float)gpudl_divide_up(here, std::max(room, (int64_t)1));
    const float terms = (float)gpudl_divide_up(l.chunks, plan.parts) * CHUNK;
    const float weights = (float)plan.rows * terms * 2 / 1024, all = weights * (float)l.blocks / (float)multiprocessors;
    const float vectors = (float)(xs->n * xs->h * xs->w) * terms * 2 / 1024;
    const float ahead = std::min(weights, (float)plan.warps * STRIP * 2 * CHUNK * 2 / 1024) / 2;
    const float rate = WARP * (float)std::min((int)abreast * plan.warps, MOST_WARPS);

    return (plan.parts > 1 ? PARTS_US + PART_US * (float)plan.parts : 0.f) +
           std::max(all / MEMORY, (float)here * (weights - ahead) / rate) + turns * (TURN_US + vectors / VECTOR);
}

/* ---- launching --------------------------------------------------------------------------------------------------- */

template <class T, int WARPS, bool POOLED> int launch(const Call<T> &p, const Layout &l, cudaStream_t stream)
{
    gpudl_launch_clusters(multiply<T, WARPS, POOLED>, p.parts, dim3((unsigned)l.blocks), WARPS * 32,
                          (size_t)l.shared_bytes, stream, p);
    return (int)cudaGetLastError();
}

template <class T, int WARPS> int launch_warps(const Call<T> &p, const Layout &l, cudaStream_t stream)
{
    return p.pixels > 1 ? launch<T, WARPS, true>(p, l, stream) : launch<T, WARPS, false>(p, l, stream);
}

template <class T>
int run(const void *x, const GpudlNhwc *xs, const void *w, const float *bias, int32_t k, const GpudlAct *act, void *y,
        int64_t y_pitch, const GpudlGemvPlan *plan, const Layout &l, cudaStream_t stream)
{
    Call<T> p = {};

    p.x = static_cast<const T *>(x);
    p.w = static_cast<const T *>(w);
    p.bias = bias;
    p.y = static_cast<T *>(y);
    p.x_pitch = xs->pitch;
    p.y_pitch = y_pitch;
    p.n = xs->n;
    p.c = xs->c;
    p.k = k;
    p.pixels = xs->h * xs->w;
    p.rows = plan->rows;
    p.parts = plan->parts;
    p.chunks = l.chunks;
    p.line = l.line;
    p.sums_at = l.sums_at;
    p.added_at = l.added_at;
    p.act = *act;
    return plan->warps == 8 ? launch_warps<T, 8>(p, l, stream) : launch_warps<T, 16>(p, l, stream);
}

} // namespace

extern "C" int gpudl_gemv_plans(GpudlDType dtype, const GpudlNhwc *xs, int32_t k, int32_t multiprocessors,
                                int32_t shared_bytes, int clusters, GpudlGemvPlan *plans)
{
    float us[GPUDL_GEMV_PLANS];
    int n = 0;

    if (check(dtype, xs, k) != GPUDL_KERNEL_OK || xs->n < 1 || k < 1)
        return 0;
    for (int rows = 16; rows <= 128; rows *= 2)
        for (int parts = 1; parts <= (clusters ? 8 : 1); parts *= 2)
            for (int warps = 8; warps <= 16; warps *= 2) {
                const GpudlGemvPlan plan = {rows, parts, warps};
                Layout l;
                float time;
                int at;

                if (!lay_out(xs, k, &plan, &l) || l.shared_bytes > shared_bytes)
                    continue;
                time = estimate_us(l, xs, plan, std::max(multiprocessors, 1), shared_bytes);
                for (at = n++; at > 0 && us[at - 1] > time; at--) {
                    us[at] = us[at - 1];
                    plans[at] = plans[at - 1];
                }
                us[at] = time;
                plans[at] = plan;
            }
    return n;
}

extern "C" int gpudl_gemv_has_clusters(void)
{
    return gpudl_has_clusters(reinterpret_cast<const void *>(multiply<__half, 8, false>));
}

extern "C" int gpudl_gemv_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                               int32_t k, const GpudlAct *act, void *y, int64_t y_pitch, const GpudlGemvPlan *plan,
                               GpudlKernelStream stream)
{
    const int status = check(dtype, xs, k);
    Layout l;

    if (status != GPUDL_KERNEL_OK)
        return status;
    if ((uintptr_t)x % 16 != 0 || (uintptr_t)w % 16 != 0 || y_pitch < k || !is_plan(plan))
        return GPUDL_KERNEL_SHAPE;
    if (xs->n == 0 || k == 0)
        return GPUDL_KERNEL_OK;
    if (!lay_out(xs, k, plan, &l) || (plan->parts > 1 && !gpudl_gemv_has_clusters()))
        return GPUDL_KERNEL_SHAPE;
    if (dtype == GPUDL_DTYPE_F16)
        return run<__half>(x, xs, w, bias, k, act, y, y_pitch, plan, l, stream);
    return run<GpudlBf16>(x, xs, w, bias, k, act, y, y_pitch, plan, l, stream);
}
