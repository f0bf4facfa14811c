/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the kernels of depthwise convolution share: the problem, and its activations. */
#ifndef GPUDL_KERNELS_DEPTHWISE_CUH
#define GPUDL_KERNELS_DEPTHWISE_CUH

#include "cuda_common.cuh"
#include "nhwc.h"

template <class T> struct GpudlDepthwise {
    const T *x, *w;
    const float *bias;
    T *y;
    GpudlNhwc xs, ys;
    int r, s, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    GpudlAct act;
    unsigned low, high; /* pairs, where act is no more than a clamp */
};

/** Without a function of the mathematical library and without a branch by value. */
static inline bool gpudl_is_quick_act(GpudlActKind kind)
{
    return kind == GPUDL_ACT_NONE || kind == GPUDL_ACT_RELU || kind == GPUDL_ACT_CLIP || kind == GPUDL_ACT_LEAKY_RELU ||
           kind == GPUDL_ACT_SIGMOID || kind == GPUDL_ACT_SILU || kind == GPUDL_ACT_HARD_SIGMOID ||
           kind == GPUDL_ACT_HARD_SWISH;
}

/** Off by a few 2^-22, and nothing where that is below 2^-125. */
__device__ __forceinline__ float gpudl_quick_sigmoid(float x)
{
    return __fdividef(1.f, 1.f + __expf(-x));
}

/** Such activations, of results that are rounded to 16 bits; NaN stays NaN. */
template <int N> __device__ __forceinline__ void gpudl_activate_quickly(const GpudlAct &act, float *x)
{
    const GpudlActKind kind = act.kind;

    if (kind == GPUDL_ACT_SILU) {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] *= gpudl_quick_sigmoid(x[i]);
    } else if (kind == GPUDL_ACT_HARD_SWISH) {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] *= gpudl_clamp(x[i] * (1.f / 6.f) + 0.5f, 0.f, 1.f);
    } else if (kind == GPUDL_ACT_SIGMOID) {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = gpudl_quick_sigmoid(x[i]);
    } else if (kind == GPUDL_ACT_HARD_SIGMOID) {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = gpudl_clamp(act.alpha * x[i] + act.beta, 0.f, 1.f);
    } else if (kind == GPUDL_ACT_LEAKY_RELU) {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = x[i] < 0.f ? act.alpha * x[i] : x[i];
    } else if (kind == GPUDL_ACT_RELU) {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = x[i] < 0.f ? 0.f : x[i];
    } else if (kind == GPUDL_ACT_CLIP) {
#pragma unroll
        for (int i = 0; i < N; i++)
            x[i] = gpudl_clamp(x[i], act.alpha, act.beta);
    }
}

template <int N> __device__ __forceinline__ void gpudl_activate_narrow(const GpudlAct &act, float *x)
{
    switch (act.kind) {
    case GPUDL_ACT_TANH:
    case GPUDL_ACT_GELU:
    case GPUDL_ACT_GELU_TANH:
    case GPUDL_ACT_MISH:
        gpudl_activate_all<N>(act, x);
        return;
    default:
        gpudl_activate_quickly<N>(act, x);
    }
}

#endif
