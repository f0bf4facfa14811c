/* SPDX-License-Identifier: LGPL-2.1-or-later */
/* What the CUDA kernels share: half vectors, activations, launches. */
#ifndef GPUDL_KERNELS_CUDA_COMMON_CUH
#define GPUDL_KERNELS_CUDA_COMMON_CUH

#include <cuda_fp16.h>
#include <cuda_runtime.h>
#include <stdint.h>

#include "kernels/device.cuh"
#include "types.h"

/** Largest extent of a grid in y and z; kernels step through what is beyond. */
#define GPUDL_GRID_YZ 65535

static inline unsigned gpudl_grid(int64_t blocks)
{
    return (unsigned)(blocks > GPUDL_GRID_YZ ? GPUDL_GRID_YZ : blocks);
}

static inline int64_t gpudl_divide_up(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/** V neighbouring channels: 8 in one 16-byte access, or one. */
template <int V> struct GpudlHalves;
template <> struct GpudlHalves<8> {
    typedef __half Element;
    static constexpr int N = 8;
    union {
        uint4 words;
        __half2 pairs[4];
    };
    __device__ __forceinline__ void load(const __half *p)
    {
        words = __ldg(reinterpret_cast<const uint4 *>(p));
    }
    __device__ __forceinline__ void store(__half *p) const
    {
        *reinterpret_cast<uint4 *>(p) = words;
    }
    __device__ __forceinline__ void fill(unsigned short bits)
    {
        const unsigned both = bits * 0x10001u;

        words = make_uint4(both, both, both, both);
    }
    __device__ __forceinline__ void get(float *f) const
    {
#pragma unroll
        for (int i = 0; i < 4; i++) {
            const float2 pair = __half22float2(pairs[i]);

            f[2 * i] = pair.x;
            f[2 * i + 1] = pair.y;
        }
    }
    __device__ __forceinline__ void set(const float *f)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            pairs[i] = __floats2half2_rn(f[2 * i], f[2 * i + 1]);
    }
    /** NaN goes through. */
    __device__ __forceinline__ void maximum(const GpudlHalves<8> &other)
    {
#pragma unroll
        for (int i = 0; i < 4; i++)
            pairs[i] = __hmax2_nan(pairs[i], other.pairs[i]);
    }
};
template <> struct GpudlHalves<1> {
    typedef __half Element;
    static constexpr int N = 1;
    __half one;
    __device__ __forceinline__ void load(const __half *p)
    {
        one = __ldg(p);
    }
    __device__ __forceinline__ void store(__half *p) const
    {
        *p = one;
    }
    __device__ __forceinline__ void fill(unsigned short bits)
    {
        one = __ushort_as_half(bits);
    }
    __device__ __forceinline__ void get(float *f) const
    {
        f[0] = __half2float(one);
    }
    __device__ __forceinline__ void set(const float *f)
    {
        one = __float2half_rn(f[0]);
    }
    __device__ __forceinline__ void maximum(const GpudlHalves<1> &other)
    {
        one = __hmax_nan(one, other.one);
    }
};

/** The same of float32: 4 in one access, or one. */
template <int V> struct GpudlFloats {
    typedef float Element;
    static constexpr int N = V;
    float values[V];

    __device__ __forceinline__ void load(const float *p)
    {
        if constexpr (V == 4) {
            const float4 four = __ldg(reinterpret_cast<const float4 *>(p));

            values[0] = four.x;
            values[1] = four.y;
            values[2] = four.z;
            values[3] = four.w;
        } else {
            values[0] = __ldg(p);
        }
    }
    __device__ __forceinline__ void store(float *p) const
    {
        if constexpr (V == 4)
            *reinterpret_cast<float4 *>(p) = make_float4(values[0], values[1], values[2], values[3]);
        else
            *p = values[0];
    }
    /** bits are those of a half */
    __device__ __forceinline__ void fill(unsigned short bits)
    {
        for (int i = 0; i < V; i++)
            values[i] = __half2float(__ushort_as_half(bits));
    }
    __device__ __forceinline__ void get(float *f) const
    {
        for (int i = 0; i < V; i++)
            f[i] = values[i];
    }
    __device__ __forceinline__ void set(const float *f)
    {
        for (int i = 0; i < V; i++)
            values[i] = f[i];
    }
    /** NaN goes through. */
    __device__ __forceinline__ void maximum(const GpudlFloats<V> &other)
    {
        for (int i = 0; i < V; i++)
            values[i] = other.values[i] > values[i] || other.values[i] != other.values[i] ? other.values[i] : values[i];
    }
};

__device__ __forceinline__ void gpudl_store(__half *p, float value)
{
    *p = __float2half_rn(value);
}

__device__ __forceinline__ void gpudl_store(float *p, float value)
{
    *p = value;
}

/** Whether 8 channels at a time can be moved: every pixel begins at a multiple of 16 bytes and has whole vectors. */
static inline bool gpudl_whole_vectors(const void *p, int32_t channels, int64_t pitch)
{
    return (uintptr_t)p % 16 == 0 && channels % 8 == 0 && pitch % 8 == 0;
}

/** The same of 4 channels of float32. */
static inline bool gpudl_whole_float_vectors(const void *p, int32_t channels, int64_t pitch)
{
    return (uintptr_t)p % 16 == 0 && channels % 4 == 0 && pitch % 4 == 0;
}

__device__ __forceinline__ float gpudl_clamp(float x, float low, float high)
{
    x = x < low ? low : x;
    return x > high ? high : x;
}

/** gpudl_activate() in float32. */
__device__ __forceinline__ float gpudl_activate_f32(const GpudlAct &act, float x)
{
    switch (act.kind) {
    case GPUDL_ACT_RELU:
        return x < 0.f ? 0.f : x;
    case GPUDL_ACT_CLIP:
        return gpudl_clamp(x, act.alpha, act.beta);
    case GPUDL_ACT_LEAKY_RELU:
        return x < 0.f ? act.alpha * x : x;
    case GPUDL_ACT_SIGMOID:
        return 1.f / (1.f + expf(-x));
    case GPUDL_ACT_SILU:
        return x / (1.f + expf(-x));
    case GPUDL_ACT_HARD_SIGMOID:
        return gpudl_clamp(act.alpha * x + act.beta, 0.f, 1.f);
    case GPUDL_ACT_HARD_SWISH:
        return x * gpudl_clamp(x / 6.f + 0.5f, 0.f, 1.f);
    case GPUDL_ACT_TANH:
        return tanhf(x);
    case GPUDL_ACT_GELU:
        return 0.5f * x * (1.f + erff(x * 0.70710678f));
    case GPUDL_ACT_GELU_TANH:
        return 0.5f * x * (1.f + tanhf(0.79788456f * x * (1.f + 0.044715f * x * x)));
    case GPUDL_ACT_MISH:
        return x * tanhf(x > 20.f ? x : log1pf(expf(x)));
    default:
        return x;
    }
}

/** The same of N values: one decision for all. */
template <int N> __device__ __forceinline__ void gpudl_activate_all(const GpudlAct &act, float *x)
{
    switch (act.kind) {
#define GPUDL_ACTIVATE(kind_)                                                                                          \
    case kind_: {                                                                                                      \
        const GpudlAct one = {kind_, act.alpha, act.beta};                                                             \
        for (int i = 0; i < N; i++)                                                                                    \
            x[i] = gpudl_activate_f32(one, x[i]);                                                                      \
        return;                                                                                                        \
    }
        GPUDL_ACTIVATE(GPUDL_ACT_RELU)
        GPUDL_ACTIVATE(GPUDL_ACT_CLIP)
        GPUDL_ACTIVATE(GPUDL_ACT_LEAKY_RELU)
        GPUDL_ACTIVATE(GPUDL_ACT_SIGMOID)
        GPUDL_ACTIVATE(GPUDL_ACT_SILU)
        GPUDL_ACTIVATE(GPUDL_ACT_HARD_SIGMOID)
        GPUDL_ACTIVATE(GPUDL_ACT_HARD_SWISH)
        GPUDL_ACTIVATE(GPUDL_ACT_TANH)
        GPUDL_ACTIVATE(GPUDL_ACT_GELU)
        GPUDL_ACTIVATE(GPUDL_ACT_GELU_TANH)
        GPUDL_ACTIVATE(GPUDL_ACT_MISH)
#undef GPUDL_ACTIVATE
    default:
        return;
    }
}

#endif
