/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "cuda_common.cuh"
#include "lrn_cuda.h"

namespace
{

struct Problem {
    const void *x;
    void *y;
    int64_t x_pitch, y_pitch, pixels;
    int32_t channels, before, behind; /* channels that a sum takes on either side */
    float scale, beta, bias;
};

/* A thread has V neighbouring channels of a pixel: it reads each value that they need once. */
template <typename Values> __global__ void __launch_bounds__(256) lrn(const __grid_constant__ Problem p)
{
    gpudl_begin();

    typedef typename Values::Element T;
    constexpr int V = Values::N;
    const int64_t step = (int64_t)gridDim.x * blockDim.x;
    const uint32_t groups = (uint32_t)p.channels / V;

    for (int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < p.pixels * groups; i += step) {
        const int64_t pixel = i / groups;
        const int32_t c = (int32_t)(i - pixel * groups) * V;
        const T *x = static_cast<const T *>(p.x) + pixel * p.x_pitch;
        const int32_t low = c - p.before < 0 ? 0 : c - p.before;
        const int64_t high =
            (int64_t)c + V - 1 + p.behind < p.channels ? (int64_t)c + V - 1 + p.behind : p.channels - 1;
        float sums[V] = {}, values[V];
        Values vector;

        for (int32_t k = low; k <= high; k++) {
            const float value = gpudl_to_float(x[k]), square = value * value;

#pragma unroll
            for (int j = 0; j < V; j++)
                if (k >= c + j - p.before && k - c - j <= p.behind)
                    sums[j] += square;
        }
        vector.load(x + c);
        vector.get(values);
#pragma unroll
        for (int j = 0; j < V; j++)
            values[j] /= powf(p.bias + p.scale * sums[j], p.beta);
        vector.set(values);
        vector.store(static_cast<T *>(p.y) + pixel * p.y_pitch + c);
    }
}

template <typename Values> int launch_vectors(const Problem &p, cudaStream_t stream)
{
    const int64_t blocks = gpudl_divide_up(p.pixels * (p.channels / Values::N), 256);

    gpudl_launch(lrn<Values>, (unsigned)(blocks < 132 * 64 ? blocks : 132 * 64), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

/* T of 16 bits */
template <class T> int launch(const Problem &p, cudaStream_t stream)
{
    return gpudl_whole_vectors(p.x, p.channels, p.x_pitch) && gpudl_whole_vectors(p.y, p.channels, p.y_pitch)
               ? launch_vectors<GpudlVector<T, 8>>(p, stream)
               : launch_vectors<GpudlVector<T, 1>>(p, stream);
}

template <> int launch<float>(const Problem &p, cudaStream_t stream)
{
    return gpudl_whole_float_vectors(p.x, p.channels, p.x_pitch) &&
                   gpudl_whole_float_vectors(p.y, p.channels, p.y_pitch)
               ? launch_vectors<GpudlFloats<4>>(p, stream)
               : launch_vectors<GpudlFloats<1>>(p, stream);
}

} // namespace

extern "C" int gpudl_lrn_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, int32_t size, float alpha,
                              float beta, float bias, void *y, const GpudlNhwc *ys, GpudlKernelStream stream)
{
    const Problem p = {x,
                       y,
                       xs->pitch,
                       ys->pitch,
                       (int64_t)xs->n * xs->h * xs->w,
                       xs->c,
                       (size - 1) / 2,
                       size / 2,
                       alpha / (float)size,
                       beta,
                       bias};

    if (!gpudl_is_picture_type(dtype))
        return GPUDL_KERNEL_DTYPE;
    if (size < 1 || xs->n != ys->n || xs->h != ys->h || xs->w != ys->w || xs->c != ys->c || xs->n < 0 || xs->h < 0 ||
        xs->w < 0 || xs->c < 0 || xs->pitch < xs->c || ys->pitch < ys->c)
        return GPUDL_KERNEL_SHAPE;
    if (p.pixels == 0 || p.channels == 0)
        return GPUDL_KERNEL_OK;
    return dtype == GPUDL_DTYPE_F16    ? launch<__half>(p, stream)
           : dtype == GPUDL_DTYPE_BF16 ? launch<GpudlBf16>(p, stream)
                                       : launch<float>(p, stream);
}
