/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A cluster makes the scales of a picture. Each of its blocks has a part of the channels: it makes their means, what
 * they add to the first product, and, when all have said what they add, their scales. Where channels are few its
 * blocks share the pixels instead, and tell one another the sums first.
 */
#include "cuda_common.cuh"
#include "kernels/cluster.cuh"
#include "squeeze_cuda.h"

namespace
{

constexpr int MOST_BLOCKS = 8, MOST_THREADS = 512;
constexpr int LANES = 8, SUMS = 4; /* of the first product: lanes of a sum, sums that a lane makes at a time */

template <class T> struct Problem {
    const T *x, *w1, *w2;
    const float *bias1, *bias2; /* NULL: zeros */
    T *y;
    int64_t x_pitch, y_pitch, w_pitch;
    int n, pixels, c, r;
    int part;       /* channels of a block, whole vectors; the last ones may have fewer, or none */
    bool by_pixels; /* blocks take turns at the pixels, of all channels */
    GpudlAct inner, gate;
};

/* What a block has in shared memory. parts: V for each thread. */
struct Room {
    float *parts, *sums, *means, *added, *inner;
};

/* to[channel] = sum over lines first, first + step, .. of weight(line) * from[line][channel], of so many vectors of
 * channels; by all threads, who see it afterwards. */
template <class VECTOR, class WEIGHT>
__device__ __forceinline__ void add_lines(const typename VECTOR::Element *from, int64_t pitch, int lines, int first,
                                          int step, int vectors, WEIGHT weight, float *parts, float *to)
{
    constexpr int V = VECTOR::N;
    const int threads = (int)blockDim.x, me = (int)threadIdx.x;

    for (int base = 0; base < vectors; base += threads) {
        const int here = min(vectors - base, threads), groups = threads / here, items = here * V;
        const int vector = me % here, group = me / here, helpers = max(min(threads / items, groups), 1);
        float sum[V] = {};

        if (group < groups) {
            const typename VECTOR::Element *at = from + (base + vector) * V;

#pragma unroll 4
            for (int line = first + group * step; line < lines; line += groups * step) {
                const float factor = weight(line);
                VECTOR in;
                float v[V];

                in.load(at + line * pitch);
                in.get(v);
#pragma unroll
                for (int i = 0; i < V; i++)
                    sum[i] += factor * v[i];
            }
#pragma unroll
            for (int i = 0; i < V; i++)
                parts[i * threads + me] = sum[i];
        }
        __syncthreads();
        /* groups are many where vectors are few: several threads to a channel, then one */
        for (int item = me; item < items * helpers; item += threads) {
            const int channel = item % items;
            const float *of = parts + channel % V * threads + channel / V;

            sum[0] = 0.f;
            for (int i = item / items; i < groups; i += helpers)
                sum[0] += of[i * here];
            if (helpers == 1)
                to[base * V + channel] = sum[0];
        }
        __syncthreads();
        if (helpers > 1) { /* an item is a thread's: all have been read */
            if (me < items * helpers)
                parts[me] = sum[0];
            __syncthreads();
            if (me < items) {
                float total = 0.f;

                for (int i = 0; i < helpers; i++)
                    total += parts[i * items + me];
                to[base * V + me] = total;
            }
            __syncthreads();
        }
    }
}

/* A sum over what the cluster's blocks have there: all are on their way at once. */
__device__ __forceinline__ float add_blocks(const float *at, int blocks)
{
    float v[MOST_BLOCKS], sum = 0.f;

#pragma unroll
    for (int block = 0; block < MOST_BLOCKS; block++)
        v[block] = block < blocks ? gpudl_cluster_float(at, block) : 0.f;
#pragma unroll
    for (int block = 0; block < MOST_BLOCKS; block++)
        sum += v[block];
    return sum;
}

/* The means of the block's channels from begin on. */
template <class VECTOR>
__device__ __forceinline__ void find_means(const Problem<typename VECTOR::Element> &p, const Room &room, int n,
                                           int begin, int many)
{
    constexpr int V = VECTOR::N;
    const typename VECTOR::Element *x = p.x + (int64_t)n * p.pixels * p.x_pitch;
    const int rank = gpudl_cluster_rank(), blocks = gpudl_cluster_blocks();
    const auto once = [](int) { return 1.f; };

    if (p.by_pixels) {
        add_lines<VECTOR>(x, p.x_pitch, p.pixels, rank, blocks, p.c / V, once, room.parts, room.sums);
        gpudl_cluster_barrier();
    } else {
        add_lines<VECTOR>(x + begin, p.x_pitch, p.pixels, 0, 1, many / V, once, room.parts, room.sums);
    }
    for (int i = (int)threadIdx.x; i < many; i += (int)blockDim.x)
        room.means[i] = (p.by_pixels ? add_blocks(room.sums + begin + i, blocks) : room.sums[i]) / (float)p.pixels;
    __syncthreads();
}

/* What the block's channels add to each sum of the first product. */
template <class VECTOR>
__device__ __forceinline__ void add_first(const Problem<typename VECTOR::Element> &p, const Room &room, int begin,
                                          int many)
{
    constexpr int V = VECTOR::N;
    const int lane = (int)threadIdx.x % LANES, abreast = (int)blockDim.x / LANES;

    for (int base = 0; base < p.r; base += SUMS * abreast) {
        const int first = base + (int)threadIdx.x / LANES;
        float sum[SUMS] = {};

        for (int i = lane; i < many / V; i += LANES) {
            VECTOR in[SUMS];

#pragma unroll
            for (int s = 0; s < SUMS; s++) {
                const int j = first + s * abreast;

                in[s].fill(0.f);
                if (j < p.r)
                    in[s].load_constant(p.w1 + j * p.w_pitch + begin + i * V);
            }
#pragma unroll
            for (int s = 0; s < SUMS; s++) {
                float v[V];

                in[s].get(v);
#pragma unroll
                for (int k = 0; k < V; k++)
                    sum[s] += v[k] * room.means[i * V + k];
            }
        }
#pragma unroll
        for (int s = 0; s < SUMS; s++) {
#pragma unroll
            for (int d = 1; d < LANES; d *= 2)
                sum[s] += __shfl_xor_sync(0xffffffff, sum[s], d);
            if (lane == 0 && first + s * abreast < p.r)
                room.added[first + s * abreast] = sum[s];
        }
    }
}

template <class VECTOR>
__global__ void __launch_bounds__(MOST_THREADS) squeeze(const __grid_constant__ Problem<typename VECTOR::Element> p)
{
    gpudl_begin();

    constexpr int V = VECTOR::N;
    const int blocks = gpudl_cluster_blocks(), begin = gpudl_cluster_rank() * p.part;
    const int many = max(min(p.part, p.c - begin), 0), threads = (int)blockDim.x, me = (int)threadIdx.x;
    float *shared = static_cast<float *>(gpudl_shared());
    Room room;

    room.parts = shared;
    room.sums = room.parts + threads * V;
    room.means = room.sums + (p.by_pixels ? p.c : p.part);
    room.added = room.means + p.part;
    room.inner = room.added + p.r;
    for (int n = (int)blockIdx.y; n < p.n; n += (int)gridDim.y) {
        find_means<VECTOR>(p, room, n, begin, many);
        add_first<VECTOR>(p, room, begin, many);
        gpudl_cluster_barrier();
        for (int j = me; j < p.r; j += threads) {
            const float sum = add_blocks(room.added + j, blocks);

            room.inner[j] = gpudl_activate_f32(p.inner, sum + (p.bias1 ? gpudl_load_constant(p.bias1 + j) : 0.f));
        }
        __syncthreads();
        add_lines<VECTOR>(
            p.w2 + begin, p.w_pitch, p.r, 0, 1, many / V, [&](int j) { return room.inner[j]; }, room.parts, room.sums);
        for (int i = me; i < many; i += threads)
            gpudl_store(
                p.y + n * p.y_pitch + begin + i,
                gpudl_activate_f32(p.gate, room.sums[i] + (p.bias2 ? gpudl_load_constant(p.bias2 + begin + i) : 0.f)));
        /* till here others read this block's sums */
        gpudl_cluster_barrier();
    }
}

/* ---- launching --------------------------------------------------------------------------------------------------- */

template <class VECTOR> int launch(Problem<typename VECTOR::Element> &p, cudaStream_t stream)
{
    constexpr int V = VECTOR::N;
    const int vectors = p.c / V;
    int blocks = gpudl_has_clusters(reinterpret_cast<const void *>(squeeze<VECTOR>)) ? MOST_BLOCKS : 1, threads;
    int64_t floats;

    while (blocks > 1 && (int64_t)p.n * blocks > 1024) /* enough for all processors without */
        blocks /= 2;
    p.by_pixels = blocks > 1 && vectors < 2 * blocks;
    p.part = (int)gpudl_divide_up(vectors, blocks) * V;
    threads = (int64_t)vectors * p.pixels > (int64_t)blocks * 2048 ? MOST_THREADS : MOST_THREADS / 2;
    floats = (int64_t)threads * V + (p.by_pixels ? p.c : p.part) + p.part + 2 * p.r;
    gpudl_launch_clusters(squeeze<VECTOR>, blocks, dim3((unsigned)blocks, gpudl_grid(p.n)), threads,
                          (size_t)floats * sizeof(float), stream, p);
    return (int)cudaGetLastError();
}

template <class WIDE, class ONE>
int run(const void *x, const GpudlNhwc *xs, const void *w, const float *bias, int r, const GpudlAct *inner,
        const GpudlAct *gate, void *y, int64_t y_pitch, bool vectors, cudaStream_t stream)
{
    typedef typename WIDE::Element T;
    Problem<T> p = {};

    p.x = static_cast<const T *>(x);
    p.w_pitch = gpudl_squeeze_cuda_pitch(xs->c);
    p.w1 = static_cast<const T *>(w);
    p.w2 = p.w1 + r * p.w_pitch;
    p.bias1 = bias;
    p.bias2 = bias ? bias + r : nullptr;
    p.y = static_cast<T *>(y);
    p.x_pitch = xs->pitch;
    p.y_pitch = y_pitch;
    p.n = xs->n;
    p.pixels = xs->h * xs->w;
    p.c = xs->c;
    p.r = r;
    p.inner = *inner;
    p.gate = *gate;
    return vectors ? launch<WIDE>(p, stream) : launch<ONE>(p, stream);
}

} // namespace

extern "C" int gpudl_squeeze_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w,
                                  const float *bias, int32_t r, const GpudlAct *inner, const GpudlAct *gate, void *y,
                                  int64_t y_pitch, GpudlKernelStream stream)
{
    if (!gpudl_is_picture_type(dtype))
        return GPUDL_KERNEL_DTYPE;
    if (xs->n < 0 || xs->h < 1 || xs->w < 1 || xs->c < 1 || xs->c > GPUDL_SQUEEZE_CUDA_CHANNELS || r < 1 ||
        r > GPUDL_SQUEEZE_CUDA_INNER || xs->pitch < xs->c || y_pitch < xs->c || xs->h > (1 << 30) / xs->w ||
        (uintptr_t)w % 16 != 0)
        return GPUDL_KERNEL_SHAPE;
    if (xs->n == 0)
        return GPUDL_KERNEL_OK;
    if (dtype == GPUDL_DTYPE_F32)
        return run<GpudlFloats<4>, GpudlFloats<1>>(x, xs, w, bias, r, inner, gate, y, y_pitch,
                                                   gpudl_whole_float_vectors(x, xs->c, xs->pitch), stream);
    if (dtype == GPUDL_DTYPE_BF16)
        return run<GpudlVector<GpudlBf16, 8>, GpudlVector<GpudlBf16, 1>>(
            x, xs, w, bias, r, inner, gate, y, y_pitch, gpudl_whole_vectors(x, xs->c, xs->pitch), stream);
    return run<GpudlVector<__half, 8>, GpudlVector<__half, 1>>(x, xs, w, bias, r, inner, gate, y, y_pitch,
                                                               gpudl_whole_vectors(x, xs->c, xs->pitch), stream);
}
