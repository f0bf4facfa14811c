/* SPDX-License-Identifier: LGPL-2.1-or-later */
#include "conv_cuda.h"
#include "cuda_common.cuh"

namespace
{

template <class T> struct Problem {
    const T *x, *w, *z;
    T *y;
    const float *bias;
    GpudlNhwc xs, ys;
    int64_t z_pitch;
    int kernel[2], stride[2], pad[2], dilation[2];
    int per_group, kernels; /* channels of a group, in and out */
    GpudlAct act;
};

/* A warp for KERNELS neighbouring channels of one pixel: each lane sums up its part of the input's channels. */
template <class T, int KERNELS> __global__ void __launch_bounds__(256) conv(const __grid_constant__ Problem<T> p)
{
    gpudl_begin();

    const int lane = threadIdx.x % 32, k_blocks = (p.kernels + KERNELS - 1) / KERNELS;
    const int64_t groups = p.ys.c / p.kernels, all = (int64_t)p.ys.n * p.ys.h * p.ys.w * groups * k_blocks;
    const int64_t taps = (int64_t)p.kernel[0] * p.kernel[1];

    for (int64_t i = ((int64_t)blockIdx.x * blockDim.x + threadIdx.x) / 32; i < all;
         i += (int64_t)gridDim.x * blockDim.x / 32) {
        const int64_t block = i % (groups * k_blocks), pixel = i / (groups * k_blocks);
        const int group = (int)(block / k_blocks), k0 = (int)(block % k_blocks) * KERNELS;
        const int q = (int)(pixel % p.ys.w), row = (int)(pixel / p.ys.w % p.ys.h);
        const int64_t n = pixel / p.ys.w / p.ys.h;
        const int many = min(KERNELS, p.kernels - k0), k = group * p.kernels + k0;
        float sum[KERNELS] = {};

        for (int r = 0; r < p.kernel[0]; r++) {
            const int64_t h = (int64_t)row * p.stride[0] - p.pad[0] + (int64_t)r * p.dilation[0];

            if (h < 0 || h >= p.xs.h)
                continue;
            for (int s = 0; s < p.kernel[1]; s++) {
                const int64_t w = (int64_t)q * p.stride[1] - p.pad[1] + (int64_t)s * p.dilation[1];
                const T *x = p.x + ((n * p.xs.h + h) * p.xs.w + w) * p.xs.pitch + (int64_t)group * p.per_group;
                const T *weights = p.w + ((int64_t)k * taps + (int64_t)r * p.kernel[1] + s) * p.per_group;

                if (w < 0 || w >= p.xs.w)
                    continue;
                for (int c = lane; c < p.per_group; c += 32) {
                    const float v = gpudl_to_float(x[c]);

#pragma unroll
                    for (int j = 0; j < KERNELS; j++)
                        if (j < many)
                            sum[j] = fmaf(v, gpudl_to_float(weights[j * taps * p.per_group + c]), sum[j]);
                }
            }
        }
#pragma unroll
        for (int j = 0; j < KERNELS; j++) {
#pragma unroll
            for (int d = 16; d > 0; d /= 2)
                sum[j] += __shfl_xor_sync(0xffffffff, sum[j], d);
            if (lane == j && j < many) {
                float v = sum[j] + (p.bias ? p.bias[k + j] : 0.f);

                if (p.z)
                    v += gpudl_to_float(p.z[pixel * p.z_pitch + k + j]);
                gpudl_store(&p.y[pixel * p.ys.pitch + k + j], gpudl_activate_f32(p.act, v));
            }
        }
    }
}

template <class T>
int launch(const void *x, const GpudlNhwc *xs, const void *w, const float *bias, const void *z, int64_t z_pitch,
           const GpudlWindow *window, int32_t groups, const GpudlAct *act, void *y, const GpudlNhwc *ys,
           cudaStream_t stream)
{
    constexpr int KERNELS = 4;
    Problem<T> p = {static_cast<const T *>(x),
                    static_cast<const T *>(w),
                    static_cast<const T *>(z),
                    static_cast<T *>(y),
                    bias,
                    *xs,
                    *ys,
                    z_pitch,
                    {},
                    {},
                    {},
                    {},
                    xs->c / groups,
                    ys->c / groups,
                    *act};
    int64_t warps = (int64_t)p.ys.n * p.ys.h * p.ys.w * (p.ys.c / p.kernels);

    for (int d = 0; d < 2; d++) {
        p.kernel[d] = window->kernel[1 + d];
        p.stride[d] = window->stride[1 + d];
        p.pad[d] = window->pad_begin[1 + d];
        p.dilation[d] = window->dilation[1 + d];
        if (p.kernel[d] < 1 || p.stride[d] < 1 || p.dilation[d] < 1)
            return GPUDL_KERNEL_SHAPE;
    }
    warps *= gpudl_divide_up(p.kernels, KERNELS);
    if (warps == 0)
        return GPUDL_KERNEL_OK;
    warps = gpudl_divide_up(warps, 8);
    gpudl_launch(conv<T, KERNELS>, (unsigned)(warps < 1 << 20 ? warps : 1 << 20), 256, 0, stream, p);
    return (int)cudaGetLastError();
}

bool is_shape(const GpudlNhwc *s)
{
    return s->n >= 0 && s->h >= 0 && s->w >= 0 && s->c >= 0 && s->pitch >= s->c;
}

} // namespace

extern "C" int gpudl_conv_cuda(GpudlDType dtype, const void *x, const GpudlNhwc *xs, const void *w, const float *bias,
                               const void *z, int64_t z_pitch, const GpudlWindow *window, int32_t groups,
                               const GpudlAct *act, void *y, const GpudlNhwc *ys, GpudlKernelStream stream)
{
    if (!gpudl_is_picture_type(dtype))
        return GPUDL_KERNEL_DTYPE;
    if (window->n_spatial != 2 || !is_shape(xs) || !is_shape(ys) || xs->n != ys->n || groups < 1 ||
        xs->c % groups != 0 || ys->c % groups != 0 || (z && z_pitch < ys->c))
        return GPUDL_KERNEL_SHAPE;
    if (ys->c == 0)
        return GPUDL_KERNEL_OK;
    if (dtype == GPUDL_DTYPE_F16)
        return launch<__half>(x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, stream);
    if (dtype == GPUDL_DTYPE_BF16)
        return launch<GpudlBf16>(x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, stream);
    return launch<float>(x, xs, w, bias, z, z_pitch, window, groups, act, y, ys, stream);
}
