/* SPDX-License-Identifier: LGPL-2.1-or-later */
/*
 * A thread makes VECTOR neighbouring channels of a pixel. What it reads lies anywhere in the sources' pixels, but the
 * threads of a warp read all of a few pixels between them: sectors come from the first-level cache but for the first
 * time.
 */
#include "cuda_common.cuh"
#include "shuffle_cuda.h"

namespace
{

constexpr int VECTOR = 8, THREADS = 256;

struct Shuffle {
    GpudlShuffleSource sources[GPUDL_SHUFFLE_SOURCES];
    const uint32_t *from;
    void *y;
    uint32_t vectors, vectors_of_pixel;
    int32_t y_pitch;
};

template <typename T> __device__ __forceinline__ T fetch(const Shuffle &p, uint32_t from, int64_t pixel)
{
    if (from == GPUDL_SHUFFLE_ZERO)
        return 0;
    const GpudlShuffleSource &source = p.sources[from >> 24];

    return static_cast<const T *>(source.data)[pixel * source.pitch + (from & 0xffffff)];
}

template <typename T> __global__ void __launch_bounds__(THREADS) shuffle(const __grid_constant__ Shuffle p)
{
    gpudl_begin();

    const uint32_t i = blockIdx.x * THREADS + threadIdx.x;

    if (i >= p.vectors)
        return;
    const uint32_t pixel = i / p.vectors_of_pixel, vector = i % p.vectors_of_pixel;
    const uint4 *table = reinterpret_cast<const uint4 *>(p.from) + 2 * vector;
    const uint4 a = gpudl_load_constant(table), b = gpudl_load_constant(table + 1);
    const uint32_t from[VECTOR] = {a.x, a.y, a.z, a.w, b.x, b.y, b.z, b.w};
    union {
        T elements[VECTOR];
        uint4 words[VECTOR * sizeof(T) / 16];
    } out;

#pragma unroll
    for (int j = 0; j < VECTOR; j++)
        out.elements[j] = fetch<T>(p, from[j], pixel);
    uint4 *to = reinterpret_cast<uint4 *>(static_cast<T *>(p.y) + (int64_t)pixel * p.y_pitch + vector * VECTOR);

#pragma unroll
    for (size_t j = 0; j < sizeof out.words / 16; j++)
        to[j] = out.words[j];
}

} // namespace

extern "C" int gpudl_shuffle_cuda(GpudlDType dtype, const GpudlShuffleSource *sources, int32_t n, const uint32_t *from,
                                  int64_t pixels, int32_t channels, int32_t y_pitch, void *y, GpudlKernelStream stream)
{
    const size_t size = gpudl_dtype_size(dtype);
    Shuffle p = {};

    if (size != 2 && size != 4)
        return GPUDL_KERNEL_DTYPE;
    if (n < 1 || n > GPUDL_SHUFFLE_SOURCES || pixels < 1 || channels < VECTOR || channels % VECTOR != 0 ||
        y_pitch < channels || y_pitch % VECTOR != 0 || pixels > INT32_MAX / channels)
        return GPUDL_KERNEL_SHAPE;
    for (int32_t i = 0; i < n; i++)
        p.sources[i] = sources[i];
    p.from = from;
    p.y = y;
    p.vectors_of_pixel = (uint32_t)(channels / VECTOR);
    p.vectors = (uint32_t)pixels * p.vectors_of_pixel;
    p.y_pitch = y_pitch;
    gpudl_launch(size == 2 ? shuffle<uint16_t> : shuffle<uint32_t>, dim3((p.vectors + THREADS - 1) / THREADS),
                 dim3(THREADS), 0, (cudaStream_t)stream, p);
    return (int)cudaGetLastError();
}
